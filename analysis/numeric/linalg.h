/* Dense double-precision linear algebra: LAPACK and BLAS with our conventions. */
#ifndef MLS_LINALG_H
#define MLS_LINALG_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/status.h"

/* All matrices are row-major. */

/** y (m, n) = op(a) op(b), with a stored (m, k) or, transposed, (k, m); likewise b. */
void mls_matmul(double *y, const double *a, bool a_transposed, const double *b,
                bool b_transposed, size_t m, size_t n, size_t k);

/** y (m, n) = a (m, k) b^T, b (n, k), in float: a weight times tokens. */
void mls_matmul_f32(float *y, const float *a, const float *b, size_t m, size_t n,
                    size_t k);

/**
 * Upper triangle of y (n, n) += a a^T, a (n, k); of a^T a, a (k, n), when transposed.
 */
void mls_add_square(double *y, const double *a, bool transposed, size_t n, size_t k);

/**
 * Eigenvalues and vectors of a symmetric matrix, largest first.
 *
 * @param a             (n, n) symmetric, read only; its upper triangle is used
 * @param[out] values   (n)
 * @param[out] vectors  (n, n), row i is the i-th eigenvector, its largest-magnitude
 *                      entry positive (so that the result does not depend on chance);
 *                      may be NULL
 * @return MLS_OK, MLS_E_NOMEM or MLS_E_NUMERIC (NaN in a, no convergence)
 */
mls_status mls_eigen(const double *a, size_t n, double *values, double *vectors,
                     mls_err *err);

/**
 * Thin SVD: a = u diag(sigma) vt, p = min(m, n), largest first; signs as in mls_eigen,
 * taken from the rows of vt.
 *
 * @param a           (m, n), read only
 * @param[out] u      (m, p) or NULL
 * @param[out] sigma  (p)
 * @param[out] vt     (p, n) or NULL; u and vt are both given or both NULL
 */
mls_status mls_svd(const double *a, size_t m, size_t n, double *u, double *sigma,
                   double *vt, mls_err *err);

/**
 * Square root and inverse square root of a symmetric positive semi-definite matrix.
 * Eigenvalues below floor * largest are raised to that for both.
 *
 * @param[out] root, inverse  (n, n); either may be NULL
 */
mls_status mls_sqrt_psd(const double *a, size_t n, double floor, double *root,
                        double *inverse, mls_err *err);

/**
 * Cholesky factor of a symmetric positive definite matrix, in place.
 *
 * @param[in,out] a  (n, n): its lower triangle; L of a = L L^T afterwards
 * @return MLS_OK or MLS_E_NUMERIC (not positive definite, not finite)
 */
mls_status mls_cholesky(double *a, size_t n, mls_err *err);

/** b (n, m) = a^-1 b and b (m, n) = b a^-1, with the factor of a. */
void mls_cholesky_solve_columns(const double *factor, size_t n, double *b, size_t m);
void mls_cholesky_solve_rows(const double *factor, size_t n, double *b, size_t m);

/** trace(a b) for symmetric (n, n) matrices. */
double mls_trace_product(const double *a, const double *b, size_t n);

#endif
