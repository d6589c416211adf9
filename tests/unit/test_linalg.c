#include "tests/support/expect.h"

#include "analysis/numeric/blas.h"
#include "analysis/numeric/linalg.h"
#include "common/numbers/rng.h"

static void fill(double *a, size_t n, mls_rng *rng)
{
    for (size_t i = 0; i < n; i++)
        a[i] = mls_rng_normal(rng);
}

/* Rows of q (p, n), p <= n, orthonormal: Gram-Schmidt twice in long double. */
static void orthonormal(double *q, size_t p, size_t n, mls_rng *rng)
{
    fill(q, p * n, rng);
    for (size_t i = 0; i < p; i++)
        for (int pass = 0; pass < 2; pass++) {
            long double norm = 0.0L;

            for (size_t j = 0; j < i; j++) {
                long double dot = 0.0L;
                for (size_t k = 0; k < n; k++)
                    dot += (long double)q[i * n + k] * q[j * n + k];
                for (size_t k = 0; k < n; k++)
                    q[i * n + k] -= (double)(dot * q[j * n + k]);
            }
            for (size_t k = 0; k < n; k++)
                norm += (long double)q[i * n + k] * q[i * n + k];
            for (size_t k = 0; k < n; k++)
                q[i * n + k] /= (double)sqrtl(norm);
        }
}

/* Eigenvalues by cyclic Jacobi rotations in long double, largest first. */
static void jacobi(const double *a, size_t n, double *values)
{
    long double *m = malloc(n * n * sizeof *m);

    for (size_t i = 0; i < n * n; i++)
        m[i] = a[i];
    for (int sweep = 0; sweep < 30; sweep++)
        for (size_t p = 0; p < n; p++)
            for (size_t q = p + 1; q < n; q++) {
                if (m[p * n + q] == 0.0L)
                    continue;
                const long double theta =
                    (m[q * n + q] - m[p * n + p]) / (2.0L * m[p * n + q]);
                const long double t = (theta < 0.0L ? -1.0L : 1.0L) /
                                      (fabsl(theta) + sqrtl(theta * theta + 1.0L));
                const long double c = 1.0L / sqrtl(t * t + 1.0L), s = t * c;

                for (size_t k = 0; k < n; k++) {
                    const long double x = m[k * n + p], y = m[k * n + q];
                    m[k * n + p] = c * x - s * y;
                    m[k * n + q] = s * x + c * y;
                }
                for (size_t k = 0; k < n; k++) {
                    const long double x = m[p * n + k], y = m[q * n + k];
                    m[p * n + k] = c * x - s * y;
                    m[q * n + k] = s * x + c * y;
                }
            }
    for (size_t i = 0; i < n; i++)
        values[i] = (double)m[i * n + i];
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n; j++)
            if (values[j] > values[i]) {
                const double x = values[i];
                values[i] = values[j];
                values[j] = x;
            }
    free(m);
}

static void eigenvalues_agree_with_jacobi_in_long_double(void **state)
{
    enum { N = 24 };
    static double b[N * N], a[N * N], got[N], want[N], vectors[N * N];
    mls_rng rng;

    (void)state;
    mls_rng_seed(&rng, 3, 0);
    for (size_t n = 1; n <= N; n += 5) {
        fill(b, n * n, &rng);
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++)
                a[i * n + j] = b[i * n + j] + b[j * n + i];
        jacobi(a, n, want);
        assert_ok(mls_eigen(a, n, got, NULL, &err));
        for (size_t i = 0; i < n; i++)
            assert_close(got[i], want[i], 1e-13 * fabs(want[0]) + 1e-14);
        assert_ok(mls_eigen(a, n, got, vectors, &err));
        for (size_t i = 0; i < n; i++) {
            assert_close(got[i], want[i], 1e-13 * fabs(want[0]) + 1e-14);
            for (size_t j = 0; j < n; j++) { /* a v = lambda v */
                double sum = 0.0;
                for (size_t k = 0; k < n; k++)
                    sum += a[j * n + k] * vectors[i * n + k];
                assert_close(sum, got[i] * vectors[i * n + j], 1e-12);
            }
        }
    }
}

static void singular_values_are_those_the_matrix_was_made_from(void **state)
{
    static const size_t shapes[][2] = {{1, 1}, {7, 3}, {3, 7}, {40, 12}, {12, 40}};
    static double u[1600], vt[1600], a[1600], gu[1600], gs[40], gvt[1600], sigma[40];
    mls_rng rng;

    (void)state;
    mls_rng_seed(&rng, 5, 0);
    for (size_t c = 0; c < sizeof shapes / sizeof shapes[0]; c++) {
        const size_t m = shapes[c][0], n = shapes[c][1], p = m < n ? m : n;

        orthonormal(u, p, m, &rng); /* rows are the left vectors */
        orthonormal(vt, p, n, &rng);
        for (size_t i = 0; i < p; i++)
            sigma[i] = pow(10.0, -(double)i * 0.5);
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < n; j++) {
                a[i * n + j] = 0.0;
                for (size_t k = 0; k < p; k++)
                    a[i * n + j] += u[k * m + i] * sigma[k] * vt[k * n + j];
            }
        assert_ok(mls_svd(a, m, n, NULL, gs, NULL, &err));
        for (size_t k = 0; k < p; k++)
            assert_close(gs[k], sigma[k], 1e-14);
        assert_ok(mls_svd(a, m, n, gu, gs, gvt, &err));
        for (size_t k = 0; k < p; k++) {
            double dot_u = 0.0, dot_v = 0.0, largest = 0.0;

            assert_close(gs[k], sigma[k], 1e-14);
            for (size_t i = 0; i < m; i++)
                dot_u += gu[i * p + k] * u[k * m + i];
            for (size_t j = 0; j < n; j++) {
                dot_v += gvt[k * n + j] * vt[k * n + j];
                if (fabs(gvt[k * n + j]) > fabs(largest))
                    largest = gvt[k * n + j];
            }
            /* The same vectors, up to one sign for both; ours has a positive peak. */
            assert_close(fabs(dot_u), 1.0, 1e-7);
            assert_close(dot_u, dot_v, 1e-7);
            assert_true(largest > 0.0);
        }
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < n; j++) {
                double sum = 0.0;
                for (size_t k = 0; k < p; k++)
                    sum += gu[i * p + k] * gs[k] * gvt[k * n + j];
                assert_close(sum, a[i * n + j], 1e-14);
            }
    }
}

static void nan_and_infinity_are_refused(void **state)
{
    double a[4] = {1, 0, 0, NAN}, values[2], vectors[4], u[4];

    (void)state;
    assert_refused(mls_eigen(a, 2, values, vectors, &err), MLS_E_NUMERIC, "(1, 1)");
    assert_refused(mls_svd(a, 2, 2, u, values, vectors, &err), MLS_E_NUMERIC, "nan");
    a[3] = INFINITY;
    assert_refused(mls_svd(a, 2, 2, NULL, values, NULL, &err), MLS_E_NUMERIC, "inf");
    assert_refused(mls_sqrt_psd(a, 2, 0.0, u, NULL, &err), MLS_E_NUMERIC, "inf");
}

static void products_follow_the_transposition_flags(void **state)
{
    /* a (2, 3), b (3, 2) */
    static const double a[] = {1, 2, 3, 4, 5, 6}, at[] = {1, 4, 2, 5, 3, 6};
    static const double b[] = {7, 8, 9, 10, 11, 12}, bt[] = {7, 9, 11, 8, 10, 12};
    static const double want[] = {58, 64, 139, 154};
    static const float fa[] = {1, 2, 3, 4, 5, 6}, fb[] = {7, 9, 11, 8, 10, 12};
    double y[4];
    float fy[4];

    (void)state;
    for (int flags = 0; flags < 4; flags++) {
        mls_matmul(y, flags & 1 ? at : a, flags & 1, flags & 2 ? bt : b, flags & 2, 2,
                   2, 3);
        for (size_t i = 0; i < 4; i++)
            assert_close(y[i], want[i], 0.0);
    }
    mls_matmul_f32(fy, fa, fb, 2, 2, 3);
    for (size_t i = 0; i < 4; i++)
        assert_close((double)fy[i], want[i], 0.0);
    mls_matmul(y, a, false, b, false, 2, 2, 0); /* an empty sum is 0 */
    assert_close(y[3], 0.0, 0.0);
}

static void root_squares_to_the_matrix_and_inverse_undoes_it(void **state)
{
    enum { N = 9 };
    static double b[N * N], a[N * N], root[N * N], inverse[N * N], x[N * N], y[N * N];
    mls_rng rng;

    (void)state;
    mls_rng_seed(&rng, 8, 0);
    fill(b, N * N, &rng);
    mls_matmul(a, b, false, b, true, N, N, N);
    assert_ok(mls_sqrt_psd(a, N, 0.0, root, inverse, &err));
    mls_matmul(x, root, false, root, false, N, N, N);
    mls_matmul(y, root, false, inverse, false, N, N, N);
    for (size_t i = 0; i < N * N; i++) {
        assert_close(x[i], a[i], 1e-12);
        assert_close(y[i], i % (N + 1) == 0 ? 1.0 : 0.0, 1e-9);
    }
    assert_close(mls_trace_product(a, a, N), mls_trace_product(a, x, N),
                 1e-9); /* trace(a a) both ways */
}

static void singular_matrix_has_an_inverse_root_only_with_a_floor(void **state)
{
    static const double a[] = {4, 0, 0, 0};
    double root[4], inverse[4];

    (void)state;
    assert_refused(mls_sqrt_psd(a, 2, 0.0, root, inverse, &err), MLS_E_NUMERIC,
                   "singular");
    assert_ok(mls_sqrt_psd(a, 2, 0.25, root, inverse, &err));
    assert_close(root[0], 2.0, 1e-15);
    assert_close(root[3], 1.0, 1e-15); /* 0 was raised to 0.25 * 4 */
    assert_close(inverse[3], 1.0, 1e-15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eigenvalues_agree_with_jacobi_in_long_double),
        cmocka_unit_test(singular_values_are_those_the_matrix_was_made_from),
        cmocka_unit_test(nan_and_infinity_are_refused),
        cmocka_unit_test(products_follow_the_transposition_flags),
        cmocka_unit_test(root_squares_to_the_matrix_and_inverse_undoes_it),
        cmocka_unit_test(singular_matrix_has_an_inverse_root_only_with_a_floor),
    };
    mls_blas_single_thread();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
