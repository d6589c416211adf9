#include "tests/support/expect.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/numeric/linalg.h"
#include "bench/frame/factor.h"
#include "common/numbers/rng.h"

enum { SMALL = 520, LARGE = 600, RANK = 40 };

/* Random rows whose columns fall by powers of `fall`: singular values over decades. */
static double *matrix(size_t m, size_t n, double fall)
{
    double *w = malloc(m * n * sizeof *w);
    mls_rng rng;

    assert_non_null(w);
    mls_rng_seed(&rng, 7, 0);
    for (size_t i = 0; i < m * n; i++)
        w[i] = mls_rng_normal(&rng) * pow(fall, (double)(i % n));
    return w;
}

/* The error of up down is what the singular values from RANK on leave. */
static void check(size_t m, size_t n, double fall, mls_sigma_side side)
{
    const size_t p = m < n ? m : n;
    double *w = matrix(m, n, fall), *sigma = malloc(p * sizeof *sigma);
    float *down = malloc(RANK * n * sizeof *down), *up = malloc(m * RANK * sizeof *up);
    double left = 0, all = 0, tail = 0, dot = 0, square = 0;

    assert_true(sigma && down && up);
    assert_ok(mls_factor_weights(down, up, w, m, n, RANK, side, &err));
    assert_ok(mls_svd(w, m, n, NULL, sigma, NULL, &err));
    for (size_t i = 0; i < p; i++) {
        all += sigma[i] * sigma[i];
        tail += i < RANK ? 0 : sigma[i] * sigma[i];
    }
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            double x = w[i * n + j];

            for (size_t k = 0; k < RANK; k++)
                x -= (double)up[i * RANK + k] * (double)down[k * n + j];
            left += x * x;
        }
    assert_close((left - tail) / all, 0.0, 1e-9);
    /* The side without singular values is orthonormal. */
    for (size_t i = 0; i < (side == MLS_SIGMA_UP ? n : m); i++) {
        const double a = (double)(side == MLS_SIGMA_UP ? down[i] : up[i * RANK]);
        const double b = (double)(side == MLS_SIGMA_UP ? down[(RANK - 1) * n + i]
                                                       : up[i * RANK + RANK - 1]);

        dot += a * b;
        square += b * b;
    }
    assert_close(dot, 0.0, 1e-5);
    assert_close(square, 1.0, 1e-5);
    free(w);
    free(sigma);
    free(down);
    free(up);
}

static void a_gram_matrix_gives_the_best_factors(void **state)
{
    (void)state;
    check(SMALL, LARGE, 0.995, MLS_SIGMA_UP);
    check(LARGE, SMALL, 0.995, MLS_SIGMA_DOWN);
}

/* Singular value RANK is 1e-9 of the first: its square is noise, an SVD has it. */
static void small_values_are_not_taken_from_squares(void **state)
{
    (void)state;
    check(SMALL, LARGE, 0.6, MLS_SIGMA_DOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gram_matrix_gives_the_best_factors),
        cmocka_unit_test(small_values_are_not_taken_from_squares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
