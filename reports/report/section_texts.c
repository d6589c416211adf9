/*
 * What the text changes: choices of chunks, subspaces and losses when one text
 * calibrates and another is read. A setting whose loss on text B depends on whether A
 * or B calibrated it wants a mixture of what it will read.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analysis/frequency/agreement.h"
#include "analysis/frequency/frequency.h"
#include "analysis/numeric/linalg.h"
#include "analysis/spectrum/spectrum.h"
#include "bench/frame/fit.h"
#include "common/base/checked.h"
#include "reports/report/measured.h"
#include "reports/report/sections.h"

enum { RULES = 2, SETTINGS = 2, CELLS = RULES + 1 + SETTINGS };

static const char *const rules[RULES] = {"2-norm", "contribution"};
static const char *const methods[SETTINGS] = {"kq", "transmla"};

/* Calibrated on text a, read on text b: (n, n, CELLS); the last are KL. */
typedef struct {
    size_t n;
    mls_mean *cell;
    char setting[SETTINGS][MLS_SCHEME_NAME];
    bool measured[SETTINGS];
} matrix;

static mls_mean *cell_of(matrix *m, size_t a, size_t b, size_t what)
{
    return &m->cell[(a * m->n + b) * CELLS + what];
}

/* Share of the chunks that a capture of a keeps which one of b keeps, too. */
static double kept_again(const mls_frequency *a, const mls_frequency *b, size_t rule)
{
    double common = 0, kept = 0;

    for (size_t l = 0; l < a->L; l++) {
        const mls_selection *x = mls_frequency_selection(a, rule, 0, l);
        const mls_selection *y = mls_frequency_selection(b, rule, 0, l);

        for (size_t g = 0; g < a->G; g++) {
            common += (double)mls_order_common(x->order + g * a->C, x->count[g],
                                               y->order + g * a->C, y->count[g]);
            kept += (double)x->count[g];
        }
    }
    return kept > 0 ? common / kept : (double)NAN;
}

static mls_status compare_choices(matrix *m, const mls_report *r, mls_err *err)
{
    const size_t C = mls_model_config(r->model)->D / 2, budget = C / 8 ? C / 8 : 1;
    mls_frequency *f = mls_calloc3(m->n, 1, 1, sizeof *f);
    mls_status st = f ? MLS_OK : mls_fail(err, MLS_E_NOMEM, "no memory for choices");

    for (size_t i = 0; !st && i < m->n; i++)
        st = mls_frequency_run(
            &f[i], r->text[i].capture,
            &(mls_frequency_request){
                .rules = rules, .n_rules = RULES, .chunks = &budget, .n_chunks = 1},
            r->pool, r->progress, err);
    for (size_t a = 0; !st && a < m->n; a++)
        for (size_t b = 0; b < m->n; b++)
            for (size_t k = 0; k < RULES; k++)
                cell_of(m, a, b, k)->mean = 100 * kept_again(&f[a], &f[b], k);
    for (size_t i = 0; f && i < m->n; i++)
        mls_frequency_free(&f[i]);
    free(f);
    return st;
}

/* trace(U G U^T) of the first r rows of U (m, m). */
static double energy_in(const double *u, const double *g, size_t r, size_t m,
                        double *room)
{
    double sum = 0;

    mls_matmul(room, u, false, g, false, r, m, m);
    for (size_t i = 0; i < r * m; i++)
        sum += room[i] * u[i];
    return sum;
}

/* One layer's [k; v]: moments and directions of each text (n, m, m). */
static mls_status layer_subspaces(matrix *m, const mls_report *r, size_t l,
                                  double weight, mls_err *err)
{
    const mls_config *c = mls_model_config(r->model);
    const size_t width = 2 * c->G * c->D, ww = width * width, n = m->n;
    const size_t rank = width / 4 ? width / 4 : 1;
    double *g = mls_calloc3(n, width, width, sizeof *g);
    double *u = mls_calloc3(n, width, width, sizeof *u);
    double *room = mls_calloc3(width, width, 1, sizeof *room);
    mls_layer layer = {0};
    float *rows = NULL;
    size_t m_rows;
    mls_status st = g && u && room
                        ? mls_model_attention(r->model, l, &layer, err)
                        : mls_fail(err, MLS_E_NOMEM, "no memory for a layer");

    if (!st)
        st = mls_matrix_rows(c, &layer, MLS_MATRIX_KV, MLS_WHOLE_LAYER, &rows, &m_rows,
                             err);
    for (size_t i = 0; !st && i < n; i++) {
        mls_layer_stats stats = {0};

        st = mls_capture_stats(r->text[i].capture, l, &stats, err);
        if (!st)
            st = mls_second_of_outputs(g + i * ww, &stats, rows, NULL, width, err);
        if (!st)
            st = mls_eigen(g + i * ww, width, room, u + i * ww, err);
        mls_layer_stats_free(&stats);
    }
    for (size_t a = 0; !st && a < n; a++)
        for (size_t b = 0; b < n; b++)
            cell_of(m, a, b, RULES)->mean +=
                100 * weight * energy_in(u + a * ww, g + b * ww, rank, width, room) /
                energy_in(u + b * ww, g + b * ww, rank, width, room);
    mls_free_all(g, u, room, rows);
    mls_layer_free(&layer);
    return st;
}

static mls_status compare_subspaces(matrix *m, const mls_report *r, mls_err *err)
{
    const mls_config *c = mls_model_config(r->model);
    size_t layers = 0;
    mls_status st = MLS_OK;

    for (size_t l = 0; l < c->L; l++)
        layers += mls_layer_is_attention(&c->layer[l]);
    for (size_t l = 0; !st && l < c->L; l++) {
        st = mls_progress_step(r->progress, "subspaces of texts", (double)l,
                               (double)c->L, err);
        if (!st && mls_layer_is_attention(&c->layer[l]))
            st = layer_subspaces(m, r, l, 1.0 / (double)layers, err);
    }
    return st;
}

/* KL of the first setting of each method at a quarter of the cache. */
static mls_status compare_losses(matrix *m, const mls_report *r, mls_err *err)
{
    const mls_config *c = mls_model_config(r->model);
    mls_status st = MLS_OK;

    for (size_t k = 0; !st && k < SETTINGS; k++) {
        mls_scheme scheme = {0};
        mls_setting first;
        bool found;

        st = mls_method_first_fit(&first, &found, methods[k], c, MLS_REPORT_KEEP, err);
        if (found)
            st = mls_scheme_uniform(&scheme, &first, c->L, err);
        if (!st && found) {
            m->measured[k] = true;
            snprintf(m->setting[k], sizeof m->setting[k], "%s", scheme.name);
        }
        for (size_t at = 0; !st && m->measured[k] && at < m->n * m->n; at++) {
            const size_t a = at / m->n, b = at % m->n;
            const mls_variant v = {.scheme = &scheme, .only_layer = MLS_NONE};
            const mls_evaluate_options how = {.keep_going = true};
            mls_method_input in = mls_measured_input(r);
            mls_evaluation e = {0};

            in.capture = r->text[a].capture;
            in.forms = NULL; /* of the report's own capture */
            st = mls_evaluate(&e, &in, r->text[b].held, &v, 1, &how, r->progress, err);
            if (!st)
                *cell_of(m, a, b, RULES + 1 + k) = e.variant[0].kl;
            mls_evaluation_free(&e);
        }
        mls_scheme_free(&scheme);
    }
    return st;
}

static mls_table *matrix_table(matrix *m, const mls_report *r)
{
    mls_table *t = mls_table_new(NULL);
    char key[64];

    mls_table_column(t, "captured", "captured on", "", 0);
    mls_table_column(t, "read", "read on", "", 0);
    for (size_t k = 0; k < RULES; k++) {
        snprintf(key, sizeof key, "same_%zu_percent", k);
        mls_table_column(t, key, rules[k], "% of its chunks", 1);
    }
    mls_table_column(t, "subspace_percent", "subspace", "%", 2);
    for (size_t k = 0; k < SETTINGS; k++)
        if (m->measured[k]) {
            snprintf(key, sizeof key, "kl_%s", methods[k]);
            mls_table_column(t, key, m->setting[k], "nat", 4);
            snprintf(key, sizeof key, "kl_%s_half", methods[k]);
            mls_table_column(t, key, "±", "nat", 4);
        }
    for (size_t a = 0; a < m->n; a++)
        for (size_t b = 0; b < m->n; b++) {
            mls_table_line(t, "%s %s", r->text[a].name, r->text[b].name);
            for (size_t k = 0; k <= RULES; k++)
                mls_table_real(t, cell_of(m, a, b, k)->mean);
            for (size_t k = 0; k < SETTINGS; k++)
                if (m->measured[k]) {
                    mls_table_cells(t, "%g %g", cell_of(m, a, b, RULES + 1 + k)->mean,
                                    cell_of(m, a, b, RULES + 1 + k)->half);
                }
        }
    mls_table_note(t,
                   "chunks: those that a rule keeps on both texts; subspace: energy "
                   "of [k; v] of the text read that the leading quarter of the other "
                   "text's directions holds, of what its own would; KL: of the first "
                   "setting at 25 % of the cache, on windows of the text read");
    return t;
}

/* The pair of texts where another text's calibration costs most, in KL. */
static double worst(matrix *m, size_t *from, size_t *to)
{
    double most = 0;

    for (size_t a = 0; a < m->n; a++)
        for (size_t b = 0; b < m->n; b++)
            for (size_t k = 0; k < SETTINGS; k++) {
                const double own = cell_of(m, b, b, RULES + 1 + k)->mean;
                const double ratio = cell_of(m, a, b, RULES + 1 + k)->mean / own;

                if (m->measured[k] && ratio > most) {
                    most = ratio;
                    *from = a;
                    *to = b;
                }
            }
    return most;
}

mls_status mls_section_texts(const mls_report *r, mls_page *page, mls_buf *summary,
                             mls_err *err)
{
    matrix m = {.n = r->n_texts};
    size_t from = 0, to = 0;
    mls_table *t;
    mls_status st;

    if (r->n_texts < 2)
        return MLS_OK;
    m.cell = mls_calloc3(m.n, m.n, CELLS, sizeof *m.cell);
    st = m.cell ? compare_choices(&m, r, err)
                : mls_fail(err, MLS_E_NOMEM, "no memory for a report");
    if (!st)
        st = compare_subspaces(&m, r, err);
    if (!st)
        st = compare_losses(&m, r, err);
    if (!st) {
        const double ratio = worst(&m, &from, &to);

        mls_page_section(page, "texts", "What the text changes");
        mls_page_lead(page,
                      "Calibrated on %s and read on %s a setting loses %.2f times what "
                      "it loses when %s calibrates it: %s.",
                      r->text[from].name, r->text[to].name, ratio, r->text[to].name,
                      ratio > 1.2 ? "calibrate on what the model will read"
                                  : "either text will do");
        mls_buf_printf(summary,
                       "texts: captured on %s and read on %s, KL is %.2f times that of "
                       "its own capture\n",
                       r->text[from].name, r->text[to].name, ratio);
        t = matrix_table(&m, r);
        mls_page_table(page, t);
        mls_table_free(t);
    }
    free(m.cell);
    return st;
}
