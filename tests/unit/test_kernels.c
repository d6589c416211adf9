#include "tests/support/expect.h"

#include <float.h>

#include "analysis/numeric/kernels.h"
#include "common/numbers/rng.h"

/* n normal numbers of this spread; released by the caller. */
static float *random_floats(mls_rng *rng, size_t n, double spread)
{
    float *x = malloc((n ? n : 1) * sizeof *x);

    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(spread * mls_rng_normal(rng));
    return x;
}

/* The plain definitions, in double. */

static void rmsnorm_ref(double *y, const float *x, const float *gain, double eps,
                        size_t E)
{
    double sum = 0;

    for (size_t e = 0; e < E; e++)
        sum += (double)x[e] * (double)x[e];
    for (size_t e = 0; e < E; e++)
        y[e] = (double)x[e] / sqrt(sum / (double)E + eps) * (double)gain[e];
}

static void attend_ref(double *out, size_t t, const float *q, size_t ld_q,
                       const float *k, size_t ld_k, const float *v, size_t ld_v,
                       size_t dk, size_t dv, double scale, size_t window)
{
    const size_t first = window && t + 1 > window ? t + 1 - window : 0;
    double sum = 0, max = -HUGE_VAL;
    double *score = malloc((t + 1) * sizeof *score);

    assert_non_null(score);
    for (size_t j = first; j <= t; j++) {
        score[j] = 0;
        for (size_t d = 0; d < dk; d++)
            score[j] += (double)q[t * ld_q + d] * (double)k[j * ld_k + d];
        score[j] *= scale;
        max = fmax(max, score[j]);
    }
    for (size_t d = 0; d < dv; d++)
        out[d] = 0;
    for (size_t j = first; j <= t; j++)
        sum += exp(score[j] - max);
    for (size_t j = first; j <= t; j++)
        for (size_t d = 0; d < dv; d++)
            out[d] += exp(score[j] - max) / sum * (double)v[j * ld_v + d];
    free(score);
}

static void rmsnorm_matches_its_definition(void **state)
{
    (void)state;
    mls_rng rng;

    mls_rng_seed(&rng, 1, 0);
    for (size_t round = 0; round < 60; round++) {
        const size_t T = mls_rng_below(&rng, 4), E = 1 + mls_rng_below(&rng, 70);
        float *x = random_floats(&rng, T * E, 3), *gain = random_floats(&rng, E, 1);
        float *y = random_floats(&rng, T * E, 1);
        double want[80];

        mls_rmsnorm(y, x, gain, 1e-5, T, E);
        for (size_t t = 0; t < T; t++) {
            rmsnorm_ref(want, x + t * E, gain, 1e-5, E);
            for (size_t e = 0; e < E; e++)
                assert_close(y[t * E + e], want[e], 6e-8 * fabs(want[e]));
        }
        mls_rmsnorm(x, x, gain, 1e-5, T, E); /* in place */
        assert_memory_equal(x, y, T * E * sizeof *x);
        free(y);
        free(gain);
        free(x);
    }
}

static void rmsnorm_of_a_wide_row_keeps_float_precision(void **state)
{
    (void)state;
    enum { E = 8192 };
    mls_rng rng;

    mls_rng_seed(&rng, 2, 0);
    float *x = random_floats(&rng, E, 1), *gain = random_floats(&rng, E, 1);
    float *y = random_floats(&rng, E, 1);
    double *want = malloc(E * sizeof *want);

    assert_non_null(want);
    rmsnorm_ref(want, x, gain, 1e-6, E);
    mls_rmsnorm(y, x, gain, 1e-6, 1, E);
    for (size_t e = 0; e < E; e++)
        assert_close(y[e], want[e], 6e-8 * fabs(want[e]));
    free(want);
    free(y);
    free(gain);
    free(x);
}

static void rmsnorm_rows_touches_only_its_head(void **state)
{
    (void)state;
    float x[] = {3, 4, 7, 7, 7, 6, 8, 7, 7, 7}; /* rows of 2 at stride 5 */
    const float gain[] = {1, 2};

    mls_rmsnorm_rows(x, 5, gain, 0, 2, 2);
    /* rms of (3, 4) is sqrt(12.5); (6, 8) has the same direction. */
    const double r = sqrt(12.5);
    const double want[] = {3 / r, 8 / r, 7, 7, 7, 3 / r, 8 / r, 7, 7, 7};
    for (size_t i = 0; i < 10; i++)
        assert_close(x[i], want[i], 3e-7);
}

static void linear_matches_its_definition_at_odd_sizes(void **state)
{
    (void)state;
    mls_rng rng;

    mls_rng_seed(&rng, 3, 0);
    for (size_t round = 0; round < 60; round++) {
        const size_t T = mls_rng_below(&rng, 20), out = mls_rng_below(&rng, 30);
        const size_t in = mls_rng_below(&rng, 40);
        float *x = random_floats(&rng, T * in, 1),
              *w = random_floats(&rng, out * in, 1);
        float *b = random_floats(&rng, out, 1), *y = random_floats(&rng, T * out, 1);
        const float *bias = round % 2 ? b : NULL;

        mls_linear(y, x, w, bias, T, out, in);
        for (size_t t = 0; t < T; t++)
            for (size_t o = 0; o < out; o++) {
                double want = bias ? (double)bias[o] : 0.0;

                for (size_t i = 0; i < in; i++)
                    want += (double)x[t * in + i] * (double)w[o * in + i];
                assert_close(y[t * out + o], want, 1e-5);
            }
        free(y);
        free(b);
        free(w);
        free(x);
    }
}

static void silu_is_exact_to_float_precision(void **state)
{
    (void)state;
    enum { N = 20001 };
    float *gate = malloc(N * sizeof *gate), *up = malloc(N * sizeof *up);

    assert_non_null(gate);
    assert_non_null(up);
    for (size_t i = 0; i < N; i++) {
        gate[i] = -100.0f + 0.01f * (float)i;
        up[i] = 0.5f + (float)(i % 7);
    }
    mls_silu_mul(gate, up, N);
    for (size_t i = 0; i < N; i++) {
        const double z = (double)(-100.0f + 0.01f * (float)i);
        const double want = z / (1 + exp(-z)) * (double)up[i];

        assert_close(gate[i], want, 5e-7 * fabs(want) + 1e-35);
    }
    free(up);
    free(gate);
}

static void attention_matches_its_definition(void **state)
{
    (void)state;
    const size_t sizes[] = {0, 1, 2, 63, 64, 65, 129, 200};
    mls_rng rng;

    mls_rng_seed(&rng, 4, 0);
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (size_t round = 0; round < 4; round++) {
            const size_t T = sizes[s];
            const size_t dk = 1 + mls_rng_below(&rng, 20);
            const size_t dv = 1 + mls_rng_below(&rng, 20);
            const size_t ld_q = dk + mls_rng_below(&rng, 4);
            const size_t ld_k = dk + mls_rng_below(&rng, 4);
            const size_t ld_v = dv + mls_rng_below(&rng, 4);
            const size_t ld_out = dv + 2;
            const size_t window[] = {0, 1, 1 + mls_rng_below(&rng, 70), 1000};
            float *q = random_floats(&rng, T * ld_q, 2);
            float *k = random_floats(&rng, T * ld_k, 2);
            float *v = random_floats(&rng, T * ld_v, 1);
            float *out = random_floats(&rng, T * ld_out, 1);
            float *scratch = random_floats(&rng, MLS_ATTEND_ROWS * T, 1);
            double want[20];

            for (size_t i = 0; i < T * ld_out; i++)
                out[i] = 77.0f;
            mls_attend(out, ld_out, (mls_strided){q, ld_q, dk},
                       (mls_strided){k, ld_k, dk}, (mls_strided){v, ld_v, dv}, T, 0.3,
                       window[round], scratch);
            for (size_t t = 0; t < T; t++) {
                attend_ref(want, t, q, ld_q, k, ld_k, v, ld_v, dk, dv, 0.3,
                           window[round]);
                for (size_t d = 0; d < dv; d++)
                    assert_close(out[t * ld_out + d], want[d], 5e-6);
                assert_close(out[t * ld_out + dv], 77.0, 0); /* not ours */
                assert_close(out[t * ld_out + dv + 1], 77.0, 0);
            }
            free(scratch);
            free(out);
            free(v);
            free(k);
            free(q);
        }
}

static void attention_of_huge_scores_is_finite(void **state)
{
    (void)state;
    const float q[] = {1e4f, 1e4f}, k[] = {1e4f, -1e4f}, v[] = {3, 5};
    float out[2], scratch[2 * MLS_ATTEND_ROWS];

    mls_attend(out, 1, (mls_strided){q, 1, 1}, (mls_strided){k, 1, 1},
               (mls_strided){v, 1, 1}, 2, 1.0, 0, scratch);
    assert_close(out[0], 3, 0);
    assert_close(out[1], 3, 0); /* e^-2e8 of the second key */
}

static void a_nan_in_a_key_reaches_the_output(void **state)
{
    (void)state;
    const float q[] = {1, 1}, k[] = {1, NAN}, v[] = {3, 5};
    float out[2], scratch[2 * MLS_ATTEND_ROWS];

    mls_attend(out, 1, (mls_strided){q, 1, 1}, (mls_strided){k, 1, 1},
               (mls_strided){v, 1, 1}, 2, 1.0, 0, scratch);
    assert_close(out[0], 3, 0); /* the first token does not see the second key */
    assert_true(isnan(out[1]));
}

/* The softmax's float exponential, seen through attention with one-number values. */
static void softmax_is_within_float_precision_over_its_whole_range(void **state)
{
    (void)state;
    enum { T = 64 };
    float k[T], v[T] = {0}, out[T], q[T], scratch[MLS_ATTEND_ROWS * T];
    double worst = 0;

    /* Key 0 has score 0 and value 0; the last key has a score of -s and value 1. */
    for (double s = 0.01; s < 80; s += 0.137) {
        for (size_t t = 0; t < T; t++) {
            q[t] = 1;
            k[t] = -200; /* nothing: below the range of float */
            v[t] = 0;
        }
        k[0] = 0;
        k[T - 1] = (float)-s;
        v[T - 1] = 1;
        mls_attend(out, 1, (mls_strided){q, 1, 1}, (mls_strided){k, 1, 1},
                   (mls_strided){v, 1, 1}, T, 1.0, 0, scratch);
        const double e = exp((double)k[T - 1]), want = e / (1 + e);
        worst = fmax(worst, fabs((double)out[T - 1] - want) / want);
    }
    assert_true(worst < 2.4e-7);
}

static void exponentials_have_fourteen_digits(void **state)
{
    (void)state;
    enum { N = 100001 };
    float *x = malloc(N * sizeof *x);
    double *y = malloc(N * sizeof *y);

    assert_non_null(x);
    assert_non_null(y);
    for (size_t i = 0; i < N; i++)
        x[i] = -700.0f + 0.014f * (float)i;
    mls_exp(y, x, 0.25, N);
    for (size_t i = 0; i < N; i++) {
        const double want = exp((double)x[i] - 0.25);

        assert_close(y[i], want, 1e-14 * want);
    }
    const float edge[] = {-1000.0f, -INFINITY, NAN, 0.0f};
    mls_exp(y, edge, 0, 4);
    assert_close(y[0], 0, 0);
    assert_close(y[1], 0, 0);
    assert_true(isnan(y[2]));
    assert_close(y[3], 1, 0);
    free(y);
    free(x);
}

static void logsumexp_matches_the_sum(void **state)
{
    (void)state;
    mls_rng rng;

    mls_rng_seed(&rng, 5, 0);
    for (size_t n = 1; n < 300; n += 7) {
        float *x = random_floats(&rng, n, 20);
        double sum = 0;

        for (size_t i = 0; i < n; i++)
            sum += exp((double)x[i]);
        assert_close(mls_logsumexp(x, n), log(sum), 1e-13 * (1 + fabs(log(sum))));
        for (size_t i = 0; i < n; i++)
            x[i] += 1e5f; /* far outside the range of exp */
        assert_true(mls_logsumexp(x, n) > 9e4 && mls_logsumexp(x, n) < 1.1e5);
        x[n - 1] = NAN;
        assert_true(isnan(mls_logsumexp(x, n)));
        free(x);
    }
    assert_true(isinf(mls_logsumexp(NULL, 0)) && mls_logsumexp(NULL, 0) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rmsnorm_matches_its_definition),
        cmocka_unit_test(rmsnorm_of_a_wide_row_keeps_float_precision),
        cmocka_unit_test(rmsnorm_rows_touches_only_its_head),
        cmocka_unit_test(linear_matches_its_definition_at_odd_sizes),
        cmocka_unit_test(silu_is_exact_to_float_precision),
        cmocka_unit_test(attention_matches_its_definition),
        cmocka_unit_test(attention_of_huge_scores_is_finite),
        cmocka_unit_test(a_nan_in_a_key_reaches_the_output),
        cmocka_unit_test(softmax_is_within_float_precision_over_its_whole_range),
        cmocka_unit_test(exponentials_have_fourteen_digits),
        cmocka_unit_test(logsumexp_matches_the_sum),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
