#include "tests/support/expect.h"

#include "analysis/model/rope.h"
#include "common/numbers/rng.h"

static void default_frequencies_fall_from_one_to_nearly_one_over_theta(void **state)
{
    (void)state;
    const mls_rope_config rope = {.type = MLS_ROPE_DEFAULT, .theta = 10000};
    double f[4];

    mls_rope_frequencies(f, &rope, 8);
    assert_close(f[0], 1, 0);
    assert_close(f[1], 0.1, 1e-16);
    assert_close(f[2], 0.01, 1e-17);
    assert_close(f[3], 0.001, 1e-18);
}

static void linear_scaling_divides_every_frequency(void **state)
{
    (void)state;
    const mls_rope_config rope = {.type = MLS_ROPE_LINEAR, .theta = 10000, .factor = 4};
    double f[4];

    mls_rope_frequencies(f, &rope, 8);
    assert_close(f[0], 0.25, 0);
    assert_close(f[3], 0.00025, 1e-18);
}

/*
 * Llama 3.2 1B: D 64, theta 500000, factor 32, low 1, high 4, original 8192. Values by
 * transformers' _compute_llama3_parameters formula in float64
 * (tests/reference/forward.py --rope prints them).
 */
static void llama3_scaling_matches_the_published_formula(void **state)
{
    (void)state;
    const mls_rope_config rope = {.type = MLS_ROPE_LLAMA3,
                                  .theta = 500000,
                                  .factor = 32,
                                  .low_freq_factor = 1,
                                  .high_freq_factor = 4,
                                  .original_max_position = 8192};
    static const struct {
        size_t chunk;
        double want;
    } rows[] = {
        {0, 1},
        {1, 0.66360123769608836},
        {13, 0.0048394213457198928},
        {14, 0.0032114459947525913},
        {15, 0.001290547928209264},
        {16, 0.00042955679655936837},
        {17, 9.7082878026276702e-05},
        {18, 1.9461638184831128e-05},
        {31, 9.4183067254349113e-08},
    };
    double f[32];

    mls_rope_frequencies(f, &rope, 64);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_close(f[rows[i].chunk], rows[i].want, 1e-14 * rows[i].want);
}

static void rotation_turns_each_pair_by_its_angle(void **state)
{
    (void)state;
    const double inv_freq[] = {1.0, 0.5};
    float cs[3 * 2 * 2], x[3 * 5];

    mls_rope_table(cs, inv_freq, 2, 3);
    for (size_t t = 0; t < 3; t++) {
        const float row[] = {1, 0, 0, 2,
                             9}; /* pairs (1, 0) and (0, 2); 9 is not ours */

        memcpy(x + t * 5, row, sizeof row);
    }
    mls_rope_apply(x, 5, cs, 2, 3, 1);
    for (size_t t = 0; t < 3; t++) {
        const double a = (double)t;

        assert_close(x[t * 5 + 0], cos(a), 1e-7);
        assert_close(x[t * 5 + 2], sin(a), 1e-7);
        assert_close(x[t * 5 + 1], -2 * sin(a / 2), 2e-7);
        assert_close(x[t * 5 + 3], 2 * cos(a / 2), 2e-7);
        assert_close(x[t * 5 + 4], 9, 0);
    }
}

static void angles_are_exact_at_far_positions(void **state)
{
    (void)state;
    enum { T = 100001 };
    const double inv_freq[] = {0.7943282347242815}; /* 10^-0.1 */
    float *cs = malloc(2 * T * sizeof *cs);

    assert_non_null(cs);
    mls_rope_table(cs, inv_freq, 1, T);
    const double angle = 100000 * inv_freq[0];
    assert_close(cs[2 * (T - 1)], cos(angle), 6e-8);
    assert_close(cs[2 * (T - 1) + 1], sin(angle), 6e-8);
    free(cs);
}

static void scores_depend_only_on_the_distance(void **state)
{
    (void)state;
    enum { C = 7, D = 2 * C, T = 40 };
    const mls_rope_config rope = {.type = MLS_ROPE_DEFAULT, .theta = 10000};
    double inv_freq[C];
    float cs[T * C * 2], q[T * D], k[T * D];
    mls_rng rng;

    mls_rng_seed(&rng, 9, 0);
    for (size_t d = 0; d < D; d++) {
        q[d] = (float)mls_rng_normal(&rng);
        k[d] = (float)mls_rng_normal(&rng);
    }
    for (size_t t = 1; t < T; t++) {
        memcpy(q + t * D, q, D * sizeof *q);
        memcpy(k + t * D, k, D * sizeof *k);
    }
    mls_rope_frequencies(inv_freq, &rope, D);
    mls_rope_table(cs, inv_freq, C, T);
    mls_rope_apply(q, D, cs, C, T, 1);
    mls_rope_apply(k, D, cs, C, T, 1);
    for (size_t t = 5; t < T; t++) {
        double first = 0, here = 0;

        for (size_t d = 0; d < D; d++) {
            first += (double)q[5 * D + d] * (double)k[d];
            here += (double)q[t * D + d] * (double)k[(t - 5) * D + d];
        }
        assert_close(here, first, 2e-6);
    }
}

static void turning_back_undoes_the_rotation(void **state)
{
    (void)state;
    for (size_t C = 0; C < 40; C += 3) {
        const size_t T = 11, D = 2 * C;
        const mls_rope_config rope = {.type = MLS_ROPE_DEFAULT, .theta = 500};
        double inv_freq[64];
        float *cs = malloc((T * D + 1) * sizeof *cs);
        float *x = malloc((T * D + 1) * sizeof *x),
              *y = malloc((T * D + 1) * sizeof *y);
        mls_rng rng;

        assert_true(cs && x && y);
        mls_rng_seed(&rng, C, 1);
        for (size_t i = 0; i < T * D; i++)
            y[i] = x[i] = (float)mls_rng_normal(&rng);
        mls_rope_frequencies(inv_freq, &rope, D);
        mls_rope_table(cs, inv_freq, C, T);
        mls_rope_apply(x, D, cs, C, T, 1);
        if (C)
            assert_true(fabsf(x[D] - y[D]) > 1e-3f); /* row 1 did turn */
        mls_rope_apply(x, D, cs, C, T, -1);
        for (size_t i = 0; i < T * D; i++)
            assert_close(x[i], y[i], 1e-6);
        free(y);
        free(x);
        free(cs);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default_frequencies_fall_from_one_to_nearly_one_over_theta),
        cmocka_unit_test(linear_scaling_divides_every_frequency),
        cmocka_unit_test(llama3_scaling_matches_the_published_formula),
        cmocka_unit_test(rotation_turns_each_pair_by_its_angle),
        cmocka_unit_test(angles_are_exact_at_far_positions),
        cmocka_unit_test(scores_depend_only_on_the_distance),
        cmocka_unit_test(turning_back_undoes_the_rotation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
