#include "tests/support/expect.h"

#include "analysis/numeric/blas.h"
#include "analysis/numeric/linalg.h"
#include "analysis/spectrum/spectrum.h"
#include "common/numbers/rng.h"

/* Entry of Sylvester's Hadamard matrix: rows are orthogonal, entries 1 and -1. */
static double hadamard(size_t i, size_t j)
{
    return __builtin_popcount((unsigned)(i & j)) % 2 ? -1.0 : 1.0;
}

/*
 * w (m, n) = sum over i < 8 of s[i] h_i h_i^T with rows of two Hadamard matrices: exact
 * in float for powers of two, and its singular values are s[i] sqrt(m n).
 */
static void known(float *w, size_t m, size_t n, const double *s)
{
    for (size_t a = 0; a < m; a++)
        for (size_t b = 0; b < n; b++) {
            double sum = 0.0;
            for (size_t i = 0; i < 8; i++)
                sum += s[i] * hadamard(i, a) * hadamard(i, b);
            w[a * n + b] = (float)sum;
            assert_close((double)w[a * n + b], sum, 0.0);
        }
}

static void well_conditioned_spectra_come_from_the_gram_matrix(void **state)
{
    static const size_t shapes[][2] = {{8, 32}, {32, 8}, {8, 8}};
    static float w[256];
    double s[8];

    (void)state;
    for (size_t i = 0; i < 8; i++)
        s[i] = ldexp(1.0, -(int)i);
    for (size_t c = 0; c < 3; c++) {
        const size_t m = shapes[c][0], n = shapes[c][1];
        mls_spectrum y;

        known(w, m, n, s);
        assert_ok(mls_spectrum_of_weights(&y, w, m, n, &err));
        assert_int_equal(y.n, 8);
        assert_true(y.gram);
        for (size_t i = 0; i < 8; i++) {
            const double want = s[i] * sqrt((double)(m * n));
            assert_close(y.sigma[i], want, MLS_SPECTRUM_GRAM_ERROR * want);
        }
        mls_spectrum_free(&y);
    }
}

static void small_singular_values_come_from_an_svd(void **state)
{
    static float w[256];
    double s[8];
    mls_spectrum y;

    (void)state;
    for (size_t i = 0; i < 8; i++)
        s[i] = ldexp(1.0, -3 * (int)i); /* condition 2e6: squared, 4e12 */
    known(w, 8, 32, s);
    assert_ok(mls_spectrum_of_weights(&y, w, 8, 32, &err));
    assert_false(y.gram);
    for (size_t i = 0; i < 8; i++)
        assert_close(y.sigma[i], s[i] * 16.0, 1e-8 * s[i] * 16.0);
    mls_spectrum_free(&y);
}

static void rank_deficient_matrix_has_values_at_rounding(void **state)
{
    static float w[256];
    static const double s[8] = {4, 2, 1};
    mls_spectrum y;

    (void)state;
    known(w, 8, 32, s);
    assert_ok(mls_spectrum_of_weights(&y, w, 8, 32, &err));
    assert_false(y.gram);
    assert_close(y.sigma[2], 16.0, 1e-12);
    for (size_t i = 3; i < 8; i++)
        assert_close(y.sigma[i], 0.0, 1e-12);
    mls_spectrum_free(&y);
}

enum { LARGE = MLS_SPECTRUM_SMALL + 26 };

/*
 * w (LARGE, LARGE) of blocks [a b; b a] on the diagonal, whose singular values are
 * a + b and a - b: from 1.5 down by `condition`, all exact in float.
 */
static float *large(double *sigma, double condition)
{
    float *w = calloc((size_t)LARGE * LARGE, sizeof *w);

    for (size_t i = 0; i < LARGE; i += 2) {
        const double small = i + 2 < LARGE ? 1.0 / 64 : 1.0 / condition;
        const double a = 1.0 - (double)i / LARGE / 4;

        sigma[i] = (double)(float)a + (double)(float)(a - small);
        sigma[i + 1] = (double)(float)a - (double)(float)(a - small);
        w[i * LARGE + i] = w[(i + 1) * LARGE + i + 1] = (float)a;
        w[i * LARGE + i + 1] = w[(i + 1) * LARGE + i] = (float)(a - small);
    }
    return w;
}

static int larger_first(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x < y) - (x > y);
}

/* Every value within its bound, every figure of the summary within its own. */
static void assert_within_bounds(const mls_spectrum *s, const double *want)
{
    const mls_spectrum_summary y = mls_spectrum_summarize(s->sigma, s->n);
    const mls_spectrum_summary x = mls_spectrum_summarize(want, s->n);
    mls_spectrum_bounds b;

    assert_ok(mls_spectrum_bound(s, &b, &err));
    for (size_t i = 0; i < s->n; i++) {
        assert_true(mls_spectrum_value_error(s, i) <= b.value);
        assert_close(s->sigma[i], want[i], mls_spectrum_value_error(s, i));
    }
    assert_close(y.energy, x.energy, b.figure * x.energy);
    assert_close(y.effective_rank, x.effective_rank, b.figure * x.effective_rank);
    assert_close(y.effective_rank_energy, x.effective_rank_energy,
                 b.figure * x.effective_rank_energy);
    assert_close(y.stable_rank, x.stable_rank, b.figure * x.stable_rank);
    assert_close((double)y.rank_95, (double)x.rank_95, (double)b.rank);
    assert_true(b.figure < 1e-4);
}

static void large_spectra_keep_their_bounds(void **state)
{
    static const double condition[] = {1e3, 1e6};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        static double want[LARGE];
        float *w = large(want, condition[i]);
        mls_spectrum y;

        qsort(want, LARGE, sizeof *want, larger_first);
        assert_ok(mls_spectrum_of_weights(&y, w, LARGE, LARGE, &err));
        assert_int_equal(y.gram, i == 0);
        assert_within_bounds(&y, want);
        mls_spectrum_free(&y);
        free(w);
    }
}

enum { E = 12, D = 6, G = 2, H = 4, T = 50 };

static void random_floats(float *w, size_t n, mls_rng *rng)
{
    for (size_t i = 0; i < n; i++)
        w[i] = (float)mls_rng_normal(rng);
}

/* second = X^T X / T for X (T, E). */
static void moments(double *second, double *x, mls_rng *rng)
{
    for (size_t i = 0; i < (size_t)T * E; i++)
        x[i] = mls_rng_normal(rng) * (double)(1 + i % E);
    mls_matmul(second, x, true, x, false, E, E, T);
    for (size_t i = 0; i < (size_t)E * E; i++)
        second[i] /= T;
}

static void random_spectra_keep_their_bounds(void **state)
{
    enum { M = 700, N = 40 };
    static float w[M * N], wt[N * M];
    static double a[M * N], want[N];
    mls_rng rng;

    (void)state;
    mls_rng_seed(&rng, 14, 0);
    random_floats(w, M * N, &rng);
    for (size_t i = 0; i < M * N; i++) {
        a[i] = (double)w[i];
        wt[i % N * M + i / N] = w[i];
    }
    assert_ok(mls_svd(a, M, N, NULL, want, NULL, &err));
    for (int tall = 0; tall < 2; tall++) { /* sums over 700 terms: three blocks */
        mls_spectrum y;

        assert_ok(mls_spectrum_of_weights(&y, tall ? w : wt, tall ? M : N, tall ? N : M,
                                          &err));
        assert_true(y.gram);
        assert_within_bounds(&y, want);
        mls_spectrum_free(&y);
    }
}

static void weighted_spectrum_is_that_of_the_outputs(void **state)
{
    static float w[20 * E];
    static double x[T * E], second[E * E], wd[20 * E], y[T * 20], want[20];
    mls_rng rng;

    (void)state;
    mls_rng_seed(&rng, 11, 0);
    moments(second, x, &rng);
    random_floats(w, sizeof w / sizeof *w, &rng);
    for (size_t i = 0; i < sizeof w / sizeof *w; i++)
        wd[i] = (double)w[i];
    for (size_t m = 5; m <= 20; m += 15) { /* fewer and more rows than columns */
        mls_spectrum s;

        mls_matmul(y, x, false, wd, true, T, m, E);
        assert_ok(mls_svd(y, T, m, NULL, want, NULL, &err));
        assert_ok(mls_spectrum_weighted(&s, w, m, E, second, &err));
        assert_int_equal(s.n, m < E ? m : E);
        for (size_t i = 0; i < s.n; i++)
            assert_close(s.sigma[i], want[i] / sqrt(T), 1e-10 * want[0]);
        mls_spectrum_free(&s);
    }
}

/* second (D, D) += block of W_a C W_b^T for the rows of one head. */
static void head_moment(double *out, const float *wa, const float *wb, const double *c)
{
    for (size_t i = 0; i < D; i++)
        for (size_t j = 0; j < D; j++) {
            double sum = 0.0;
            for (size_t a = 0; a < E; a++)
                for (size_t b = 0; b < E; b++)
                    sum += (double)wa[i * E + a] * c[a * E + b] * (double)wb[j * E + b];
            out[i * D + j] = sum;
        }
}

static void captured_heads_equal_weights_times_data(void **state)
{
    static float wq[H * D * E], wk[G * D * E], wv[G * D * E];
    static double x[T * E], second[E * E], q2[H * D * D], k2[G * D * D], v2[G * D * D],
        kv[G * D * D];
    static const mls_config config = {.E = E, .H = H, .G = G, .D = D};
    const mls_layer layer = {.wq = wq, .wk = wk, .wv = wv};
    const mls_layer_stats stats = {.E = E,
                                   .H = H,
                                   .G = G,
                                   .D = D,
                                   .x_second = second,
                                   .q_second = q2,
                                   .k_second = k2,
                                   .v_second = v2,
                                   .kv_cross = kv};
    mls_rng rng;

    (void)state;
    mls_rng_seed(&rng, 12, 0);
    moments(second, x, &rng);
    random_floats(wq, sizeof wq / sizeof *wq, &rng);
    random_floats(wk, sizeof wk / sizeof *wk, &rng);
    random_floats(wv, sizeof wv / sizeof *wv, &rng);
    for (size_t h = 0; h < H; h++)
        head_moment(q2 + h * D * D, wq + h * D * E, wq + h * D * E, second);
    for (size_t g = 0; g < G; g++) {
        head_moment(k2 + g * D * D, wk + g * D * E, wk + g * D * E, second);
        head_moment(v2 + g * D * D, wv + g * D * E, wv + g * D * E, second);
        head_moment(kv + g * D * D, wk + g * D * E, wv + g * D * E, second);
    }
    for (int k = MLS_MATRIX_Q; k <= MLS_MATRIX_KV; k++)
        for (size_t h = 0; h < mls_matrix_heads((mls_matrix)k, &config); h++) {
            mls_spectrum a, b;
            float *rows;
            size_t m;

            assert_ok(
                mls_matrix_rows(&config, &layer, (mls_matrix)k, h, &rows, &m, &err));
            assert_int_equal(m, k == MLS_MATRIX_KV ? 2 * D : D);
            assert_ok(mls_spectrum_weighted(&a, rows, m, E, second, &err));
            assert_ok(mls_spectrum_captured(&b, &stats, (mls_matrix)k, h, &err));
            assert_int_equal(a.n, b.n);
            for (size_t i = 0; i < a.n; i++)
                assert_close(a.sigma[i], b.sigma[i], 1e-7 * a.sigma[0]);
            free(rows);
            mls_spectrum_free(&a);
            mls_spectrum_free(&b);
        }
}

static void rows_of_a_layer_are_keys_above_values(void **state)
{
    static float wk[G * D * E], wv[G * D * E];
    static const mls_config config = {.E = E, .H = H, .G = G, .D = D};
    const mls_layer layer = {.wk = wk, .wv = wv};
    mls_rng rng;
    float *rows;
    size_t m;

    (void)state;
    mls_rng_seed(&rng, 13, 0);
    random_floats(wk, sizeof wk / sizeof *wk, &rng);
    random_floats(wv, sizeof wv / sizeof *wv, &rng);
    assert_ok(mls_matrix_rows(&config, &layer, MLS_MATRIX_KV, MLS_WHOLE_LAYER, &rows,
                              &m, &err));
    assert_int_equal(m, 2 * G * D);
    assert_memory_equal(rows, wk, sizeof wk);
    assert_memory_equal(rows + G * D * E, wv, sizeof wv);
    free(rows);
    assert_ok(mls_matrix_rows(&config, &layer, MLS_MATRIX_KV, 1, &rows, &m, &err));
    assert_int_equal(m, 2 * D);
    assert_memory_equal(rows, wk + D * E, D * E * sizeof *rows);
    assert_memory_equal(rows + D * E, wv + D * E, D * E * sizeof *rows);
    free(rows);
}

static void ranks_and_entropies_are_right_by_hand(void **state)
{
    static const double flat[] = {1, 1, 1, 1}, two[] = {2, 1}, zero[] = {0, 0};
    mls_spectrum_summary y;

    (void)state;
    y = mls_spectrum_summarize(flat, 4);
    assert_close(y.effective_rank, 4.0, 1e-14);
    assert_close(y.effective_rank_energy, 4.0, 1e-14);
    assert_close(y.stable_rank, 4.0, 0.0);
    assert_int_equal(y.rank_90, 4);

    y = mls_spectrum_summarize(two, 2);
    assert_close(y.energy, 5.0, 0.0);
    assert_close(y.stable_rank, 1.25, 0.0);
    /* p = 2/3, 1/3: exp(log 3 - 2/3 log 2); p = 0.8, 0.2: 5 / 4^0.8 */
    assert_close(y.effective_rank, 3.0 / pow(2.0, 2.0 / 3.0), 1e-14);
    assert_close(y.effective_rank_energy, 5.0 / pow(4.0, 0.8), 1e-14);
    assert_int_equal(y.rank_90, 2);
    assert_int_equal(mls_energy_rank(two, 2, 0.8), 1); /* reached exactly */
    assert_int_equal(mls_energy_rank(two, 2, 0.0), 0);
    assert_int_equal(mls_energy_rank(two, 2, 1.0), 2);

    y = mls_spectrum_summarize(zero, 2);
    assert_close(y.effective_rank, 0.0, 0.0);
    assert_close(y.stable_rank, 0.0, 0.0);
    assert_int_equal(y.rank_99, 0);
}

static void nan_in_weights_is_refused(void **state)
{
    float w[4] = {1, 2, NAN, 4};
    mls_spectrum s;

    (void)state;
    assert_refused(mls_spectrum_of_weights(&s, w, 2, 2, &err), MLS_E_NUMERIC, "nan");
    assert_null(s.sigma);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_conditioned_spectra_come_from_the_gram_matrix),
        cmocka_unit_test(small_singular_values_come_from_an_svd),
        cmocka_unit_test(rank_deficient_matrix_has_values_at_rounding),
        cmocka_unit_test(large_spectra_keep_their_bounds),
        cmocka_unit_test(random_spectra_keep_their_bounds),
        cmocka_unit_test(weighted_spectrum_is_that_of_the_outputs),
        cmocka_unit_test(captured_heads_equal_weights_times_data),
        cmocka_unit_test(rows_of_a_layer_are_keys_above_values),
        cmocka_unit_test(ranks_and_entropies_are_right_by_hand),
        cmocka_unit_test(nan_in_weights_is_refused),
    };
    mls_blas_single_thread();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
