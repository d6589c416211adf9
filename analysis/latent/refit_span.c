/*
 * Least squares with a ridge moves its solution within the space of the inputs alone:
 * (X^T X + r)^-1 X^T = X^T (X X^T + r)^-1. With fewer inputs n than dims E all of it is
 * done in coordinates of that space, n wide instead of E. With X X^T = U L U^T the
 * coordinates are U L^1/2 and the basis is L^-1/2 U^T X. Directions below 1e-10 of the
 * largest eigenvalue are dropped: captured inputs are halves, whose rounding is as
 * large.
 */
#include "analysis/latent/refit_span.h"

#include <math.h>

#include "analysis/numeric/affine.h"
#include "analysis/numeric/linalg.h"
#include "common/base/checked.h"

static const double LEAST = 1e-10; /* of the largest eigenvalue */

bool mls_refit_span_pays(size_t n, size_t E)
{
    return 2 * n <= E;
}

mls_status mls_refit_span_new(mls_refit_span *s, const float *x, size_t n, size_t E,
                              mls_err *err)
{
    double *wide = mls_calloc3(2 * n, E, 1, sizeof *wide), *rows = wide + n * E;
    double *gram = mls_calloc3(2 * n + 1, n, 1, sizeof *gram);
    double *vectors = gram + n * n, *values = vectors + n * n;
    mls_status st = wide && gram ? MLS_OK
                                 : mls_fail(err, MLS_E_NOMEM,
                                            "no memory for the space of %zu inputs", n);

    *s = (mls_refit_span){.n = n, .E = E};
    if (!st) {
        mls_widen(wide, x, n * E);
        mls_add_square(gram, wide, false, n, E);
        st = mls_eigen(gram, n, values, vectors, err);
    }
    while (!st && s->r < n && values[s->r] > LEAST * values[0])
        s->r++;
    s->at = mls_calloc3(n, s->r + 1, 1, sizeof *s->at);
    s->basis = mls_calloc3(s->r + 1, E, 1, sizeof *s->basis);
    if (!st && (!s->at || !s->basis))
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the space of %zu inputs", n);
    for (size_t i = 0; !st && i < s->r; i++) {
        const double root = sqrt(values[i]);

        for (size_t t = 0; t < n; t++) {
            s->at[t * s->r + i] = (float)(root * vectors[i * n + t]);
            vectors[i * n + t] /= root;
        }
    }
    if (!st) {
        mls_matmul(rows, vectors, false, wide, false, s->r, E, n);
        mls_narrow(s->basis, rows, s->r * E);
    }
    mls_free_all(wide, gram);
    if (st)
        mls_refit_span_free(s);
    return st;
}

void mls_refit_span_free(mls_refit_span *s)
{
    mls_free_all(s->at, s->basis);
    *s = (mls_refit_span){0};
}
