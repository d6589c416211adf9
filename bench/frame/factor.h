/*
 * Low-rank factors of stacked weight rows, and of the second moment of what they give.
 */
#ifndef MLS_FACTOR_H
#define MLS_FACTOR_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

/** Which factor carries the singular values; the product is the same. */
typedef enum mls_sigma_side {
    MLS_SIGMA_UP,   /* down has orthonormal rows: MHA2MLA, EliteKV */
    MLS_SIGMA_DOWN, /* up has orthonormal columns: X-EcoMLA */
} mls_sigma_side;

/**
 * w ~ up down, the best of rank r in the Frobenius norm (truncated SVD). The singular
 * values in it are right to half of a float's epsilon of the largest.
 *
 * @param w          (m, E)
 * @param r          1..min(m, E)
 * @param[out] down  (r, E)
 * @param[out] up    (m, r)
 * @return MLS_OK, MLS_E_ARG (r), MLS_E_NOMEM or MLS_E_NUMERIC
 */
mls_status mls_factor_weights(float *down, float *up, const double *w, size_t m,
                              size_t E, size_t r, mls_sigma_side side, mls_err *err);

/**
 * The r leading eigenvectors of a second moment: PCA of outputs y, y ~ R^T R y.
 *
 * @param second      (m, m), E[y y^T]
 * @param[out] basis  (r, m), orthonormal rows R
 */
mls_status mls_factor_pca(double *basis, const double *second, size_t m, size_t r,
                          mls_err *err);

/** out[i, :] = w[rows[i], :] as double; w (?, E), out (n, E). */
void mls_gather_rows(double *out, const float *w, const size_t *rows, size_t n,
                     size_t E);

#endif
