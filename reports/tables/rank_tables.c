/*
 * Figures of weights come with a bound on their error, those of data with an interval
 * over windows: never both, and a column says which.
 */
#include "reports/tables/rank_tables.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "reports/page/plot.h"
#include "reports/tables/embedded.h"

static void key_columns(mls_table *t)
{
    MLS_COLUMNS(t, {"layer", "layer", "", 0}, {"matrix", "matrix", "", 0},
                {"head", "head", "", 0});
}

static void begin_row(mls_table *t, const mls_spectra_row *row)
{
    mls_table_line(t, "%zu %s", row->layer, mls_matrix_name(row->matrix));
    if (row->head == MLS_WHOLE_LAYER)
        mls_table_text(t, "all");
    else
        mls_table_count(t, (long long)row->head);
}

/* The label of a row; "" where there is nothing odd to say. */
static void rank_quote(char *out, size_t size, const mls_spectra_row *row)
{
    const mls_spectrum *s = &row->spectrum;
    const char *label =
        mls_rank_label(mls_spectrum_summarize(s->sigma, s->n).rank_95, s->n);

    *out = '\0';
    if (!*label || strcmp(label, "middling") == 0)
        return;
    const int n = snprintf(out, size, "%s: %s of layer %zu", label,
                           mls_matrix_words(row->matrix), row->layer);

    if (row->head != MLS_WHOLE_LAYER && n > 0 && (size_t)n < size)
        snprintf(out + n, size - (size_t)n, ", head %zu", row->head);
}

/* A half width of a row, empty where windows give none. */
static void add_half(mls_table *t, const mls_spectra_row *row, double half)
{
    mls_table_real(t, row->spread.windows ? half : (double)NAN);
}

void mls_sigma_table(mls_table *t, const mls_spectra *s, mls_rank_source of)
{
    const bool bounds = of == MLS_RANK_OF_WEIGHTS;

    key_columns(t);
    MLS_COLUMNS(t, {"index", "index", "", 0}, {"sigma", "sigma", "", -1},
                {bounds ? "sigma_error" : "sigma_half", bounds ? "error" : "±",
                 bounds ? "bound" : "", -1},
                {"energy_share", "energy", "share", 5},
                {"cumulative_share", "cumulative", "share", 5});
    for (size_t r = 0; r < s->n; r++) {
        const mls_spectra_row *row = &s->row[r];
        const mls_spectrum *x = &row->spectrum;
        const double energy = mls_spectrum_summarize(x->sigma, x->n).energy;
        double sum = 0.0;

        for (size_t i = 0; i < x->n; i++) {
            const double square = x->sigma[i] * x->sigma[i];

            sum += square;
            begin_row(t, row);
            mls_table_cells(t, "%zu %g", i, x->sigma[i]);
            if (bounds)
                mls_table_real(t, mls_spectrum_value_error(x, i));
            else
                add_half(t, row, row->spread.windows ? row->spread.sigma[i] : 0);
            mls_table_real(t, square / energy); /* NaN, so empty, for zeros */
            mls_table_real(t, sum / energy);
        }
    }
}

/* A figure, with its ± behind it where data gives one. */
static void figure_column(mls_table *t, const char *key, const char *heading,
                          const char *unit, int decimals, bool half, bool detail)
{
    char name[48];

    mls_table_column(t, key, heading, unit, decimals);
    if (!half)
        return;
    snprintf(name, sizeof name, "%s_half", key);
    mls_table_column(t, name, "±", "", decimals > 1 ? decimals : 1);
    if (detail)
        mls_table_detail(t);
}

static mls_status add_summary(mls_table *t, const mls_spectra_row *row, bool half,
                              mls_err *err)
{
    const mls_spectrum_summary y =
        mls_spectrum_summarize(row->spectrum.sigma, row->spectrum.n);
    const mls_spectrum_spread *w = &row->spread;
    const double figure[] = {
        y.energy,          y.effective_rank,  y.effective_rank_energy, y.stable_rank,
        (double)y.rank_90, (double)y.rank_95, (double)y.rank_99};
    const double by[] = {w->energy,      w->effective_rank, w->effective_rank_energy,
                         w->stable_rank, w->rank_90,        w->rank_95,
                         w->rank_99};
    char label[96];

    begin_row(t, row);
    mls_table_cells(t, "%zu %g %g", row->spectrum.n, y.largest, y.smallest);
    for (size_t i = 0; i < sizeof figure / sizeof figure[0]; i++) {
        mls_table_real(t, figure[i]);
        if (half)
            add_half(t, row, by[i]);
    }
    if (!half) {
        mls_spectrum_bounds b;
        const mls_status st = mls_spectrum_bound(&row->spectrum, &b, err);

        if (st)
            return st;
        mls_table_cells(t, "%g %g %zu", b.value, b.figure, b.rank);
    }
    rank_quote(label, sizeof label, row);
    mls_table_text(t, label);
    return MLS_OK;
}

mls_status mls_rank_table(mls_table *t, const mls_spectra *s, mls_rank_source of,
                          mls_err *err)
{
    const bool half = of == MLS_RANK_OF_DATA;
    mls_status st = MLS_OK;

    key_columns(t);
    MLS_COLUMNS(t, {"values", "values", "", 0}, {"sigma_first", "first", "sigma", 4},
                {"sigma_last", "last", "sigma", 4});
    figure_column(t, "energy", "energy", "sigma^2", 4, half, true);
    figure_column(t, "effective_rank", "eff. rank", "sigma", 1, half, true);
    figure_column(t, "effective_rank_energy", "eff. rank", "sigma^2", 1, half, false);
    figure_column(t, "stable_rank", "stable", "rank", 2, half, true);
    figure_column(t, "rank_90", "90 %", "rank", 0, half, true);
    figure_column(t, "rank_95", "95 %", "rank", 0, half, false);
    figure_column(t, "rank_99", "99 %", "rank", 0, half, true);
    if (!half) {
        MLS_COLUMNS(t, {"sigma_error", "error", "sigma", -1},
                    {"figure_error", "error", "share", -1},
                    {"rank_error", "error", "ranks", 0});
    }
    mls_table_column(t, "label", "label", "", 0);
    for (size_t i = 0; !st && i < s->n; i++)
        st = add_summary(t, &s->row[i], half, err);
    if (half && s->n && s->row[0].spread.windows) {
        mls_table_say(t,
                      "±: 95 %%, by resampling the %zu kept windows whole (bootstrap)",
                      s->row[0].spread.windows);
    }
    mls_table_note(t, "label: rank-deficient when 95 % of the energy lies in a quarter "
                      "of the directions, full-rank when it needs more than three "
                      "quarters");
    return st;
}

static void mean_column(mls_table *t, const char *key, const char *heading,
                        const char *unit, int decimals)
{
    char half[48];

    snprintf(half, sizeof half, "%s_half", key);
    mls_table_column(t, key, heading, unit, decimals);
    mls_table_column(t, half, "±", "", decimals > 1 ? decimals : 1);
}

static void add_mean(mls_table *t, mls_mean m)
{
    mls_table_cells(t, "%g %g", m.mean, m.half);
}

mls_table *mls_neighbours_table(const mls_neighbours *n)
{
    mls_table *t = mls_table_new(NULL);

    MLS_COLUMNS(t, {"layer", "layer", "", 0}, {"next", "next", "", 0},
                {"matrix", "matrix", "", 0}, {"rank", "95 %", "rank", 0},
                {"rank_next", "next", "rank", 0});
    mean_column(t, "pooled", "pooled", "rank", 0);
    mls_table_column(t, "pooled_percent", "of both", "%", 1);
    mean_column(t, "overlap", "overlap", "", 3);
    mls_table_column(t, "chance", "by chance", "", 3);
    mls_table_detail(t);
    mean_column(t, "angle", "median angle", "°", 1);
    mean_column(t, "angle_largest", "largest", "°", 1);
    mean_column(t, "inputs_cosine", "inputs' cosine", "", 3);
    for (size_t i = 0; i < n->n; i++) {
        const mls_neighbours_row *r = &n->row[i];
        const size_t larger = r->rank[r->rank[1] > r->rank[0]];

        mls_table_line(t, "%zu %zu %s %zu %zu", r->first, r->second,
                       mls_matrix_name(r->matrix), r->rank[0], r->rank[1]);
        add_mean(t, r->pooled);
        mls_table_real(t, 100 * r->pooled.mean / (double)(r->rank[0] + r->rank[1]));
        add_mean(t, r->overlap);
        mls_table_real(t, (double)larger / (double)n->tokens);
        add_mean(t, r->angle);
        add_mean(t, r->largest);
        add_mean(t, r->inputs);
    }
    mls_table_say(
        t, "pooled: directions for 95 %% of both layers side by side, each scaled to "
           "energy 1; of both: of the sum of their own ranks, 50 %% where they are "
           "the same, 100 %% where they share nothing");
    mls_table_note(t, "overlap: mean squared cosine of the principal angles between "
                      "what the leading directions make of the tokens; inputs' cosine: "
                      "of each token's normed inputs to both; ±: 95 % over windows");
    return t;
}

mls_table *mls_latent_top_table(const mls_latent_top *top)
{
    mls_table *t = mls_table_new(NULL);

    mls_table_column(t, "layer", "layer", "", 0);
    mls_table_column(t, "rank", "rank", "", 0);
    mean_column(t, "found_percent", "found", "%", 1);
    mean_column(t, "mass_percent", "attention", "%", 1);
    mean_column(t, "turned_found_percent", "turned: found", "%", 1);
    mean_column(t, "turned_mass_percent", "attention", "%", 1);
    for (size_t i = 0; i < top->n; i++) {
        const mls_latent_top_row *r = &top->row[i];
        const mls_mean m[] = {r->found, r->mass, r->turned_found, r->turned_mass};

        mls_table_line(t, "%zu %zu", r->layer, r->rank);
        for (size_t k = 0; k < sizeof m / sizeof m[0]; k++)
            add_mean(t, (mls_mean){100 * m[k].mean, 100 * m[k].half});
    }
    mls_table_note(t,
                   "found: of the eighth of the tokens with the largest true scores, "
                   "how many are among those that one latent of all keys before RoPE "
                   "gives, nothing turned; attention: on those chosen, of that on the "
                   "true ones");
    mls_table_note(t, "turned: keys are read back of the latent and turned first; mean "
                      "over query heads and 32 later queries of each window, ±: 95 % "
                      "over windows");
    return t;
}

/* What each of these scripts is told: the last layer, are intervals known? */
static void tell(mls_buf *script, size_t last, bool bars)
{
    mls_buf_printf(script, "last = %zu\nbars = %d\n", last, bars);
}

mls_status mls_rotation_plot(const char *folder, const mls_spectra *s, mls_err *err)
{
    mls_table *t = mls_table_new(NULL);
    mls_buf script = {0};
    const mls_status st = mls_rank_table(t, s, MLS_RANK_OF_DATA, err);

    if (st) {
        mls_table_free(t);
        return st;
    }
    tell(&script, s->n ? s->row[s->n - 1].layer : 0, s->n && s->row[0].spread.windows);
    mls_buf_puts(&script, mls_rotation_gp);
    return mls_plot_take(folder, "rank-rotation", t, &script, 0, err);
}

mls_status mls_neighbours_plot(const char *folder, const mls_neighbours *n,
                               mls_err *err)
{
    mls_buf script = {0};

    tell(&script, n->n ? n->row[n->n - 1].first : 0,
         n->n && !isnan(n->row[0].overlap.half));
    mls_buf_puts(&script, mls_neighbours_gp);
    return mls_plot_take(folder, "rank-neighbours", mls_neighbours_table(n), &script, 0,
                         err);
}

mls_status mls_latent_top_plot(const char *folder, const mls_latent_top *top,
                               mls_err *err)
{
    mls_buf script = {0}, list = {0};
    size_t n = 0;

    for (; n < top->n && top->row[n].layer == top->row[0].layer; n++)
        mls_buf_printf(&list, "rank[%zu] = %zu\n", n + 1, top->row[n].rank);
    tell(&script, top->n ? top->row[top->n - 1].layer : 0,
         top->n && !isnan(top->row[0].found.half));
    mls_buf_printf(&script, "ranks = %zu\narray rank[%zu]\n%s%s", n, n ? n : 1,
                   list.data ? list.data : "", mls_top_tokens_gp);
    script.failed |= list.failed;
    mls_buf_free(&list);
    return mls_plot_take(folder, "top-tokens", mls_latent_top_table(top), &script, 0,
                         err);
}
