/*
 * With C = E[x x^T] + damping mean(diag) I, inputs become C^(-1/2) x and matrices W
 * C^(1/2): W x stays what it was, and a step of training moves all directions alike
 * instead of the strongest few. Roots come from eigenvalues in double, because the
 * inverse of a small one is large. About 32768 tokens make C, every stride-th of the
 * text.
 */
#include "analysis/heal/whitening.h"

#include <stdlib.h>

#include "analysis/numeric/linalg.h"
#include "common/base/checked.h"

/* Tokens that C is estimated from, at most about: every stride-th is enough. */
enum { MOMENT_TOKENS = 1 << 15 };

void mls_turn_rows(float *y, const float *x, const double *a, size_t rows, size_t E,
                   double *room)
{
    double *in = room, *out = room + rows * E;

    for (size_t i = 0; i < rows * E; i++)
        in[i] = (double)x[i];
    mls_matmul(out, in, false, a, false, rows, E, E);
    for (size_t i = 0; i < rows * E; i++)
        y[i] = (float)out[i];
}

/* C of rows x (tokens, E), damped. */
static mls_status moment(double *c, const float *x, size_t tokens, size_t E,
                         double damping, mls_err *err)
{
    const size_t stride = 1 + tokens / MOMENT_TOKENS;
    const size_t n = (tokens + stride - 1) / stride;
    double *rows = mls_calloc3(n, E, 1, sizeof *rows), trace = 0;

    if (!rows)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu tokens", n);
    for (size_t i = 0; i < n; i++)
        for (size_t e = 0; e < E; e++)
            rows[i * E + e] = (double)x[i * stride * E + e];
    mls_matmul(c, rows, true, rows, false, E, E, n);
    free(rows);
    for (size_t e = 0; e < E; e++)
        trace += c[e * E + e];
    for (size_t i = 0; i < E * E; i++)
        c[i] /= (double)n;
    for (size_t e = 0; e < E; e++)
        c[e * E + e] += damping * trace / (double)(n * E);
    return MLS_OK;
}

mls_status mls_whitening(double *root, double *inverse, const float *x, size_t tokens,
                         size_t E, double damping, mls_err *err)
{
    double *c = mls_calloc3(E, E, 1, sizeof *c);
    mls_status st =
        c ? moment(c, x, tokens, E, damping, err)
          : mls_fail(err, MLS_E_NOMEM, "no memory for %zu x %zu numbers", E, E);

    if (!st)
        st = mls_sqrt_psd(c, E, 1e-12, root, inverse, err);
    free(c);
    return st;
}

mls_status mls_turn_inputs(const mls_parameters *p, float *theta, const double *a,
                           size_t E, mls_err *err)
{
    for (size_t i = 0; i < p->n_arrays; i++) {
        const mls_parameter_array *array = &p->array[i];
        float *w = theta + array->first;
        double *room;

        if (array->role != MLS_PARAMETER_OF_INPUT)
            continue;
        room = mls_calloc3(2, array->rows, array->cols, sizeof *room);
        if (!room)
            return mls_fail(err, MLS_E_NOMEM, "no memory for %zu x %zu numbers",
                            array->rows, array->cols);
        mls_turn_rows(w, w, a, array->rows, E, room);
        free(room);
    }
    return MLS_OK;
}
