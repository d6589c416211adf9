/* Ranks before and after RoPE, what neighbouring layers share, tokens by a latent. */
#include <string.h>

#include "analysis/spectrum/latent_top.h"
#include "analysis/spectrum/neighbours.h"
#include "analysis/spectrum/spectra.h"
#include "reports/report/sections.h"
#include "reports/tables/rank_tables.h"

enum { DRAWS = 10 /* of windows, behind intervals */ };

/* Mean rank at 95 % of a matrix over its layers. */
static double mean_rank(const mls_spectra *s, mls_matrix matrix)
{
    double sum = 0, n = 0;

    for (size_t i = 0; i < s->n; i++)
        if (s->row[i].matrix == matrix) {
            const mls_spectrum *x = &s->row[i].spectrum;

            sum += (double)mls_energy_rank(x->sigma, x->n, 0.95);
            n++;
        }
    return n > 0 ? sum / n : 0;
}

/* Two in a row are both named, more by the last. */
static void end_run(mls_buf *b, size_t *run, size_t last)
{
    if (*run)
        mls_buf_printf(b, *run > 1 ? " to %zu" : ", %zu", last);
    *run = 0;
}

/* Layers whose matrix has this label, "keys of layers 0, 2, 3". */
static void quote_one(mls_buf *b, const mls_spectra *s, mls_matrix matrix,
                      const char *label)
{
    size_t n = 0, last = 0, run = 0; /* of layers that follow each other */

    for (size_t i = 0; i < s->n; i++) {
        const mls_spectrum *x = &s->row[i].spectrum;
        const size_t layer = s->row[i].layer;

        if (s->row[i].matrix != matrix ||
            strcmp(mls_rank_label(mls_energy_rank(x->sigma, x->n, 0.95), x->n),
                   label) != 0)
            continue;
        if (n++ == 0) {
            mls_buf_printf(b, "%s%s: %s of layer %zu", b->len ? "; " : "", label,
                           mls_matrix_words(matrix), layer);
        } else if (layer == last + 1) {
            run++;
        } else {
            end_run(b, &run, last);
            mls_buf_printf(b, ", %zu", layer);
        }
        last = layer;
    }
    end_run(b, &run, last);
}

/* The labels worth a quotation, in a sentence. */
static void quote(mls_page *page, const mls_spectra *s)
{
    static const mls_matrix matrices[] = {MLS_MATRIX_K, MLS_MATRIX_K_ROT, MLS_MATRIX_V};
    const char *const labels[] = {mls_rank_label(1, 100), mls_rank_label(100, 100)};
    mls_buf b = {0};

    for (size_t l = 0; l < sizeof labels / sizeof labels[0]; l++)
        for (size_t m = 0; m < sizeof matrices / sizeof matrices[0]; m++)
            quote_one(&b, s, matrices[m], labels[l]);
    if (b.data && !b.failed)
        mls_page_text(page, "In short: %s.", b.data);
    mls_buf_free(&b);
}

static mls_status rotation(const mls_report *r, mls_page *page, mls_buf *summary,
                           mls_err *err)
{
    const mls_config *c = mls_model_config(r->model);
    const mls_spectra_request request = {
        .matrix =
            {[MLS_MATRIX_K] = true, [MLS_MATRIX_V] = true, [MLS_MATRIX_K_ROT] = true},
        .draws = DRAWS,
        .seed = 1};
    mls_spectra s = {0};
    mls_table *t = mls_table_new(NULL);
    mls_status st =
        mls_spectra_run(&s, NULL, r->capture, &request, r->pool, r->progress, err);

    if (!st)
        st = mls_rank_table(t, &s, MLS_RANK_OF_DATA, err);
    if (!st) {
        const double k = mean_rank(&s, MLS_MATRIX_K);
        const double turned = mean_rank(&s, MLS_MATRIX_K_ROT);
        const double v = mean_rank(&s, MLS_MATRIX_V);

        mls_page_heading(page, "With and without rotation");
        mls_page_text(
            page,
            "RoPE brings the directions of keys that hold 95 %% of the energy "
            "from %.0f to %.0f of %zu (values: %.0f): a latent of keys is "
            "smaller before the rotation, and %s.",
            k, turned, c->G * c->D, v,
            turned > 1.2 * k ? "methods that cache keys turned pay for it"
                             : "here the order hardly matters");
        quote(page, &s);
        mls_buf_printf(summary,
                       "rotation: keys need %.0f of %zu directions before RoPE, %.0f "
                       "after it; values %.0f\n",
                       k, c->G * c->D, turned, v);
        st = mls_rotation_plot(r->folder, &s, err);
        mls_page_alt(page,
                     "Directions for 95 %% of the energy, mean over layers: keys %.0f, "
                     "keys after RoPE %.0f, values %.0f.",
                     k, turned, v);
    }
    if (!st)
        st = mls_page_figure(page, r->folder, "rank-rotation",
                             "What the text makes of keys and values, layer by layer; "
                             "bars: 95 % intervals, windows resampled.",
                             err);
    if (!st)
        mls_page_details(page, "Keys before and after RoPE, and values", t);
    mls_table_free(t);
    mls_spectra_free(&s);
    return st;
}

static mls_status neighbours(const mls_report *r, mls_page *page, mls_err *err)
{
    mls_neighbours n = {0};
    mls_table *t = NULL;
    double overlap = 0, pooled = 0;
    mls_status st =
        mls_neighbours_run(&n, r->capture, DRAWS, 1, r->pool, r->progress, err);

    if (st || n.n == 0) {
        mls_neighbours_free(&n);
        return st;
    }
    for (size_t i = 0; i < n.n; i++) {
        const mls_neighbours_row *row = &n.row[i];

        if (row->matrix != MLS_MATRIX_V)
            continue;
        overlap += 3 * row->overlap.mean / (double)n.n;
        pooled +=
            3 * row->pooled.mean / (double)(row->rank[0] + row->rank[1]) / (double)n.n;
    }
    mls_page_heading(page, "Neighbouring layers");
    mls_page_text(page,
                  "One latent for a layer's values and the next one's would need "
                  "%.0f %% of the two latents (mean over pairs; 50 %%: they are the "
                  "same, 100 %%: they share nothing): %s.",
                  100 * pooled,
                  pooled < 0.65 ? "sharing across layers is worth a try"
                                : "sharing across layers saves little here");
    t = mls_neighbours_table(&n);
    st = mls_neighbours_plot(r->folder, &n, err);
    mls_page_alt(page,
                 "Overlap of values with the next layer's, mean over pairs: %.2f.",
                 overlap);
    if (!st)
        st = mls_page_figure(page, r->folder, "rank-neighbours",
                             "Mean squared cosine of the principal angles; 1: what one "
                             "layer's leading directions make of the tokens lies in "
                             "what the other's do.",
                             err);
    if (!st)
        mls_page_details(page, "Every pair of layers", t);
    mls_table_free(t);
    mls_neighbours_free(&n);
    return st;
}

static mls_status top_tokens(const mls_report *r, mls_page *page, mls_err *err)
{
    const mls_config *c = mls_model_config(r->model);
    const size_t rank = c->G * c->D / 4;
    mls_latent_top top = {0};
    mls_table *t = NULL;
    double found = 0, turned = 0;
    mls_status st =
        mls_latent_top_run(&top, r->capture, &rank, 1, r->pool, r->progress, err);

    if (st || top.n == 0)
        return st;
    for (size_t i = 0; i < top.n; i++) {
        found += 100 * top.row[i].found.mean / (double)top.n;
        turned += 100 * top.row[i].turned_found.mean / (double)top.n;
    }
    mls_page_heading(page, "Choosing tokens by a latent");
    mls_page_text(
        page,
        "Attention over the eighth of the tokens with the largest scores needs "
        "to find them: a latent of %zu numbers finds %.0f %% when nothing is "
        "turned (as SALS chooses) and %.0f %% when its keys are read back and "
        "turned.",
        rank, found, turned);
    t = mls_latent_top_table(&top);
    st = mls_latent_top_plot(r->folder, &top, err);
    mls_page_alt(page,
                 "Found on average over layers: %.0f %% not turned, %.0f %% turned.",
                 found, turned);
    if (!st)
        st =
            mls_page_figure(page, r->folder, "top-tokens",
                            "Share of the true top tokens that the latent finds.", err);
    if (!st)
        mls_page_details(page, "Top tokens by layer", t);
    mls_table_free(t);
    mls_latent_top_free(&top);
    return st;
}

mls_status mls_section_rotation(const mls_report *r, mls_page *page, mls_buf *summary,
                                mls_err *err)
{
    const mls_config *c = mls_model_config(r->model);
    mls_status st = rotation(r, page, summary, err);

    /* Twice as many numbers are taken apart for every pair and draw. */
    if (!st && c->G * c->D > MLS_SPREAD_WIDTH_MAX) {
        mls_page_text(page,
                      "Layers of more than %d numbers are not compared here: "
                      "mlascope spectrum run.h5 --neighbours and --top-tokens do "
                      "it.",
                      MLS_SPREAD_WIDTH_MAX);
        return MLS_OK;
    }
    if (!st)
        st = neighbours(r, page, err);
    if (!st && c->G * c->D >= 4)
        st = top_tokens(r, page, err);
    return st;
}
