/*
 * Layers come in batches of as many as there are threads; within a batch each (matrix,
 * head, layer) is a job. A capture keeps moments of each head by itself, so what all
 * heads of a layer put out together is known from its windows alone. Where processes
 * share a run every row is a unit (parts.h): pass_row() is its writer and its reader,
 * and no figure depends on who made it.
 */
#include "analysis/spectrum/spectra.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/spectrum/outputs.h"
#include "common/base/checked.h"
#include "datasets/files/parts.h"

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
    bool *wanted; /* of every row: is made here */
} work;

/* Is a row of this layer of the batch made here? */
static bool is_wanted(const work *w, size_t in_batch)
{
    const bool *of = w->wanted + (w->first_layer + in_batch) * w->rows_per_layer;

    for (size_t i = 0; i < w->rows_per_layer; i++)
        if (of[i])
            return true;
    return false;
}

static mls_status read_layer(void *arg, size_t job, size_t worker, mls_err *err)
{
    const work *w = arg;

    (void)worker;
    return is_wanted(w, job)
               ? mls_model_keys(w->model, w->first_layer + job, &w->layer[job], err)
               : MLS_OK;
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

        if (!is_wanted(w, i))
            continue;
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
    if (!w->wanted[l * w->rows_per_layer + i])
        return MLS_OK;
    if (w->model) {
        st = mls_matrix_rows(w->config, &w->layer[in_batch], row->matrix, row->head,
                             &rows, &m, err);
        if (!st && stats)
            st =
                mls_spectrum_weighted(&row->spectrum, rows, m, E, stats->x_second, err);
        else if (!st)
            st = mls_spectrum_of_weights(&row->spectrum, rows, m, E, err);
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

/* --- Rows of a run that several processes share --- */

static void pass_values(mls_unit *u, double **x, size_t *n)
{
    mls_unit_pass(u, n, sizeof *n);
    if (u->reading && *n > (u->data.len - u->at) / sizeof **x)
        u->failed = true;
    if (u->reading && !u->failed && *n) {
        *x = mls_calloc3(*n, 1, 1, sizeof **x);
        u->failed = !*x;
    }
    if (!u->failed && *x)
        mls_unit_pass(u, *x, *n * sizeof **x);
}

static void pass_row(const work *w, size_t i, mls_unit *u)
{
    mls_spectrum *s = &w->row[i].spectrum;
    mls_spectrum_spread *y = &w->row[i].spread;
    uint64_t gram = s->gram, windows = y->windows;
    size_t m = y->sigma ? y->m : 0;
    double *const x[] = {&s->square_error,
                         &s->error,
                         &y->energy,
                         &y->effective_rank,
                         &y->effective_rank_energy,
                         &y->stable_rank,
                         &y->rank_90,
                         &y->rank_95,
                         &y->rank_99};

    pass_values(u, &s->sigma, &s->n);
    pass_values(u, &y->sigma, &m);
    mls_unit_pass(u, &gram, sizeof gram);
    mls_unit_pass(u, &windows, sizeof windows);
    for (size_t k = 0; k < sizeof x / sizeof x[0]; k++)
        mls_unit_pass(u, x[k], sizeof *x[k]);
    u->failed |= u->reading && y->sigma && m < s->n;
    s->gram = gram;
    y->windows = windows;
    y->m = m;
}

static void unit_name(char *name, size_t size, size_t i)
{
    snprintf(name, size, "spectrum %05zu", i);
}

/*
 * Layers without keys and values of the model's heads have no spectra; a latent has
 * those of what is read back from it.
 */
static bool has_spectra(const work *w, const mls_spectra_row *row)
{
    const size_t l = row->layer;

    if (w->model && w->config->layer[l].kind == MLS_LAYER_MLA)
        return row->matrix != MLS_MATRIX_Q;
    return w->model ? !mls_config_no_heads(w->config, l)
                    : mls_config_layer_is_seen(w->config, l);
}

/* Rows of such layers are dropped; MLS_E_INPUT where no other is left. */
static mls_status drop_rows(const work *w, mls_spectra *s, mls_err *err)
{
    const char *why = mls_config_no_heads(w->config, 0);
    size_t kept = 0;

    for (size_t i = 0; i < s->n; i++)
        if (has_spectra(w, &s->row[i]))
            s->row[kept++] = s->row[i];
    s->n = kept;
    if (kept)
        return MLS_OK;
    return mls_fail(err, MLS_E_INPUT,
                    "no layer of model_type \"%s\" has a spectrum: layer 0 %s",
                    w->config->model_type, why ? why : "was not seen");
}

/* Which rows are made here; those that a part has are read. */
static mls_status find_rows(const work *w, size_t n, mls_err *err)
{
    mls_parts *p = w->request->parts;
    mls_status st = MLS_OK;

    for (size_t i = 0; !st && i < n; i++) {
        char name[32];
        size_t first, found = 0;
        mls_unit u = {0};

        if (!has_spectra(w, &w->row[i]))
            continue;
        unit_name(name, sizeof name, i);
        if (p)
            st = mls_parts_find(p, name, &first, &found, err);
        w->wanted[i] = !found && !mls_parts_joining(p) && mls_parts_own(p, i, n);
        if (st || (!found && !mls_parts_joining(p)))
            continue;
        st = mls_parts_get(p, name, &u, err);
        if (!st)
            pass_row(w, i, &u);
        if (!st)
            st = mls_unit_end(&u, err);
        mls_unit_free(&u);
    }
    return st;
}

/* Those of the batch into the part. */
static mls_status keep_rows(const work *w, mls_err *err)
{
    const size_t first = w->first_layer * w->rows_per_layer;
    mls_status st = MLS_OK;

    for (size_t i = first; !st && i < first + w->n_layers * w->rows_per_layer; i++) {
        char name[32];
        mls_unit u = {0};

        if (!w->wanted[i])
            continue;
        unit_name(name, sizeof name, i);
        pass_row(w, i, &u);
        st = mls_parts_put(w->request->parts, name, &u, err);
        mls_unit_free(&u);
    }
    return st;
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
    w.wanted = mls_calloc3(s->n, 1, 1, sizeof *w.wanted);
    if (!st && !w.wanted)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for %zu spectra", s->n);
    if (!st)
        st = find_rows(&w, s->n, err);
    for (; w.first_layer < config->L && !st; w.first_layer += batch) {
        const size_t left = config->L - w.first_layer, n = left < batch ? left : batch;

        st = mls_progress_step(progress, "spectra", (double)w.first_layer,
                               (double)config->L, err);
        for (size_t i = 0; stats && i < n && !st; i++)
            if (is_wanted(&w, i))
                st = mls_capture_stats(capture, w.first_layer + i, &stats[i], err);
        w.n_layers = n;
        if (!st && capture)
            st = read_windows(&w, capture, err);
        if (!st && model)
            st = mls_pool_run(pool, n, read_layer, &w, err);
        if (!st)
            st = mls_pool_run(pool, n * w.rows_per_layer, run_row, &w, err);
        if (!st && request->parts)
            st = keep_rows(&w, err);
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
    if (!st)
        st = drop_rows(&w, s, err);
    if (st)
        mls_spectra_free(s);
    mls_free_all(w.layer, w.seen, w.wanted, stats);
    return st;
}
