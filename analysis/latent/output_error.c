/*
 * Over the windows of a capture, all tokens and dims:
 *
 *   error = sum |out - original|^2 / sum |original|^2
 *
 * The original's outputs are made by the same runner rather than taken from the
 * capture, so that the two differ where the form does and not in the order of sums. NaN
 * where the question has no answer: a form that reads another layer's cache, an
 * original that puts out nothing.
 */
#include "analysis/latent/output_error.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/checked.h"

void mls_output_windows_free(mls_output_windows *w)
{
    mls_free_all(w->x, w->out);
    *w = (mls_output_windows){0};
}

/* The attention output of every window under the runner's form. */
typedef struct {
    const mls_output_windows *w;
    mls_latent_runner *runner;
    float *out; /* (n, T, E) */
} run;

static mls_status run_window(void *arg, size_t window, size_t worker, mls_err *err)
{
    const run *r = arg;
    const size_t at = window * r->w->T * r->w->E;

    return mls_latent_attention(r->runner, window, worker, r->w->x + at, r->w->T,
                                r->out + at, NULL, err);
}

static mls_status run_form(float *out, const mls_output_windows *w,
                           const mls_latent_form *f, mls_err *err)
{
    run r = {.w = w, .out = out};
    mls_status st =
        mls_latent_runner_new(&r.runner, w->T, mls_pool_threads(w->pool), false, err);

    if (!st)
        st = mls_latent_runner_set(r.runner, f, NULL, err);
    if (!st)
        st = mls_pool_run(w->pool, w->n, run_window, &r, err);
    mls_latent_runner_free(r.runner);
    return st;
}

mls_status mls_output_windows_load(mls_output_windows *out, mls_capture *capture,
                                   const mls_latent_form *original, size_t n,
                                   mls_pool *pool, mls_err *err)
{
    const size_t T = mls_capture_window_length(capture), E = original->E;
    const size_t all = mls_capture_windows(capture);
    mls_status st = MLS_OK;

    *out = (mls_output_windows){.n = n < all ? n : all, .T = T, .E = E, .pool = pool};
    if (out->n == 0)
        return mls_fail(err, MLS_E_INPUT,
                        "%s holds no windows, on which an output could be computed",
                        mls_capture_path(capture));
    out->x = mls_calloc3(out->n, T, E, sizeof *out->x);
    out->out = mls_calloc3(out->n, T, E, sizeof *out->out);
    if (!out->x || !out->out)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for %zu windows of layer %zu",
                      out->n, original->layer);
    for (size_t i = 0; !st && i < out->n; i++)
        st = mls_capture_window(capture, original->layer, i, MLS_WINDOW_X,
                                out->x + i * T * E, err);
    if (!st)
        st = run_form(out->out, out, original, err);
    for (size_t i = 0; !st && i < out->n * T * E; i++)
        out->power += (double)out->out[i] * (double)out->out[i];
    if (st)
        mls_output_windows_free(out);
    return st;
}

mls_status mls_output_error(double *error, const mls_output_windows *w,
                            const mls_latent_form *f, mls_err *err)
{
    float *out;
    double sum = 0;
    mls_status st;

    *error = NAN;
    if (f->share_layer >= 0)
        return MLS_OK;
    out = mls_calloc3(w->n, w->T, w->E, sizeof *out);
    if (!out)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the outputs of layer %zu",
                        f->layer);
    st = run_form(out, w, f, err);
    for (size_t i = 0; !st && i < w->n * w->T * w->E; i++) {
        const double d = (double)out[i] - (double)w->out[i];

        sum += d * d;
    }
    if (!st)
        *error = w->power > 0 ? sum / w->power : sum > 0 ? (double)NAN : 0;
    free(out);
    return st;
}
