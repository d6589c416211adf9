/* Singular values of the projections, plain and as the data weighs them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analysis/spectrum/outputs.h"
#include "common/base/checked.h"
#include "reports/page/plot.h"
#include "reports/report/embedded.h"
#include "reports/report/sections.h"
#include "reports/tables/curves.h"

enum {
    POINTS = 48, /* of a curve that is drawn */
    CURVES = 6,
    DRAWS = 10 /* of windows, behind intervals */
};

/* K, V and both, each of weights and of data. */
static const char *const names[CURVES] = {
    "W_k", "W_k, on text", "W_v", "W_v, on text", "[W_k;W_v]", "both, on text"};

static const mls_matrix matrices[] = {MLS_MATRIX_Q, MLS_MATRIX_K, MLS_MATRIX_V,
                                      MLS_MATRIX_KV};
enum { MATRICES = sizeof matrices / sizeof matrices[0] };

static const size_t MOMENTS_BYTES = (size_t)4 << 30; /* of layers at work */

/* What the section has of all layers. */
typedef struct {
    mls_table **curves; /* (L) */
    mls_table *ranks;
    size_t *rank; /* (CURVES, L) for 95 %; 0: the layer has none */
    double *half; /* (L) of the last curve */
    size_t L, n;  /* all layers, and those with keys and values */
} spectra;

/* Numbers of keys and values together, or of what they are read back from. */
static size_t width_of(const mls_config *c)
{
    return c->mla_kv_lora_rank ? c->mla_kv_lora_rank : 2 * c->G * c->D;
}

static bool has_spectra(const mls_report *r, size_t l)
{
    const mls_config *c = mls_model_config(r->model);

    return c->layer[l].kind == MLS_LAYER_MLA || !mls_config_no_heads(c, l);
}

static void add_rows(spectra *all, size_t layer, mls_matrix matrix, bool weighted,
                     const mls_spectrum *s, const mls_spectrum_spread *w)
{
    const mls_spectrum_summary sum = mls_spectrum_summarize(s->sigma, s->n);
    mls_table *curves = all->curves[layer], *ranks = all->ranks;

    for (size_t i = 0; i < s->n; i++) {
        /* Evenly many of many, first and last among them. */
        if (matrix == MLS_MATRIX_Q) /* not cached, not drawn */
            break;
        if (s->n > POINTS && i > 0 && i + 1 < s->n &&
            i * POINTS / s->n == (i - 1) * POINTS / s->n)
            continue;
        mls_table_line(curves, "%s %s %zu %g %g", mls_matrix_name(matrix),
                       weighted ? "data" : "weights", i + 1, s->sigma[i],
                       s->sigma[0] > 0 ? s->sigma[i] / s->sigma[0] : (double)NAN);
    }
    mls_table_line(ranks, "%zu %s %s %zu", layer, mls_matrix_name(matrix),
                   weighted ? "data" : "weights", s->n);
    const double figure[][2] = {{sum.effective_rank_energy, w->effective_rank_energy},
                                {sum.stable_rank, w->stable_rank},
                                {(double)sum.rank_90, w->rank_90},
                                {(double)sum.rank_95, w->rank_95},
                                {(double)sum.rank_99, w->rank_99}};

    for (size_t i = 0; i < sizeof figure / sizeof figure[0]; i++) {
        mls_table_cells(ranks, "%g %g", figure[i][0],
                        w->windows ? figure[i][1] : (double)NAN);
    }
}

/* Intervals of what rows of weights make of the windows' inputs. */
static mls_status spread_of(mls_spectrum_spread *out, const mls_outputs *x,
                            const float *rows, size_t n, mls_err *err)
{
    mls_outputs y = {0};
    mls_window_moments moments = {0};
    mls_status st;

    if (x->n < 2 || n > MLS_SPREAD_WIDTH_MAX)
        return MLS_OK;
    st = mls_outputs_project(&y, x, rows, n, err);
    if (!st)
        st = mls_outputs_moments(&moments, &y, err);
    if (!st)
        st = mls_spectrum_spread_of(out, &moments, DRAWS, 1, err);
    mls_window_moments_free(&moments);
    mls_outputs_free(&y);
    return st;
}

/* Both spectra of a matrix of one layer, by the weights and by the text. */
typedef struct {
    mls_spectrum s[2];
    mls_spectrum_spread spread;
} matrix_spectra;

/* One layer, whose matrices are jobs. */
typedef struct {
    mls_layer layer;
    mls_layer_stats stats;
    mls_outputs x;
    matrix_spectra m[MATRICES];
} layer_job;

/* Layers at work side by side: so many that all threads have a matrix. */
typedef struct {
    const mls_report *r;
    layer_job *of; /* (n) */
    size_t n;
} layers;

/* The same matrix of all layers first, queries before the others: they take longest. */
static mls_status one_matrix(void *arg, size_t job, size_t worker, mls_err *err)
{
    const layers *all = arg;
    layer_job *j = &all->of[job % all->n];
    const mls_config *c = mls_model_config(all->r->model);
    const size_t m = job / all->n;
    matrix_spectra *to = &j->m[m];
    float *rows = NULL;
    size_t n;

    if (j->layer.kv_a && matrices[m] == MLS_MATRIX_Q)
        return MLS_OK;
    mls_status st =
        mls_matrix_rows(c, &j->layer, matrices[m], MLS_WHOLE_LAYER, &rows, &n, err);

    (void)worker;
    if (!st)
        st = mls_spectrum_of_weights(&to->s[0], rows, n, c->E, err);
    if (!st)
        st = mls_spectrum_weighted(&to->s[1], rows, n, c->E, j->stats.x_second, err);
    if (!st)
        st = spread_of(&to->spread, &j->x, rows, n, err);
    free(rows);
    return st;
}

/* All matrices of a layer into the tables, in their order. */
static void add_layer(spectra *all, layer_job *j)
{
    const mls_spectrum_spread none = {0};
    const size_t l = j->layer.index;

    for (size_t m = 0; m < MATRICES; m++) {
        matrix_spectra *of = &j->m[m];

        for (size_t weighted = 0; weighted < 2; weighted++) {
            const mls_spectrum *s = &of->s[weighted];

            if (s->n)
                add_rows(all, l, matrices[m], weighted, s,
                         weighted ? &of->spread : &none);
            if (m > 0) /* queries are not cached */
                all->rank[(2 * (m - 1) + weighted) * all->L + l] =
                    mls_energy_rank(s->sigma, s->n, 0.95);
        }
        all->half[l] = of->spread.windows ? of->spread.rank_95 : (double)NAN;
    }
}

static void layer_job_free(layer_job *j)
{
    for (size_t m = 0; m < MATRICES; m++) {
        mls_spectrum_free(&j->m[m].s[0]);
        mls_spectrum_free(&j->m[m].s[1]);
        mls_spectrum_spread_free(&j->m[m].spread);
    }
    mls_outputs_free(&j->x);
    mls_layer_stats_free(&j->stats);
    mls_layer_free(&j->layer);
}

/* Layers which[0 .. n-1]. */
static mls_status some_layers(spectra *all, const mls_report *r, const size_t *which,
                              size_t n, mls_err *err)
{
    layers now = {r, mls_calloc3(n, 1, 1, sizeof *now.of), n};
    mls_status st =
        now.of ? MLS_OK : mls_fail(err, MLS_E_NOMEM, "no memory for %zu layers", n);

    for (size_t i = 0; !st && i < n; i++) {
        layer_job *j = &now.of[i];

        st = mls_model_keys(r->model, which[i], &j->layer, err);
        if (!st)
            st = mls_capture_stats(r->capture, which[i], &j->stats, err);
        if (!st)
            st = mls_outputs_load_inputs(&j->x, r->capture, which[i], err);
    }
    if (!st)
        st = mls_pool_run(r->pool, n * MATRICES, one_matrix, &now, err);
    for (size_t i = 0; now.of && i < n; i++) {
        if (!st)
            add_layer(all, &now.of[i]);
        layer_job_free(&now.of[i]);
    }
    free(now.of);
    return st;
}

static mls_table *curves_table(void)
{
    mls_table *t = mls_table_new(NULL);

    MLS_COLUMNS(t, {"matrix", "matrix", "", 0}, {"kind", "kind", "", 0},
                {"index", "index", "", 0}, {"sigma", "sigma", "", -1},
                {"sigma_relative", "sigma / sigma_1", "", -1});
    return t;
}

/* The curves of one layer, of which the reader picks. */
static mls_status draw_layer(const mls_report *r, mls_page *page, size_t layer,
                             const mls_table *curves, mls_err *err)
{
    const mls_config *c = mls_model_config(r->model);
    char name[32], number[24], script[4096];
    mls_status st;

    snprintf(name, sizeof name, "spectrum-%zu", layer);
    snprintf(script, sizeof script, "name = \"%s\"\nlayer = %zu\nwidth = %zu\n%s", name,
             layer, width_of(c), mls_spectrum_gp);
    st = mls_plot_write(
        r->folder, &(mls_plot){.name = name, .data = curves, .script = script}, err);
    if (st)
        return st;
    snprintf(number, sizeof number, "%zu", layer);
    mls_page_choice(page, "layer", number);
    mls_page_alt(page,
                 "Singular values of layer %zu, falling from 1; the ranks that they "
                 "come to are in the table.",
                 layer);
    return mls_page_figure(page, r->folder, name,
                           "Singular values of a layer's projections over the first. "
                           "Dashed: of the weights; solid: of what the text makes of "
                           "them.",
                           err);
}

/* Ranks at 95 % by layer, of weights and of data. */
static mls_status draw_ranks(const mls_report *r, mls_page *page,
                             const size_t *rank /* (CURVES, L) */, mls_err *err)
{
    const size_t L = mls_model_config(r->model)->L;
    mls_table *t = mls_table_new(NULL);
    mls_curve curve[CURVES];
    mls_buf script = {0}, said = {0};
    size_t most = 1;
    mls_status st;

    MLS_COLUMNS(t, {"curve", "curve", "", 0}, {"of", "of", "", 0},
                {"layer", "layer", "", 0}, {"rank_95", "95 %", "rank", 0});
    for (size_t k = 0; k < CURVES; k++) {
        const size_t *of = rank + k * L;
        double sum = 0, n = 0;

        curve[k] = (mls_curve){.line = (int)(k / 2 + (k % 2 ? 1 : 9))};
        for (size_t l = 0; l < L; l++) {
            if (!has_spectra(r, l))
                continue;
            mls_table_line(t, "%zu %s %zu %zu", k + 1, names[k], l, of[l]);
            most = of[l] > most ? of[l] : most;
            sum += (double)of[l];
            n++;
            curve[k].end = (double)of[l];
        }
        snprintf(curve[k].name, sizeof curve[k].name, "%s", names[k]);
        mls_buf_printf(&said, "%s%s %.0f", k ? ", " : "", names[k], sum / n);
    }
    mls_buf_printf(&script, "layers = %zu\nmost = %.1f\n", L, 1.05 * (double)most);
    mls_curves_prelude(&script, curve, CURVES, 0, 1.05 * (double)most, false);
    mls_buf_puts(&script, mls_ranks_gp);
    st = script.failed
             ? mls_fail(err, MLS_E_NOMEM, "no memory for a plot")
             : mls_plot_write(
                   r->folder,
                   &(mls_plot){.name = "ranks", .data = t, .script = script.data}, err);
    mls_page_alt(page, "Directions for 95 %% of the energy, mean over layers: %s.",
                 said.data ? said.data : "");
    if (!st)
        st = mls_page_figure(page, r->folder, "ranks",
                             "Directions that hold 95 % of the energy of each layer's "
                             "keys, values and both; dashed: by the weights alone.",
                             err);
    mls_buf_free(&script);
    mls_buf_free(&said);
    mls_table_free(t);
    return st;
}

/* Mean over layers of a curve. */
static double mean_of(const spectra *all, size_t curve)
{
    double sum = 0;

    for (size_t l = 0; l < all->L; l++)
        sum += (double)all->rank[curve * all->L + l];
    return sum / (double)all->n;
}

/* A word for a share of all directions, to be quoted with its number. */
static const char *label_of(double share)
{
    return share < 0.1    ? "very low"
           : share < 0.25 ? "low"
           : share < 0.5  ? "middling"
                          : "high";
}

static mls_status show(const mls_report *r, mls_page *page, const spectra *all,
                       mls_buf *summary, mls_err *err)
{
    const mls_config *c = mls_model_config(r->model);
    const size_t width = width_of(c);
    const double plain = mean_of(all, CURVES - 2), data = mean_of(all, CURVES - 1);
    const double share = data / (double)width;
    double half = 0; /* of a mean whose layers see the same draws: at most their mean */
    char text[64];
    mls_status st;

    mls_page_section(page, "spectrum", "How low the rank is");
    mls_page_lead(page,
                  "The rank of this cache is %s: on this text 95 %% of the energy of "
                  "a layer's keys and values lies in %.0f of %zu directions (%.0f %%), "
                  "so a latent of much fewer numbers loses what the model uses.",
                  label_of(share), data, width, 100 * share);
    for (size_t l = 0; l < all->L; l++)
        half += all->half[l] / (double)all->n;
    if (isnan(half))
        snprintf(text, sizeof text, "%.0f of %zu", data, width);
    else
        snprintf(text, sizeof text, "%.0f ± %.1f of %zu", data, half, width);
    mls_page_tile(page, text, "directions for 95 %, on text");
    snprintf(text, sizeof text, "%.0f of %zu", plain, width);
    mls_page_tile(page, text, "the same by the weights alone");
    mls_page_tile(page, label_of(share),
                  "label: very low under 10 %, low under 25 %, middling under 50 %");
    st = draw_ranks(r, page, all->rank, err);
    for (size_t l = 0; !st && l < all->L; l++)
        if (has_spectra(r, l))
            st = draw_layer(r, page, l, all->curves[l], err);
    mls_page_text(page,
                  "The eigenvalues of W E[x x^T] W^T decide how much a truncation "
                  "loses on text; the weights alone say too little.");
    mls_page_details(page, "Ranks per layer", all->ranks);
    mls_buf_printf(summary,
                   "spectrum: 95 %% of the energy of [W_k; W_v] in %.0f of %zu "
                   "directions (weights), %.0f (data)\n",
                   plain, width, data);
    return st;
}

/* Layers whose second moments, and squares of them for spectra, fit in memory. */
static size_t layers_at_once(const mls_report *r)
{
    const size_t E = mls_model_config(r->model)->E;
    const size_t fit = MOMENTS_BYTES / (4 * sizeof(double) * E * E + 1);
    const size_t most = (mls_pool_threads(r->pool) + 1) / 2;

    return fit < 1 ? 1 : fit < most ? fit : most;
}

mls_status mls_section_spectrum(const mls_report *r, mls_page *page, mls_buf *summary,
                                mls_err *err)
{
    const mls_config *c = mls_model_config(r->model);
    const size_t at_once = layers_at_once(r);
    spectra all = {.L = c->L, .ranks = mls_table_new(NULL)};
    size_t which[MLS_LAYERS_MAX];
    mls_table *ranks = all.ranks;
    mls_status st = MLS_OK;

    all.curves = mls_calloc3(c->L, 1, 1, sizeof *all.curves);
    all.rank = mls_calloc3(CURVES, c->L, 1, sizeof *all.rank);
    all.half = mls_calloc3(c->L, 1, 1, sizeof *all.half);
    if (!all.curves || !all.rank || !all.half)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a report");
    MLS_COLUMNS(ranks, {"layer", "layer", "", 0}, {"matrix", "matrix", "", 0},
                {"kind", "of", "", 0}, {"values", "values", "", 0},
                {"effective_rank", "effective rank", "", 1},
                {"effective_rank_half", "±", "", 1},
                {"stable_rank", "stable rank", "", 2}, {"stable_rank_half", "±", "", 2},
                {"rank_90", "90 %", "rank", 0}, {"rank_90_half", "±", "", 1},
                {"rank_95", "95 %", "rank", 0}, {"rank_95_half", "±", "", 1},
                {"rank_99", "99 %", "rank", 0}, {"rank_99_half", "±", "", 1});
    for (size_t l = 0; l < c->L; l++)
        if (has_spectra(r, l))
            which[all.n++] = l;
    for (size_t i = 0; !st && i < all.n; i += at_once) {
        const size_t n = all.n - i < at_once ? all.n - i : at_once;
        char what[64];

        for (size_t k = i; k < i + n; k++)
            all.curves[which[k]] = curves_table();
        snprintf(what, sizeof what, "spectra, layer %zu of %zu", which[i] + 1, c->L);
        st = mls_progress_step(r->progress, what, (double)which[i], (double)c->L, err);
        if (!st)
            st = some_layers(&all, r, which + i, n, err);
    }
    if (!st && all.n)
        st = show(r, page, &all, summary, err);
    if (!st && all.n && !c->mla_kv_lora_rank && mls_capture_windows(r->capture) > 0)
        st = mls_section_rotation(r, page, summary, err);
    for (size_t l = 0; all.curves && l < c->L; l++)
        mls_table_free(all.curves[l]);
    mls_table_free(all.ranks);
    mls_free_all(all.curves, all.rank, all.half);
    return st;
}
