#include "tests/support/expect.h"

#include "analysis/frequency/agreement.h"
#include "analysis/frequency/bootstrap.h"
#include "common/numbers/rng.h"

enum { C = 6, UNITS = 40 };

/* One head; unit u scores chunk c as centre[c] + noise. */
static mls_rule_scores noisy(const double *centre, double noise)
{
    const mls_rule *rule;
    mls_rule_scores s = {.H = 1, .G = 1, .C = C, .units = UNITS};
    mls_rng rng;

    assert_ok(mls_rule_find(&rule, "contribution", &err));
    s.rule = rule;
    s.mean = calloc(UNITS * C, sizeof *s.mean);
    assert_non_null(s.mean);
    mls_rng_seed(&rng, 3, 3);
    for (size_t i = 0; i < UNITS * C; i++)
        s.mean[i] = centre[i % C] + noise * mls_rng_normal(&rng);
    return s;
}

static void intervals_have_the_width_of_a_standard_error(void **state)
{
    static const double centre[C] = {0, 1, 2, 3, 4, 5};
    const size_t chunks[] = {2};
    mls_rule_scores s = noisy(centre, 1.0);
    mls_bootstrap b, again;
    mls_pool *one, *two;

    (void)state;
    assert_ok(mls_pool_new(&one, 1, &err));
    assert_ok(mls_pool_new(&two, 2, &err));
    assert_ok(mls_bootstrap_make(&b, &s, chunks, 1, 2000, 7, one, &err));
    assert_ok(mls_bootstrap_make(&again, &s, chunks, 1, 2000, 7, two, &err));
    for (size_t c = 0; c < C; c++) {
        double mean = 0.0, square = 0.0;

        for (size_t u = 0; u < UNITS; u++) {
            mean += s.mean[u * C + c] / UNITS;
            square += s.mean[u * C + c] * s.mean[u * C + c] / UNITS;
        }
        const double error = sqrt((square - mean * mean) / UNITS);

        assert_close(b.low[c], mean - 1.96 * error, 0.15 * error);
        assert_close(b.high[c], mean + 1.96 * error, 0.15 * error);
        assert_close(again.low[c], b.low[c], 0.0);
        assert_close(again.in_top[c], b.in_top[c], 0.0);
    }
    mls_bootstrap_free(&b);
    mls_bootstrap_free(&again);
    mls_pool_free(one);
    mls_pool_free(two);
    mls_rule_scores_free(&s);
}

static void chances_tell_clear_chunks_from_doubtful_ones(void **state)
{
    /* 5 is surely first; 3 and 4 are the same but for noise; 0 is surely last. */
    static const double centre[C] = {0, 1, 1, 5, 5, 20};
    const size_t chunks[] = {1, 2, 3, 6};
    mls_rule_scores s = noisy(centre, 0.5);
    mls_bootstrap b;
    mls_pool *pool;
    double sum = 0.0;

    (void)state;
    assert_ok(mls_pool_new(&pool, 2, &err));
    assert_ok(mls_bootstrap_make(&b, &s, chunks, 4, 500, 1, pool, &err));
    assert_close(b.in_top[0 * C + 5], 1.0, 1e-12);
    assert_close(b.in_top[1 * C + 5], 1.0, 1e-12);
    assert_true(b.in_top[1 * C + 3] > 0.02 && b.in_top[1 * C + 3] < 0.98);
    assert_close(b.in_top[1 * C + 3] + b.in_top[1 * C + 4], 1.0, 1e-12);
    assert_close(b.in_top[2 * C + 3], 1.0, 1e-12);
    for (size_t c = 0; c < C; c++) {
        sum += b.in_top[2 * C + c];
        assert_close(b.in_top[3 * C + c], 1.0, 1e-12);
    }
    assert_close(sum, 3.0, 1e-9);
    mls_bootstrap_free(&b);
    mls_pool_free(pool);
    mls_rule_scores_free(&s);
}

static void agreement_grows_with_the_size_of_the_samples(void **state)
{
    static const double centre[C] = {0, 1, 2, 3, 4, 5};
    const size_t chunks[] = {2, 6};
    mls_rule_scores s = noisy(centre, 4.0);
    mls_stability y;

    (void)state;
    assert_ok(mls_stability_make(&y, &s, chunks, 2, 1, &err));
    assert_int_equal(y.n, 6); /* 1 2 4 8 16 20 */
    assert_int_equal(y.units[4], 16);
    assert_int_equal(y.units[5], 20);
    assert_true(y.overlap[0] < 0.75);
    assert_true(y.overlap[5 * 2] > y.overlap[0] + 0.1);
    assert_true(y.correlation[5] > y.correlation[0] + 0.2);
    for (size_t i = 0; i < y.n; i++)
        assert_close(y.overlap[i * 2 + 1], 1.0, 1e-12); /* all of all */
    mls_stability_free(&y);
    s.units = 1;
    assert_refused(mls_stability_make(&y, &s, chunks, 2, 1, &err), MLS_E_INPUT,
                   "one window");
    mls_rule_scores_free(&s);

    s = noisy(centre, 0.0);
    assert_ok(mls_stability_make(&y, &s, chunks, 2, 1, &err));
    assert_close(y.overlap[0], 1.0, 1e-12);
    assert_close(y.correlation[0], 1.0, 1e-12);
    mls_stability_free(&y);
    mls_rule_scores_free(&s);
}

static void jaccard_counts_common_chunks_over_the_union(void **state)
{
    mls_selection a, b;

    (void)state;
    assert_ok(mls_selection_new(&a, 2, C, &err));
    assert_ok(mls_selection_new(&b, 2, C, &err));
    assert_close(mls_selection_jaccard(&a, &b), 1.0, 0.0); /* nothing kept by either */
    a.count[0] = 3;                                        /* 0 1 2 */
    b.count[0] = 2;                                        /* 0 1 */
    assert_close(mls_selection_jaccard(&a, &b), (2.0 / 3.0 + 1.0) / 2.0, 1e-15);
    b.order[0] = 5;
    b.order[1] = 0;
    b.count[0] = 3; /* 5 0 2 */
    assert_close(mls_selection_jaccard(&a, &b), (2.0 / 4.0 + 1.0) / 2.0, 1e-15);
    assert_int_equal(mls_order_common(a.order, 1, b.order, 1), 0);
    mls_selection_free(&a);
    mls_selection_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intervals_have_the_width_of_a_standard_error),
        cmocka_unit_test(chances_tell_clear_chunks_from_doubtful_ones),
        cmocka_unit_test(agreement_grows_with_the_size_of_the_samples),
        cmocka_unit_test(jaccard_counts_common_chunks_over_the_union),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
