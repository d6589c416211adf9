#include "tests/support/expect.h"

#include "analysis/frequency/scores_norm.h"
#include "analysis/frequency/select_rules.h"

/* Two query heads per KV head, 8 chunks. */
static const mls_config config = {.L = 1, .H = 4, .G = 2, .D = 16};

static void assert_kept(const char *rule, size_t chunks, size_t n, const uint16_t *want)
{
    const mls_rule_input in = {.config = &config};
    bool seen[8] = {false};
    mls_selection s;

    assert_ok(mls_selection_by_rule(&s, rule, &in, chunks, MLS_SCOPE_HEAD, &err));
    for (size_t g = 0; g < 2; g++) {
        assert_int_equal(s.count[g], n);
        for (size_t k = 0; k < n; k++)
            assert_int_equal(s.order[g * 8 + k], want[k]);
    }
    for (size_t c = 0; c < 8; c++) {
        assert_false(seen[s.order[c]]); /* a permutation */
        seen[s.order[c]] = true;
    }
    mls_selection_free(&s);
}

static void rules_of_the_shape_keep_the_chunks_of_their_formula(void **state)
{
    (void)state;
    assert_kept("high", 3, 3, (const uint16_t[]){0, 1, 2});
    assert_kept("low", 3, 3, (const uint16_t[]){7, 6, 5});
    assert_kept("xecomla", 2, 2, (const uint16_t[]){7, 6});
    assert_kept("uniform", 4, 4, (const uint16_t[]){0, 2, 4, 6});
    assert_kept("uniform:1", 4, 4, (const uint16_t[]){1, 3, 5, 7});
    assert_kept("uniform", 3, 3, (const uint16_t[]){0, 2, 5}); /* floor(8k/3) */
    assert_kept("uniform-elite", 3, 3, (const uint16_t[]){0, 3, 7});
    assert_kept("uniform-elite", 1, 1, (const uint16_t[]){0});
    assert_kept("high+low", 3, 3, (const uint16_t[]){0, 1, 7});
    assert_kept("high+low:1", 4, 4, (const uint16_t[]){0, 5, 6, 7});
}

static void every_rule_of_the_shape_takes_none_and_all(void **state)
{
    const uint16_t all[] = {0, 1, 2, 3, 4, 5, 6, 7};

    (void)state;
    assert_kept("high", 0, 0, NULL);
    assert_kept("uniform", 0, 0, NULL);
    assert_kept("uniform-elite", 0, 0, NULL);
    assert_kept("high+low", 0, 0, NULL);
    assert_kept("uniform", 8, 8, all);
    assert_kept("uniform-elite", 8, 8, all);
    assert_kept("high+low", 8, 8, all);
}

static void two_norm_sums_over_the_group(void **state)
{
    /* H = 2, G = 1, C = 2 */
    const double q[] = {1, 2, 3, 5}, k[] = {10, 7};
    double s[2];

    (void)state;
    mls_scores_norm(s, q, k, 2, 1, 2, MLS_NORM_PRODUCT);
    assert_close(s[0], 40, 0);
    assert_close(s[1], 49, 0);
    mls_scores_norm(s, q, k, 2, 1, 2, MLS_NORM_SUM);
    assert_close(s[0], 24, 0);
    assert_close(s[1], 21, 0);
}

static mls_layer_stats stats_of(double *q, double *k)
{
    return (mls_layer_stats){.H = 4, .G = 2, .D = 16, .C = 8, .q_norm = q, .k_norm = k};
}

static void a_layer_budget_goes_where_the_scores_are(void **state)
{
    double q[4 * 8], k[2 * 8];
    mls_layer_stats stats = stats_of(q, k);
    const mls_rule_input in = {.config = &config, .stats = &stats};
    mls_selection s;

    (void)state;
    for (size_t i = 0; i < 32; i++)
        q[i] = 1.0;
    for (size_t c = 0; c < 8; c++) {
        k[c] = 10.0 + (double)c; /* head 0 beats head 1 but for one chunk */
        k[8 + c] = c == 5 ? 99.0 : (double)c;
    }
    assert_ok(mls_selection_by_rule(&s, "2-norm", &in, 3, MLS_SCOPE_LAYER, &err));
    assert_int_equal(s.count[0], 5);
    assert_int_equal(s.count[1], 1);
    assert_int_equal(s.order[0], 7);
    assert_int_equal(s.order[8], 5);
    mls_selection_free(&s);
    assert_ok(mls_selection_by_rule(&s, "2-norm", &in, 3, MLS_SCOPE_HEAD, &err));
    assert_int_equal(s.count[0], 3);
    assert_int_equal(s.count[1], 3);
    mls_selection_free(&s);
    assert_ok(mls_selection_by_rule(&s, "2-norm", &in, 8, MLS_SCOPE_LAYER, &err));
    assert_int_equal(s.count[0], 8);
    assert_int_equal(s.count[1], 8);
    mls_selection_free(&s);
}

static void what_a_rule_cannot_do_is_said(void **state)
{
    const mls_rule_input in = {.config = &config};
    mls_selection s;

    (void)state;
    assert_refused(mls_selection_by_rule(&s, "2-nrm", &in, 2, MLS_SCOPE_HEAD, &err),
                   MLS_E_ARG, "did you mean 2-norm?");
    assert_refused(mls_selection_by_rule(&s, "foo", &in, 2, MLS_SCOPE_HEAD, &err),
                   MLS_E_ARG, "there is no selection rule foo; known are high, low, ");
    assert_refused(mls_selection_by_rule(&s, "high:2", &in, 2, MLS_SCOPE_HEAD, &err),
                   MLS_E_ARG, "takes no argument");
    assert_refused(mls_selection_by_rule(&s, "uniform:x", &in, 2, MLS_SCOPE_HEAD, &err),
                   MLS_E_ARG, "whole number");
    assert_refused(mls_selection_by_rule(&s, "uniform:2", &in, 4, MLS_SCOPE_HEAD, &err),
                   MLS_E_ARG, "at most 1");
    assert_refused(
        mls_selection_by_rule(&s, "high+low:5", &in, 4, MLS_SCOPE_HEAD, &err),
        MLS_E_ARG, "of a budget of 4");
    assert_refused(mls_selection_by_rule(&s, "high", &in, 9, MLS_SCOPE_HEAD, &err),
                   MLS_E_INPUT, "the model has 8");
    assert_refused(mls_selection_by_rule(&s, "2-norm", &in, 2, MLS_SCOPE_HEAD, &err),
                   MLS_E_INPUT, "needs --capture RUN.h5, written by mlascope");
    assert_null(s.order);
    assert_refused(mls_selection_by_rule(&s, "high", &in, 2, MLS_SCOPE_QUERY, &err),
                   MLS_E_ARG, "keys are shared");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_of_the_shape_keep_the_chunks_of_their_formula),
        cmocka_unit_test(every_rule_of_the_shape_takes_none_and_all),
        cmocka_unit_test(two_norm_sums_over_the_group),
        cmocka_unit_test(a_layer_budget_goes_where_the_scores_are),
        cmocka_unit_test(what_a_rule_cannot_do_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
