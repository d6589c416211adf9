/* The latent of kq: leading directions of B^1/2 Cov(y) B^1/2. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/numeric/linalg.h"
#include "bench/methods/kq.h"
#include "common/base/checked.h"

static mls_status no_memory(mls_err *err)
{
    return mls_fail(err, MLS_E_NOMEM, "no memory for a latent of keys and values");
}

mls_status mls_kq_stack_new(mls_kq_stack *y, size_t m, size_t E, mls_err *err)
{
    *y = (mls_kq_stack){.m = m,
                        .E = E,
                        .centred = true,
                        .w = mls_calloc3(m, E, 1, sizeof(float)),
                        .b = mls_calloc3(m, 1, 1, sizeof(float)),
                        .mean = mls_calloc3(m, 1, 1, sizeof(double)),
                        .root = mls_calloc3(m, m, 1, sizeof(double)),
                        .inverse = mls_calloc3(m, m, 1, sizeof(double))};
    if (y->w && y->b && y->mean && y->root && y->inverse)
        return MLS_OK;
    mls_kq_stack_free(y);
    return no_memory(err);
}

void mls_kq_stack_free(mls_kq_stack *y)
{
    mls_free_all(y->w, y->b, y->mean, y->root, y->inverse, y->up);
    *y = (mls_kq_stack){0};
}

mls_status mls_kq_stack_weigh(mls_kq_stack *y, size_t at, const double *weight,
                              size_t n, mls_err *err)
{
    double *block = mls_calloc3(3, n, n, sizeof *block);
    double *root = block + n * n, *inverse = block + 2 * n * n;
    double trace = 0;
    mls_status st;

    if (!block)
        return no_memory(err);
    memcpy(block, weight, n * n * sizeof *block);
    for (size_t i = 0; i < n; i++)
        trace += block[i * n + i];
    /* Where no error costs anything, all cost the same. */
    for (size_t i = 0; i < n; i++)
        block[i * n + i] += trace > 0 ? 1e-4 * trace / (double)n : 1;
    st = mls_sqrt_psd(block, n, 1e-10, root, inverse, err);
    for (size_t i = 0; !st && i < n; i++) {
        memcpy(y->root + (at + i) * y->m + at, root + i * n, n * sizeof *root);
        memcpy(y->inverse + (at + i) * y->m + at, inverse + i * n, n * sizeof *inverse);
    }
    free(block);
    return st;
}

/* mean = E[y], or 0; cov = E[y y^T] - mean mean^T. */
static mls_status moments(mls_kq_stack *y, double *cov, const mls_layer_stats *stats,
                          mls_err *err)
{
    const size_t m = y->m, E = y->E;
    const mls_status st = mls_second_of_outputs(cov, stats, y->w, y->b, m, err);

    if (st || !y->centred)
        return st;
    for (size_t i = 0; i < m; i++) {
        y->mean[i] = (double)y->b[i];
        for (size_t e = 0; e < E; e++)
            y->mean[i] += (double)y->w[i * E + e] * stats->x_mean[e];
    }
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < m; j++)
            cov[i * m + j] -= y->mean[i] * y->mean[j];
    return MLS_OK;
}

/* a = root cov root, exactly symmetric. */
static void weigh(double *a, double *scratch, const mls_kq_stack *y, const double *cov)
{
    const size_t m = y->m;

    mls_matmul(scratch, y->root, false, cov, false, m, m, m);
    mls_matmul(a, scratch, false, y->root, false, m, m, m);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < i; j++)
            a[i * m + j] = a[j * m + i] = (a[i * m + j] + a[j * m + i]) / 2;
}

/* down = U B^1/2 W, its bias U B^1/2 (b - mean): so that c has mean 0. */
static mls_status set_down(mls_latent_vector *v, const mls_kq_stack *y,
                           const double *u_root, mls_err *err)
{
    const size_t m = y->m, E = y->E, r = v->r;
    double *w = mls_calloc3(m + r, E, 1, sizeof *w), *down;

    if (!w)
        return no_memory(err);
    down = w + m * E;
    mls_widen(w, y->w, m * E);
    mls_matmul(down, u_root, false, w, false, r, E, m);
    mls_affine_put_double(&v->down, 0, down, NULL, r);
    for (size_t i = 0; v->down.b && i < r; i++) {
        double sum = 0;

        for (size_t j = 0; j < m; j++)
            sum += u_root[i * m + j] * ((double)y->b[j] - y->mean[j]);
        v->down.b[i] = (float)sum;
    }
    free(w);
    return MLS_OK;
}

mls_status mls_kq_stack_reduce(mls_kq_stack *y, mls_latent_form *f,
                               const mls_layer_stats *stats, mls_err *err)
{
    mls_latent_vector *v = &f->latent[0];
    const size_t m = y->m, r = v->r;
    double *cov = mls_calloc3(m, m, 1, sizeof *cov);
    double *weighted = mls_calloc3(m, m, 1, sizeof *weighted);
    double *vectors = mls_calloc3(m, m, 1, sizeof *vectors);
    double *values = mls_calloc3(m, 1, 1, sizeof *values);
    mls_status st;

    y->r = r;
    y->up = mls_calloc3(m, r, 1, sizeof *y->up);
    assert(v->n_tail == m + 1);
    if (!cov || !weighted || !vectors || !values || !y->up) {
        st = no_memory(err);
        goto done;
    }
    st = moments(y, cov, stats, err);
    if (st)
        goto done;
    weigh(weighted, vectors, y, cov);
    st = mls_eigen(weighted, m, values, vectors, err);
    if (st)
        goto done;
    for (size_t i = m; i-- > 0;) /* weighted variance that is left behind rank i */
        v->tail[i] = v->tail[i + 1] + fmax(values[i], 0);
    memcpy(weighted, vectors, r * m * sizeof *weighted);
    if (y->basis == MLS_BASIS_ROOT)
        mls_fold_roots(weighted, vectors, values, r, m);
    mls_matmul(cov, weighted, false, y->root, false, r, m, m); /* U B^1/2 */
    mls_matmul(y->up, y->inverse, false, vectors, true, m, r, m);
    st = set_down(v, y, cov, err);

done:
    mls_free_all(cov, weighted, vectors, values);
    return st;
}

void mls_kq_stack_read(const mls_kq_stack *y, size_t first, mls_affine *up)
{
    mls_affine_put_double(up, 0, y->up + first * y->r, up->b ? y->mean + first : NULL,
                          up->rows);
}
