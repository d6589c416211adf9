/*
 * n^2 / 2 numbers instead of a matrix, and n^2 products a column. Columns go through
 * all reflections in groups of 32, which stay in cache. The sign of u's first entry is
 * chosen so that nothing cancels; the random last sign makes both determinants equally
 * likely.
 */
#include "analysis/numeric/rotation.h"

#include <math.h>
#include <stdlib.h>

#include "analysis/numeric/vector.h"
#include "common/base/checked.h"
#include "common/numbers/rng.h"

/* Where u of H_k begins: n + (n - 1) + .. of the k vectors before it. */
static size_t begin_of(size_t n, size_t k)
{
    return k * n - k * (k - 1) / 2;
}

mls_status mls_rotation_new(mls_rotation *r, size_t n, uint64_t seed, uint64_t stream,
                            mls_err *err)
{
    mls_rng rng;

    *r = (mls_rotation){.n = n};
    r->u = mls_calloc3(n, (n + 1) / 2 + 1, 1, sizeof *r->u);
    if (!r->u)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a rotation of %zu numbers", n);
    mls_rng_seed(&rng, seed, stream);
    for (size_t k = 0; k + 1 < n; k++) {
        double *u = r->u + begin_of(n, k);
        double square = 0.0;

        for (size_t i = 0; i < n - k; i++) {
            u[i] = mls_rng_normal(&rng);
            square += u[i] * u[i];
        }
        square -= u[0] * u[0];
        u[0] += copysign(sqrt(square + u[0] * u[0]), u[0]);
        const double length = sqrt(square + u[0] * u[0]);
        for (size_t i = 0; i < n - k; i++)
            u[i] /= length;
    }
    r->last = mls_rng_uniform(&rng) < 0.5 ? -1.0 : 1.0;
    return MLS_OK;
}

void mls_rotation_free(mls_rotation *r)
{
    free(r->u);
    *r = (mls_rotation){0};
}

/* x (n - k, T) -= 2 u (u^T x), a few columns at a time. */
MLS_WIDE static void reflect(const double *u, size_t n, double *x, size_t T)
{
    enum { COLUMNS = 32 };
    double product[COLUMNS];

    for (size_t begin = 0; begin < T; begin += COLUMNS) {
        const size_t width = T - begin < COLUMNS ? T - begin : COLUMNS;

        for (size_t t = 0; t < width; t++)
            product[t] = 0.0;
        for (size_t i = 0; i < n; i++) {
            const double *row = x + i * T + begin;

            for (size_t t = 0; t < width; t++)
                product[t] += u[i] * row[t];
        }
        for (size_t i = 0; i < n; i++) {
            double *row = x + i * T + begin;
            const double twice = 2.0 * u[i];

            for (size_t t = 0; t < width; t++)
                row[t] -= twice * product[t];
        }
    }
}

static void turn_last(const mls_rotation *r, double *x, size_t T)
{
    for (size_t t = 0; t < T; t++)
        x[(r->n - 1) * T + t] *= r->last;
}

void mls_rotation_apply(const mls_rotation *r, double *x, size_t T)
{
    turn_last(r, x, T);
    for (size_t k = r->n - 1; k-- > 0;)
        reflect(r->u + begin_of(r->n, k), r->n - k, x + k * T, T);
}

void mls_rotation_undo(const mls_rotation *r, double *x, size_t T)
{
    for (size_t k = 0; k + 1 < r->n; k++)
        reflect(r->u + begin_of(r->n, k), r->n - k, x + k * T, T);
    turn_last(r, x, T);
}
