#include "analysis/spectrum/spectra.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/spectrum/outputs.h"
#include "common/base/checked.h"

void mls_spectra_free(mls_spectra *s)
{
    for (size_t i = 0; i < s->n; i++) {
        mls_spectrum_free(&s->row[i].spectrum);
        mls_spectrum_spread_free(&s->row[i].spread);
    }
    free(s->row);
    *s = (mls_spectra){0};
}

typedef struct work {
    const mls_model *model; /* or NULL */
    const mls_config *config;
    const mls_layer_stats *stats; /* (n_layers), or NULL */
    mls_layer *layer;             /* (n_layers) of the batch */
    size_t first_layer, n_layers, rows_per_layer;
    const mls_spectra_request *request;
    /* (n_layers, MLS_MATRICES) what the windows hold, as far as asked for; with a model
       their inputs, in the first of each layer. */
    mls_outputs *seen;
    mls_spectra_row *row;
} work;

static mls_status read_layer(void *arg, size_t job, size_t worker, mls_err *err)
{
    const work *w = arg;

    (void)worker;
    return mls_model_attention(w->model, w->first_layer + job, &w->layer[job], err);
}

/* Of a row: the spectrum where only windows know it, and its intervals. */
static mls_status look_at_windows(const work *w, size_t in_batch, mls_spectra_row *row,
                                  const float *rows, size_t m, mls_err *err)
{
    const mls_outputs *seen = w->seen + in_batch * MLS_MATRICES;
    const size_t parts = row->matrix == MLS_MATRIX_KV ? 2 : 1;
    const bool whole = row->head == MLS_WHOLE_LAYER;
    mls_outputs own = {0};
    mls_window_moments moments = {0};
    mls_status st = MLS_OK;

    if (w->model)
        st = mls_outputs_project(&own, seen, rows, m, err);
    else if (!whole)
        st = mls_outputs_head(&own, seen + row->matrix, row->head, w->config->D, parts,
                              err);
    if (!st)
        st = mls_outputs_moments(&moments, own.y ? &own : seen + row->matrix, err);
    if (!st && !w->model && whole) {
        double *second = mls_calloc3(moments.m, moments.m, 1, sizeof *second);

        if (second)
            mls_window_moments_draw(second, &moments, 0, 0);
        st = second ? mls_spectrum_of_second(&row->spectrum, second, moments.m, err)
                    : mls_fail(err, MLS_E_NOMEM, "no memory for a spectrum");
        free(second);
    }
    if (!st)
        st = mls_spectrum_spread_of(&row->spread, &moments, w->request->draws,
                                    w->request->seed, err);
    mls_window_moments_free(&moments);
    mls_outputs_free(&own);
    return st;
}

/* The windows of the batch that its rows will look at. */
static mls_status read_windows(work *w, mls_capture *capture, mls_err *err)
{
    const mls_spectra_request *r = w->request;
    mls_status st = MLS_OK;

    for (size_t i = 0; !st && i < w->n_layers; i++) {
        mls_outputs *seen = w->seen + i * MLS_MATRICES;
        const size_t l = w->first_layer + i;

        if (w->model && r->draws)
            st = mls_outputs_load_inputs(seen, capture, l, err);
        for (int k = 0; !st && !w->model && k < MLS_MATRICES; k++)
            if (r->matrix[k] && (r->draws || !r->per_head))
                st = mls_outputs_load(&seen[k], capture, l, (mls_matrix)k, err);
    }
    return st;
}

/*
 * One spectrum of the batch. The last matrices of a layer are the largest: they begin,
 * and what is small fills up the threads at the end.
 */
static mls_status run_row(void *arg, size_t job, size_t worker, mls_err *err)
{
    const work *w = arg;
    const size_t in_batch = job % w->n_layers, l = w->first_layer + in_batch;
    const size_t i = w->rows_per_layer - 1 - job / w->n_layers;
    const mls_layer_stats *stats = w->stats ? &w->stats[in_batch] : NULL;
    mls_spectra_row *row = &w->row[l * w->rows_per_layer + i];
    const size_t E = w->config->E;
    float *rows = NULL;
    size_t m = 0;
    mls_status st = MLS_OK;

    (void)worker;
    if (w->model) {
        st = mls_matrix_rows(w->config, &w->layer[in_batch], row->matrix, row->head,
                             &rows, &m, err);
        if (!st && stats)
            st =
                mls_spectrum_weighted(&row->spectrum, rows, m, E, stats->x_second, err);
        else if (!st)
            st = mls_spectrum_plain(&row->spectrum, rows, m, E, err);
    } else if (row->head != MLS_WHOLE_LAYER) {
        st = mls_spectrum_captured(&row->spectrum, stats, row->matrix, row->head, err);
    }
    if (!st && w->seen[in_batch * MLS_MATRICES + (w->model ? 0 : row->matrix)].n)
        st = look_at_windows(w, in_batch, row, rows, m, err);
    free(rows);
    if (st)
        mls_fail_in(err, st, "layer %zu, %s", l, mls_matrix_name(row->matrix));
    return st;
}

/* Names every spectrum; the values come later. */
static mls_status make_rows(mls_spectra *s, const mls_config *config,
                            const mls_spectra_request *request, size_t *per_layer,
                            mls_err *err)
{
    size_t n = 0, at = 0;

    for (int k = 0; k < MLS_MATRICES; k++)
        if (request->matrix[k])
            n += request->per_head ? mls_matrix_heads((mls_matrix)k, config) : 1;
    s->row = mls_calloc3(config->L, n, 1, sizeof *s->row);
    if (!s->row)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu spectra", config->L * n);
    s->n = config->L * n;
    *per_layer = n;
    for (size_t l = 0; l < config->L; l++)
        for (int k = 0; k < MLS_MATRICES; k++) {
            const mls_matrix matrix = (mls_matrix)k;
            const size_t heads =
                request->per_head ? mls_matrix_heads(matrix, config) : 1;

            for (size_t h = 0; request->matrix[k] && h < heads; h++)
                s->row[at++] = (mls_spectra_row){
                    .layer = l,
                    .matrix = matrix,
                    .head = request->per_head ? h : MLS_WHOLE_LAYER,
                };
        }
    return MLS_OK;
}

static mls_status same_model(const mls_model *model, const mls_capture *capture,
                             const mls_progress *progress, mls_err *err)
{
    const char *folder = mls_checkpoint_folder(mls_model_checkpoint(model));
    char hex[65];
    const mls_status st =
        mls_checkpoint_sha256(mls_model_checkpoint(model), hex, progress, err);

    if (st)
        return st;
    if (strcmp(hex, mls_capture_model_sha256(capture)) != 0)
        return mls_fail(err, MLS_E_INPUT,
                        "the capture is of another model: SHA-256 %.12s, but %s has "
                        "%.12s",
                        mls_capture_model_sha256(capture), folder, hex);
    return MLS_OK;
}

mls_status mls_spectra_run(mls_spectra *s, const mls_model *model, mls_capture *capture,
                           const mls_spectra_request *request, mls_pool *pool,
                           const mls_progress *progress, mls_err *err)
{
    const mls_config *config =
        model ? mls_model_config(model) : mls_capture_config(capture);
    const size_t batch = mls_pool_threads(pool);
    mls_layer_stats *stats = NULL; /* (batch) */
    work w = {.model = model, .config = config, .request = request};
    mls_status st = MLS_OK;

    *s = (mls_spectra){0};
    if (!model && !request->per_head && mls_capture_windows(capture) == 0)
        return mls_fail(err, MLS_E_INPUT,
                        "the capture keeps moments of each head by itself and no "
                        "windows: ask for --per head, or give MODEL --weighted RUN.h5");
    if (model && request->matrix[MLS_MATRIX_K_ROT])
        return mls_fail(err, MLS_E_INPUT,
                        "k_rot, keys after RoPE, is of captured outputs: give RUN.h5 "
                        "instead of the model");
    if (model && capture) {
        st = same_model(model, capture, progress, err);
        if (st)
            return st;
    }
    st = make_rows(s, config, request, &w.rows_per_layer, err);
    w.layer = calloc(batch, sizeof *w.layer);
    w.seen = mls_calloc3(batch, MLS_MATRICES, 1, sizeof *w.seen);
    if (!st && (!w.layer || !w.seen))
        st = mls_fail(err, MLS_E_NOMEM, "no memory for %zu layers", batch);
    if (!st && capture) {
        stats = calloc(batch, sizeof *stats);
        if (!stats)
            st = mls_fail(err, MLS_E_NOMEM, "no memory for %zu layers", batch);
    }
    w.row = s->row;
    w.stats = stats;
    for (; w.first_layer < config->L && !st; w.first_layer += batch) {
        const size_t left = config->L - w.first_layer, n = left < batch ? left : batch;

        st = mls_progress_step(progress, "spectra", (double)w.first_layer,
                               (double)config->L, err);
        for (size_t i = 0; stats && i < n && !st; i++)
            st = mls_capture_stats(capture, w.first_layer + i, &stats[i], err);
        w.n_layers = n;
        if (!st && capture)
            st = read_windows(&w, capture, err);
        if (!st && model)
            st = mls_pool_run(pool, n, read_layer, &w, err);
        if (!st)
            st = mls_pool_run(pool, n * w.rows_per_layer, run_row, &w, err);
        for (size_t i = 0; i < n; i++)
            mls_layer_free(&w.layer[i]);
        for (size_t i = 0; w.seen && i < n * MLS_MATRICES; i++)
            mls_outputs_free(&w.seen[i]);
        for (size_t i = 0; stats && i < n; i++)
            mls_layer_stats_free(&stats[i]);
    }
    if (!st)
        st = mls_progress_step(progress, "spectra", (double)config->L,
                               (double)config->L, err);
    if (st)
        mls_spectra_free(s);
    free(w.layer);
    free(w.seen);
    free(stats);
    return st;
}
