/* A random orthogonal matrix that is never formed: a product of reflections. */
#ifndef MLS_ROTATION_H
#define MLS_ROTATION_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

/**
 * Q = H_0 H_1 .. H_{n-2} diag(+1, .., +1, +-1), H_k = I - 2 u u^T with u the direction
 * of g + sign(g_0) |g| e_0, g normal of n - k numbers: uniform over the orthogonal
 * matrices (Stewart 1980, "The efficient generation of random orthogonal matrices").
 */
typedef struct mls_rotation {
    size_t n;
    double *u;   /* the n - 1 unit vectors one after another: n, n - 1, .. 2 numbers */
    double last; /* +1 or -1 */
} mls_rotation;

/** The same (seed, stream) gives the same matrix. Release with mls_rotation_free(). */
mls_status mls_rotation_new(mls_rotation *r, size_t n, uint64_t seed, uint64_t stream,
                            mls_err *err);
void mls_rotation_free(mls_rotation *r); /* {0} is accepted */

/** Columns: x (n, T) = Q x. In double: the reflections of many tokens at once. */
void mls_rotation_apply(const mls_rotation *r, double *x, size_t T);
/** x (n, T) = Q^T x. */
void mls_rotation_undo(const mls_rotation *r, double *x, size_t T);

#endif
