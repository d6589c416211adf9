/* Linear maps, rotations and norms over a window of tokens, forward and back. */
#ifndef MLS_HEAL_PRODUCTS_H
#define MLS_HEAL_PRODUCTS_H

#include <stddef.h>

#include "analysis/heal/real.h"

/** y (T, out) = x (T, in) w^T + b (NULL: none); x and y have strides of their own. */
void mls_real_linear(mls_real *y, size_t ld_y, const mls_real *x, size_t ld_x,
                     const mls_real *w, const mls_real *b, size_t T, size_t out,
                     size_t in);
/** dw += dy^T x, db += sum of dy, dx += dy w; each where it is wanted. */
void mls_real_linear_back(const mls_real *dy, size_t ld_y, const mls_real *x,
                          size_t ld_x, const mls_real *w, size_t T, size_t out,
                          size_t in, mls_real *dw, mls_real *db, mls_real *dx);

/** Rows of n at stride ld turn in place; sign -1 is the transpose of sign 1. */
void mls_real_rotate(mls_real *x, size_t ld, const float *cs, size_t n_chunks, size_t T,
                     int sign);

/** RMSNorm of rows of n at stride ld; y may be x; gain NULL: 1. */
void mls_real_norm(mls_real *y, const mls_real *x, size_t ld, const mls_real *gain,
                   double eps, size_t T, size_t n);
/**
 * d, the gradient by y at the stride of x, becomes that by x.
 * @param d_gain  (n) added to; NULL: not wanted
 */
void mls_real_norm_back(mls_real *d, const mls_real *x, size_t ld, const mls_real *gain,
                        double eps, size_t T, size_t n, mls_real *d_gain);

/** LayerNorm of rows of n; y may be x; gain and bias may be NULL. */
void mls_real_layernorm(mls_real *y, const mls_real *x, const mls_real *gain,
                        const mls_real *bias, double eps, size_t T, size_t n);
/** d, the gradient by y, becomes that by x. */
void mls_real_layernorm_back(mls_real *d, const mls_real *x, const mls_real *gain,
                             double eps, size_t T, size_t n);

#endif
