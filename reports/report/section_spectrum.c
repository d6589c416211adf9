/* Singular values of the projections, plain and as the data weighs them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analysis/spectrum/spectrum.h"
#include "common/base/checked.h"
#include "reports/page/plot.h"
#include "reports/report/sections.h"

enum { PANELS_MAX = 12 };

static const mls_matrix matrices[] = {MLS_MATRIX_Q, MLS_MATRIX_K, MLS_MATRIX_V,
                                      MLS_MATRIX_KV};

static void add_rows(mls_table *curves, mls_table *ranks, size_t layer,
                     mls_matrix matrix, bool weighted, const mls_spectrum *s)
{
    const mls_spectrum_summary sum = mls_spectrum_summarize(s->sigma, s->n);

    for (size_t i = 0; i < s->n; i++) {
        mls_table_row(curves);
        mls_table_count(curves, (long long)layer);
        mls_table_text(curves, mls_matrix_name(matrix));
        mls_table_text(curves, weighted ? "data" : "weights");
        mls_table_count(curves, (long long)i + 1);
        mls_table_real(curves, s->sigma[i]);
        mls_table_real(curves,
                       s->sigma[0] > 0 ? s->sigma[i] / s->sigma[0] : (double)NAN);
    }
    mls_table_row(ranks);
    mls_table_count(ranks, (long long)layer);
    mls_table_text(ranks, mls_matrix_name(matrix));
    mls_table_text(ranks, weighted ? "data" : "weights");
    mls_table_count(ranks, (long long)s->n);
    mls_table_real(ranks, sum.effective_rank_energy);
    mls_table_real(ranks, sum.stable_rank);
    mls_table_count(ranks, (long long)sum.rank_90);
    mls_table_count(ranks, (long long)sum.rank_95);
    mls_table_count(ranks, (long long)sum.rank_99);
}

/* Both spectra of one matrix of one layer; the mean rank for 95 % goes to sum95. */
static mls_status one_matrix(const mls_report *r, mls_table *curves, mls_table *ranks,
                             const mls_layer *layer, const mls_layer_stats *stats,
                             mls_matrix matrix, double sum95[2], mls_err *err)
{
    const mls_config *c = mls_model_config(r->model);
    float *rows = NULL;
    size_t m;
    mls_status st = mls_matrix_rows(c, layer, matrix, MLS_WHOLE_LAYER, &rows, &m, err);

    for (int weighted = 0; !st && weighted < 2; weighted++) {
        mls_spectrum s = {0};

        st = weighted ? mls_spectrum_weighted(&s, rows, m, c->E, stats->x_second, err)
                      : mls_spectrum_plain(&s, rows, m, c->E, err);
        if (!st) {
            add_rows(curves, ranks, layer->index, matrix, weighted, &s);
            if (matrix == MLS_MATRIX_KV)
                sum95[weighted] += (double)mls_energy_rank(s.sigma, s.n, 0.95);
        }
        mls_spectrum_free(&s);
    }
    free(rows);
    return st;
}

/* Small multiples: layers spread evenly, the same axes in every panel. */
static mls_status draw(const mls_report *r, const mls_table *curves, mls_err *err)
{
    const mls_config *c = mls_model_config(r->model);
    const size_t panels = c->L < PANELS_MAX ? c->L : PANELS_MAX;
    const size_t columns = panels < 3 ? panels : 3,
                 rows = (panels + columns - 1) / columns;
    static const struct {
        const char *matrix, *kind, *title;
        int color, dash;
    } lines[] = {
        {"k", "weights", "W_k", 1, 2},         {"k", "data", "W_k, data", 1, 1},
        {"v", "weights", "W_v", 2, 2},         {"v", "data", "W_v, data", 2, 1},
        {"kv", "weights", "[W_k; W_v]", 3, 2}, {"kv", "data", "[W_k; W_v], data", 3, 1},
    };
    const double height = 140.0 + 230.0 * (double)rows;
    mls_buf script = {0};

    mls_buf_printf(&script,
                   "set multiplot layout %zu,%zu title \"Singular values per layer\" "
                   "margins 0.10,0.78,%.3f,%.3f spacing 0.03,%.3f\n"
                   "set logscale y\nset yrange [1e-4:1.2]\nset format y \"%%g\"\n"
                   "set xrange [0:%zu]\nset xtics %zu\n",
                   rows, columns, 55.0 / height, 1 - 60.0 / height, 60.0 / height,
                   2 * c->G * c->D, c->G * c->D);
    for (size_t p = 0; p < panels; p++) {
        const size_t l = panels == c->L ? p : p * (c->L - 1) / (panels - 1);

        mls_buf_printf(&script, "set title \"layer %zu\" offset 0,-0.7\n", l);
        mls_buf_puts(&script, p % columns == 0 ? "set ylabel \"σ / σ₁\"\n"
                                                 "set format y \"%g\"\n"
                                               : "unset ylabel\nset format y \"\"\n");
        mls_buf_puts(&script, p + columns >= panels ? "set xlabel \"index\"\n"
                                                    : "unset xlabel\n");
        mls_buf_puts(&script,
                     p == columns - 1
                         ? "set key at screen 0.99,0.9 right top Left reverse\n"
                         : "unset key\n");
        mls_buf_puts(&script, "plot ");
        for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
            mls_buf_printf(
                &script,
                "%s\"../data/spectrum.csv\" using (column(\"layer\") == %zu && "
                "strcol(\"matrix\") eq \"%s\" && strcol(\"kind\") eq \"%s\" ? "
                "column(\"index\") : NaN):\"sigma_relative\" with lines linetype %d "
                "linewidth 1.6 dashtype %d title \"%s\"",
                i ? ", \\\n     " : "", l, lines[i].matrix, lines[i].kind,
                lines[i].color, lines[i].dash, lines[i].title);
        mls_buf_puts(&script, "\n");
    }
    mls_buf_puts(&script, "unset multiplot\n");
    const mls_plot plot = {.name = "spectrum",
                           .data = curves,
                           .script = script.data ? script.data : "",
                           .width = 1000,
                           .height = (unsigned)height};
    const mls_status st = script.failed
                              ? mls_fail(err, MLS_E_NOMEM, "no memory for a plot")
                              : mls_plot_write(r->folder, &plot, err);
    mls_buf_free(&script);
    return st;
}

mls_status mls_section_spectrum(const mls_report *r, mls_page *page, mls_buf *summary,
                                mls_err *err)
{
    const mls_config *c = mls_model_config(r->model);
    mls_table *curves = mls_table_new(NULL), *ranks = mls_table_new(NULL);
    double sum95[2] = {0};
    mls_status st = MLS_OK;

    mls_table_column(curves, "layer", "layer", "", 0);
    mls_table_column(curves, "matrix", "matrix", "", 0);
    mls_table_column(curves, "kind", "kind", "", 0);
    mls_table_column(curves, "index", "index", "", 0);
    mls_table_column(curves, "sigma", "sigma", "", -1);
    mls_table_column(curves, "sigma_relative", "sigma / sigma_1", "", -1);
    mls_table_column(ranks, "layer", "layer", "", 0);
    mls_table_column(ranks, "matrix", "matrix", "", 0);
    mls_table_column(ranks, "kind", "of", "", 0);
    mls_table_column(ranks, "values", "values", "", 0);
    mls_table_column(ranks, "effective_rank", "effective rank", "", 1);
    mls_table_column(ranks, "stable_rank", "stable rank", "", 2);
    mls_table_column(ranks, "rank_90", "90 %", "rank", 0);
    mls_table_column(ranks, "rank_95", "95 %", "rank", 0);
    mls_table_column(ranks, "rank_99", "99 %", "rank", 0);
    for (size_t l = 0; !st && l < c->L; l++) {
        mls_layer layer = {0};
        mls_layer_stats stats = {0};
        char what[64];

        snprintf(what, sizeof what, "spectra, layer %zu of %zu", l + 1, c->L);
        st = mls_progress_step(r->progress, what, (double)l, (double)c->L, err);
        if (!st)
            st = mls_model_attention(r->model, l, &layer, err);
        if (!st)
            st = mls_capture_stats(r->capture, l, &stats, err);
        for (size_t i = 0; !st && i < sizeof matrices / sizeof matrices[0]; i++)
            st = one_matrix(r, curves, ranks, &layer, &stats, matrices[i], sum95, err);
        mls_layer_stats_free(&stats);
        mls_layer_free(&layer);
    }
    if (!st)
        st = draw(r, curves, err);
    if (!st) {
        const double L = (double)c->L;

        mls_page_section(page, "spectrum", "Singular values");
        mls_page_text(
            page,
            "How low the rank of keys and values is. 95 %% of the energy of "
            "[W_k; W_v] needs %.0f of %zu directions by the weights alone, and "
            "%.0f by what the text makes of them, on average over layers: the "
            "eigenvalues of W E[x x^T] W^T decide how much a truncation loses.",
            sum95[0] / L, 2 * c->G * c->D, sum95[1] / L);
        st = mls_page_figure(
            page, r->folder, "spectrum",
            "Singular values of each layer's projections, relative to "
            "the first. Dashed: of the weights; solid: of their outputs "
            "on the calibration text.",
            err);
        mls_page_details(page, "Ranks per layer", ranks);
        mls_buf_printf(summary,
                       "spectrum: 95 %% of the energy of [W_k; W_v] in %.0f of %zu "
                       "directions (weights), %.0f (data)\n",
                       sum95[0] / L, 2 * c->G * c->D, sum95[1] / L);
    }
    mls_table_free(curves);
    mls_table_free(ranks);
    return st;
}
