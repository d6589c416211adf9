/*
 * LAPACK is called column by column on rows, which transposes nothing: a symmetric
 * matrix is itself with the other triangle, and u and v^T of an SVD change places. It
 * leaves order and signs to the machine; here values fall, and the largest entry of
 * every vector is positive. Divide and conquer comes first (dsyevd, dgesdd), QR where
 * that does not converge (dsyev, dgesvd). NaN is refused before the call, with its
 * place.
 */
#include "analysis/numeric/linalg.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"

/*
 * From this order on eigenvalues alone are found through a band matrix: reducing to
 * three diagonals at once reads the whole matrix for every column, from memory.
 */
enum { TWO_STAGES = 1024 };

void mls_matmul(double *y, const double *a, bool a_transposed, const double *b,
                bool b_transposed, size_t m, size_t n, size_t k)
{
    if (m == 0 || n == 0)
        return;
    if (k == 0) {
        memset(y, 0, m * n * sizeof *y);
        return;
    }
    cblas_dgemm(CblasRowMajor, a_transposed ? CblasTrans : CblasNoTrans,
                b_transposed ? CblasTrans : CblasNoTrans, (int)m, (int)n, (int)k, 1.0,
                a, (int)(a_transposed ? m : k), b, (int)(b_transposed ? k : n), 0.0, y,
                (int)n);
}

void mls_matmul_f32(float *y, const float *a, const float *b, size_t m, size_t n,
                    size_t k)
{
    if (m == 0 || n == 0)
        return;
    if (k == 0) {
        memset(y, 0, m * n * sizeof *y);
        return;
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)m, (int)n, (int)k, 1.0F,
                a, (int)k, b, (int)k, 0.0F, y, (int)n);
}

void mls_add_square(double *y, const double *a, bool transposed, size_t n, size_t k)
{
    if (n == 0 || k == 0)
        return;
    cblas_dsyrk(CblasRowMajor, CblasUpper, transposed ? CblasTrans : CblasNoTrans,
                (int)n, (int)k, 1.0, a, (int)(transposed ? n : k), 1.0, y, (int)n);
}

static mls_status refuse_not_finite(const double *a, size_t m, size_t n,
                                    const char *what, mls_err *err)
{
    if (m > INT32_MAX || n > INT32_MAX)
        return mls_fail(err, MLS_E_ARG, "%s of a %zu x %zu matrix: too large", what, m,
                        n);
    for (size_t i = 0; i < m * n; i++)
        if (!isfinite(a[i]))
            return mls_fail(err, MLS_E_NUMERIC,
                            "%s of a %zu x %zu matrix: entry (%zu, %zu) is %g", what, m,
                            n, i / n, i % n, a[i]);
    return MLS_OK;
}

/*
 * 1 or -1, so that the largest-magnitude entry becomes positive; the first of several
 * that are equal up to rounding decides.
 */
static double sign_of(const double *v, size_t n)
{
    double largest = 0.0;

    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(v[i]));
    for (size_t i = 0; i < n; i++)
        if (fabs(v[i]) >= largest * (1.0 - 1e-6))
            return v[i] < 0.0 ? -1.0 : 1.0;
    return 1.0;
}

mls_status mls_eigen(const double *a, size_t n, double *values, double *vectors,
                     mls_err *err)
{
    const char job = vectors ? 'V' : 'N';
    double *work = NULL; /* (n, n), LAPACK overwrites it, then row i is vector i */
    mls_status st = refuse_not_finite(a, n, n, "eigenvalues", err);

    if (st || n == 0)
        return st;
    work = mls_calloc3(n, n, 1, sizeof *work);
    if (!work)
        return mls_fail(err, MLS_E_NOMEM, "no memory for eigenvalues of order %zu", n);

    /* Row-major upper is column-major lower: same numbers, no transposition. */
    memcpy(work, a, n * n * sizeof *work);
    int info;
    if (!vectors && n >= TWO_STAGES)
        info = LAPACKE_dsyevd_2stage(LAPACK_COL_MAJOR, 'N', 'L', (int)n, work, (int)n,
                                     values);
    else
        info = LAPACKE_dsyevd(LAPACK_COL_MAJOR, job, 'L', (int)n, work, (int)n, values);
    if (info > 0) {
        memcpy(work, a, n * n * sizeof *work);
        info = LAPACKE_dsyev(LAPACK_COL_MAJOR, job, 'L', (int)n, work, (int)n, values);
    }
    if (info != 0) {
        st = mls_fail(err, info < -1000 ? MLS_E_NOMEM : MLS_E_NUMERIC,
                      "eigenvalues of order %zu: LAPACK says %d", n, info);
        goto done;
    }
    for (size_t i = 0; i < n / 2; i++) {
        const double smaller = values[i];
        values[i] = values[n - 1 - i];
        values[n - 1 - i] = smaller;
    }
    for (size_t i = 0; vectors && i < n; i++) {
        const double *from = work + (n - 1 - i) * n;
        const double sign = sign_of(from, n);

        for (size_t j = 0; j < n; j++)
            vectors[i * n + j] = sign * from[j];
    }

done:
    free(work);
    return st;
}

mls_status mls_svd(const double *a, size_t m, size_t n, double *u, double *sigma,
                   double *vt, mls_err *err)
{
    const size_t p = m < n ? m : n;
    const char job = u ? 'S' : 'N';
    double *work = NULL, *superb = NULL;
    mls_status st = refuse_not_finite(a, m, n, "singular values", err);

    if (st || p == 0)
        return st;
    work = mls_calloc3(m, n, 1, sizeof *work);
    superb = mls_calloc3(p, 1, 1, sizeof *superb);
    if (!work || !superb) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the SVD of a %zu x %zu matrix",
                      m, n);
        goto done;
    }

    /* Read column by column our rows are a^T = vt^T diag(sigma) u^T. */
    memcpy(work, a, m * n * sizeof *work);
    int info = LAPACKE_dgesdd(LAPACK_COL_MAJOR, job, (int)n, (int)m, work, (int)n,
                              sigma, vt, (int)n, u, (int)p);
    if (info > 0) {
        memcpy(work, a, m * n * sizeof *work);
        info = LAPACKE_dgesvd(LAPACK_COL_MAJOR, job, job, (int)n, (int)m, work, (int)n,
                              sigma, vt, (int)n, u, (int)p, superb);
    }
    if (info != 0) {
        st = mls_fail(err, info < -1000 ? MLS_E_NOMEM : MLS_E_NUMERIC,
                      "SVD of a %zu x %zu matrix: LAPACK says %d", m, n, info);
        goto done;
    }
    for (size_t i = 0; u && i < p; i++) {
        if (sign_of(vt + i * n, n) > 0.0)
            continue;
        for (size_t j = 0; j < n; j++)
            vt[i * n + j] = -vt[i * n + j];
        for (size_t j = 0; j < m; j++)
            u[j * p + i] = -u[j * p + i];
    }

done:
    mls_free_all(superb, work);
    return st;
}

/* out = V^T diag(scale) V with the eigenvectors in the rows of V. */
static void compose(double *out, double *scratch, const double *vectors,
                    const double *scale, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            scratch[i * n + j] = scale[i] * vectors[i * n + j];
    mls_matmul(out, vectors, true, scratch, false, n, n, n);
}

mls_status mls_sqrt_psd(const double *a, size_t n, double floor, double *root,
                        double *inverse, mls_err *err)
{
    mls_status st = MLS_OK;
    double *values = mls_calloc3(n, 2, 1, sizeof *values);
    double *vectors = mls_calloc3(n, n, 2, sizeof *vectors);
    double *scale, *scratch;

    if (!values || !vectors) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a square root of order %zu", n);
        goto done;
    }
    scale = values + n;
    scratch = vectors + n * n;
    st = mls_eigen(a, n, values, vectors, err);
    if (st || n == 0)
        goto done;
    if (inverse && !(fmax(values[n - 1], floor * values[0]) > 0.0)) {
        st = mls_fail(err, MLS_E_NUMERIC,
                      "a matrix of order %zu is singular: eigenvalues %g to %g", n,
                      values[0], values[n - 1]);
        goto done;
    }
    for (size_t i = 0; i < n; i++)
        scale[i] = sqrt(fmax(fmax(values[i], floor * values[0]), 0.0));
    if (root)
        compose(root, scratch, vectors, scale, n);
    for (size_t i = 0; inverse && i < n; i++)
        scale[i] = 1.0 / scale[i];
    if (inverse)
        compose(inverse, scratch, vectors, scale, n);

done:
    mls_free_all(vectors, values);
    return st;
}

mls_status mls_cholesky(double *a, size_t n, mls_err *err)
{
    mls_status st = refuse_not_finite(a, n, n, "Cholesky factor", err);

    if (st || n == 0)
        return st;
    /* Row-major lower is column-major upper: the same numbers, no transposition. */
    const int info = LAPACKE_dpotrf(LAPACK_COL_MAJOR, 'U', (int)n, a, (int)n);
    if (info != 0)
        return mls_fail(err, MLS_E_NUMERIC,
                        "Cholesky factor of a %zu x %zu matrix: not positive definite "
                        "at row %d",
                        n, n, info);
    return MLS_OK;
}

void mls_cholesky_solve_columns(const double *factor, size_t n, double *b, size_t m)
{
    if (n == 0 || m == 0)
        return;
    cblas_dtrsm(CblasRowMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit,
                (int)n, (int)m, 1.0, factor, (int)n, b, (int)m);
    cblas_dtrsm(CblasRowMajor, CblasLeft, CblasLower, CblasTrans, CblasNonUnit, (int)n,
                (int)m, 1.0, factor, (int)n, b, (int)m);
}

void mls_cholesky_solve_rows(const double *factor, size_t n, double *b, size_t m)
{
    if (n == 0 || m == 0)
        return;
    cblas_dtrsm(CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, (int)m,
                (int)n, 1.0, factor, (int)n, b, (int)n);
    cblas_dtrsm(CblasRowMajor, CblasRight, CblasLower, CblasNoTrans, CblasNonUnit,
                (int)m, (int)n, 1.0, factor, (int)n, b, (int)n);
}

double mls_trace_product(const double *a, const double *b, size_t n)
{
    double sum = 0.0;

    for (size_t i = 0; i < n; i++) {
        double row = 0.0;

        for (size_t j = 0; j < n; j++)
            row += a[i * n + j] * b[i * n + j];
        sum += row;
    }
    return sum;
}
