#include "tests/support/demo.h"

#include "analysis/frequency/select_rules.h"
#include "analysis/frequency/shared_results.h"

enum { N = 2, T = 48, CHUNKS = 5 };

/* A capture of the demo model on made-up tokens, with both sequences as windows. */
static demo new_bench(void)
{
    mls_corpus corpus = demo_tokens(N, T);
    const demo d = demo_open(&corpus, N);

    mls_corpus_free(&corpus);
    return d;
}

static void choose(mls_selection *s, const demo *b, const char *rule, size_t layer,
                   size_t chunks)
{
    const mls_rule_input in = {.config = mls_model_config(b->model),
                               .layer = layer,
                               .capture = b->capture,
                               .pool = b->pool};

    assert_ok(mls_selection_by_rule(s, rule, &in, chunks, MLS_SCOPE_HEAD, &err));
}

static void a_search_runs_once_for_all_budgets_and_alone_gives_the_same(void **state)
{
    static const char *const rules[] = {"ropelite-l1", "ropelite-l2", "contribution"};
    demo b, fresh;

    (void)state;
    b = new_bench();
    fresh = new_bench();
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        const mls_rule *rule;
        const mls_rule_scores *kept;
        mls_selection one, two, other, alone;

        assert_ok(mls_rule_find(&rule, rules[i], &err));
        assert_null(mls_shared_rule(mls_shared_results_of(b.capture), 1, rule));
        choose(&one, &b, rules[i], 1, CHUNKS);
        kept = mls_shared_rule(mls_shared_results_of(b.capture), 1, rule);
        assert_non_null(kept);
        assert_null(kept->gram);
        assert_null(kept->trace);
        choose(&two, &b, rules[i], 1, 2 * CHUNKS);
        assert_ptr_equal(mls_shared_rule(mls_shared_results_of(b.capture), 1, rule),
                         kept);
        choose(&other, &b, rules[i], 0, CHUNKS); /* another layer is another search */
        assert_ptr_not_equal(mls_shared_rule(mls_shared_results_of(b.capture), 0, rule),
                             kept);
        choose(&alone, &fresh, rules[i], 1, 2 * CHUNKS);
        assert_int_equal(one.count[0], CHUNKS);
        assert_int_equal(two.count[0], 2 * CHUNKS);
        assert_memory_equal(one.order, two.order, one.G * one.C * sizeof *one.order);
        assert_memory_equal(alone.order, two.order, one.G * one.C * sizeof *one.order);
        assert_memory_not_equal(other.order, two.order,
                                one.G * one.C * sizeof *one.order);
        mls_selection_free(&one);
        mls_selection_free(&two);
        mls_selection_free(&other);
        mls_selection_free(&alone);
    }
    demo_close(&b);
    demo_close(&fresh);
}

static void global_budgets_share_the_search_too(void **state)
{
    const mls_rule *rule;
    demo b, fresh;

    (void)state;
    b = new_bench();
    fresh = new_bench();
    const mls_config *c = mls_model_config(b.model);
    mls_selection *first = calloc(c->L, sizeof *first);
    mls_selection *again = calloc(c->L, sizeof *again);
    mls_selection *alone = calloc(c->L, sizeof *alone);

    assert_ok(mls_rule_find(&rule, "ropelite-l1", &err));
    assert_ok(mls_selections_by_rule(first, "ropelite-l1", c, b.capture, 8,
                                     MLS_SCOPE_GLOBAL, b.pool, NULL, &err));
    const mls_rule_scores *kept =
        mls_shared_rule(mls_shared_results_of(b.capture), c->L - 1, rule);

    assert_non_null(kept);
    assert_ok(mls_selections_by_rule(again, "ropelite-l1", c, b.capture, 4,
                                     MLS_SCOPE_GLOBAL, b.pool, NULL, &err));
    assert_ptr_equal(mls_shared_rule(mls_shared_results_of(b.capture), c->L - 1, rule),
                     kept);
    assert_ok(mls_selections_by_rule(alone, "ropelite-l1", c, fresh.capture, 4,
                                     MLS_SCOPE_GLOBAL, b.pool, NULL, &err));
    for (size_t l = 0; l < c->L; l++) {
        assert_memory_equal(again[l].count, alone[l].count,
                            c->G * sizeof *again[l].count);
        assert_memory_equal(again[l].order, alone[l].order,
                            c->G * (c->D / 2) * sizeof *again[l].order);
        mls_selection_free(&first[l]);
        mls_selection_free(&again[l]);
        mls_selection_free(&alone[l]);
    }
    free(first);
    free(again);
    free(alone);
    demo_close(&b);
    demo_close(&fresh);
}

static void a_sensitivity_is_measured_once_per_layer(void **state)
{
    demo b;
    const double *first = NULL;

    (void)state;
    b = new_bench();
    for (size_t l = 0; l < 2; l++) {
        const mls_sensitivity *shared, *again;
        mls_sensitivity own;
        mls_layer layer;

        assert_ok(mls_model_layer(b.model, l, &layer, &err));
        assert_ok(mls_sensitivity_measure(&own, b.capture, &layer, 0, b.pool, &err));
        assert_ok(mls_shared_sensitivity(&shared, b.capture, &layer, b.pool, &err));
        const double *numbers = shared->key;

        assert_memory_equal(shared->key, own.key,
                            own.G * own.D * own.D * sizeof *own.key);
        assert_memory_equal(shared->value, own.value,
                            own.G * own.D * own.D * sizeof *own.value);
        assert_ok(mls_shared_sensitivity(&again, b.capture, &layer, b.pool, &err));
        assert_ptr_equal(again->key, numbers);
        mls_sensitivity_free(&own);
        mls_layer_free(&layer);
        first = first ? first : numbers;
    }
    mls_layer zero;
    const mls_sensitivity *again;

    /* Another layer was asked for since. */
    assert_ok(mls_model_layer(b.model, 0, &zero, &err));
    assert_ok(mls_shared_sensitivity(&again, b.capture, &zero, b.pool, &err));
    assert_ptr_equal(again->key, first);
    mls_layer_free(&zero);
    demo_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_search_runs_once_for_all_budgets_and_alone_gives_the_same),
        cmocka_unit_test(global_budgets_share_the_search_too),
        cmocka_unit_test(a_sensitivity_is_measured_once_per_layer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
