/*
 * The output projection of a form by ridge regression: with z the outputs of its heads
 * on the captured windows and y the model's attention output, the W that makes least
 * |y - W z|^2 + ridge |W - W_O|^2. One solution in closed form for each strength of the
 * ridge; that with the least error on the held-out windows is taken, and none when all
 * are worse there than W_O itself. What W changes lies in the space of the z: with few
 * of them, all is done in that (refit_span.h).
 */
#include <cblas.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/latent/refit.h"
#include "analysis/latent/refit_span.h"
#include "analysis/numeric/linalg.h"
#include "common/base/checked.h"

enum { HELD_OUT = 8 };
static const double ridges[] = {1e-4, 1e-3, 1e-2, 1e-1, 1.0};

typedef struct {
    size_t n, T, E, O;
    float *x, *z, *y; /* (n, T, E), (n, T, O), (n, T, E) */
    mls_latent_runner *form, *original;
    mls_refit_span span;            /* of z; {0}: of all O dims */
    size_t R;                       /* dims of that */
    double *gram, *cross;           /* (R, R), (R, E) of the training windows */
    double *held_gram, *held_cross; /* the same of the others */
} job;

static mls_status run_window(void *arg, size_t window, size_t worker, mls_err *err)
{
    const job *j = arg;
    const float *x = j->x + window * j->T * j->E;
    mls_status st = mls_latent_heads(j->form, window, worker, x, j->T,
                                     j->z + window * j->T * j->O, err);

    return st ? st
              : mls_latent_attention(j->original, window, worker, x, j->T,
                                     j->y + window * j->T * j->E, NULL, err);
}

/* gram += z^T z, cross += z^T (y - W_O z - b) of one window. */
static mls_status add_window(const job *j, const mls_latent_form *f, size_t window,
                             double *gram, double *cross, mls_err *err)
{
    const size_t T = j->T, E = j->E, O = j->O, R = j->R;
    const float *z = j->z + window * T * O;
    const float *at = j->span.r ? j->span.at + window * T * R : z;
    float *y = j->y + window * T * E;
    double *wide = mls_calloc3(T, R + E, 1, sizeof *wide), *rest = wide + T * R;

    if (!wide)
        return mls_fail(err, MLS_E_NOMEM, "no memory to fit the output of layer %zu",
                        f->layer);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)T, (int)E, (int)O, -1.0F,
                z, (int)O, f->output.w, (int)O, 1.0F, y, (int)E);
    mls_widen(wide, at, T * R);
    for (size_t i = 0; i < T * E; i++)
        rest[i] = (double)y[i] - (f->output.b ? (double)f->output.b[i % E] : 0.0);
    cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, (int)R, (int)T, 1.0, wide,
                (int)R, 1.0, gram, (int)R);
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)R, (int)E, (int)T, 1.0,
                wide, (int)R, rest, (int)E, 1.0, cross, (int)E);
    free(wide);
    return MLS_OK;
}

/* What a change d (R, E) of W_O^T adds to the squared error of the held-out windows. */
static double held_change(const job *j, const double *d, double *product)
{
    double sum = 0;

    cblas_dsymm(CblasRowMajor, CblasLeft, CblasLower, (int)j->R, (int)j->E, 1.0,
                j->held_gram, (int)j->R, d, (int)j->E, 0.0, product, (int)j->E);
    for (size_t i = 0; i < j->R * j->E; i++)
        sum += d[i] * (product[i] - 2 * j->held_cross[i]);
    return sum;
}

/* best (R, E): the change of W_O^T that helps the held-out windows most; 0: none. */
static mls_status solve(const job *j, double *best, mls_err *err)
{
    const size_t R = j->R, E = j->E;
    double *factor = mls_calloc3(R, R, 1, sizeof *factor);
    double *d = mls_calloc3(R, 2 * E, 1, sizeof *d), *product = d + R * E;
    double mean = 0, least = 0;
    mls_status st = MLS_OK;

    if (!factor || !d)
        st = mls_fail(err, MLS_E_NOMEM, "no memory to fit an output projection");
    for (size_t i = 0; i < R; i++)
        mean += j->gram[i * R + i] / (double)j->O;
    for (size_t k = 0; !st && mean > 0 && k < sizeof ridges / sizeof ridges[0]; k++) {
        memcpy(factor, j->gram, R * R * sizeof *factor);
        for (size_t i = 0; i < R; i++)
            factor[i * R + i] += ridges[k] * mean;
        st = mls_cholesky(factor, R, err);
        if (st)
            break;
        memcpy(d, j->cross, R * E * sizeof *d);
        mls_cholesky_solve_columns(factor, R, d, E);
        const double change = held_change(j, d, product);
        if (change < least) {
            least = change;
            memcpy(best, d, R * E * sizeof *best);
        }
    }
    mls_free_all(factor, d);
    return st;
}

/* Room for the sums of training and held-out windows, and for the change. */
static mls_status sums_new(job *j, double **best, mls_err *err)
{
    const size_t R = j->R, E = j->E;

    *best = mls_calloc3(R, E, 1, sizeof **best);
    j->gram = mls_calloc3(2 * R, R + E, 1, sizeof *j->gram);
    if (!*best || !j->gram)
        return mls_fail(err, MLS_E_NOMEM, "no memory to fit an output projection");
    j->cross = j->gram + R * R;
    j->held_gram = j->cross + R * E;
    j->held_cross = j->held_gram + R * R;
    return MLS_OK;
}

/* W_O^T + best, which leaves the space of z for that of all heads. */
static mls_status add_change(mls_latent_form *f, const job *j, const double *best,
                             mls_err *err)
{
    const size_t E = j->E, O = j->O, R = j->R;
    float *change;

    if (!j->span.r) {
        for (size_t e = 0; e < E; e++)
            for (size_t o = 0; o < O; o++)
                f->output.w[e * O + o] += (float)best[o * E + e];
        return MLS_OK;
    }
    change = mls_calloc3(R, E, 1, sizeof *change);
    if (!change)
        return mls_fail(err, MLS_E_NOMEM, "no memory to fit an output projection");
    mls_narrow(change, best, R * E);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)E, (int)O, (int)R, 1.0F,
                change, (int)E, j->span.basis, (int)O, 1.0F, f->output.w, (int)O);
    free(change);
    return MLS_OK;
}

mls_status mls_refit_output(mls_latent_form *f, const mls_latent_form *original,
                            mls_capture *capture, size_t n_windows, mls_compute compute,
                            mls_pool *pool, mls_err *err)
{
    const size_t all = mls_capture_windows(capture), E = f->E;
    const size_t T = mls_capture_window_length(capture);
    const size_t O = mls_latent_output_dims(f), threads = mls_pool_threads(pool);
    job j = {
        .n = n_windows && n_windows < all ? n_windows : all, .T = T, .E = E, .O = O};
    double *best = NULL;
    mls_status st = MLS_OK;

    if (j.n < 2)
        st =
            mls_fail(err, MLS_E_INPUT,
                     "%s holds %zu windows; an output projection is fitted on some and "
                     "tried on others",
                     mls_capture_path(capture), all);
    j.x = mls_calloc3(j.n, T, E, sizeof *j.x);
    j.y = mls_calloc3(j.n, T, E, sizeof *j.y);
    j.z = mls_calloc3(j.n, T, O, sizeof *j.z);
    if (!st && (!j.x || !j.y || !j.z))
        st = mls_fail(err, MLS_E_NOMEM, "no memory to fit the output of layer %zu",
                      f->layer);
    for (size_t i = 0; !st && i < j.n; i++)
        st = mls_capture_window(capture, f->layer, i * all / j.n, MLS_WINDOW_X,
                                j.x + i * T * E, err);
    if (!st)
        st = mls_latent_runner_new(&j.form, T, threads, false, err);
    if (!st)
        st = mls_latent_runner_new(&j.original, T, threads, false, err);
    if (!st) {
        mls_latent_runner_compute(j.form, compute);
        mls_latent_runner_compute(j.original, compute);
        st = mls_latent_runner_set(j.form, f, NULL, err);
    }
    if (!st)
        st = mls_latent_runner_set(j.original, original, NULL, err);
    if (!st)
        st = mls_pool_run(pool, j.n, run_window, &j, err);
    if (!st && mls_refit_span_pays(j.n * T, O))
        st = mls_refit_span_new(&j.span, j.z, j.n * T, O, err);
    j.R = j.span.r ? j.span.r : O;
    if (!st)
        st = sums_new(&j, &best, err);
    for (size_t i = 0; !st && i < j.n; i++) {
        const bool held = i % HELD_OUT == (j.n < HELD_OUT ? j.n : HELD_OUT) - 1;

        st = add_window(&j, f, i, held ? j.held_gram : j.gram,
                        held ? j.held_cross : j.cross, err);
    }
    if (!st)
        st = solve(&j, best, err);
    if (!st)
        st = add_change(f, &j, best, err);
    mls_latent_runner_free(j.form);
    mls_latent_runner_free(j.original);
    mls_refit_span_free(&j.span);
    mls_free_all(best, j.x, j.y, j.z, j.gram);
    return st;
}
