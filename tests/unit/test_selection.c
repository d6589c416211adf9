#include "tests/support/expect.h"

#include "analysis/frequency/selection.h"

static void order_is_by_score_and_ties_go_to_the_smaller_chunk(void **state)
{
    static const double score[] = {1, 3, 2, 3, 0, 0, 0, NAN, 5, 0};
    static const uint16_t want[] = {1, 3, 2, 0, 4, 3, 0, 1, 4, 2};
    mls_selection s;

    (void)state;
    assert_ok(mls_selection_new(&s, 2, 5, &err));
    for (size_t c = 0; c < 10; c++)
        assert_int_equal(s.order[c], c % 5);
    mls_selection_rank(&s, score);
    for (size_t c = 0; c < 10; c++)
        assert_int_equal(s.order[c], want[c]); /* NaN is last */
    mls_selection_free(&s);
}

static void split_gives_kept_and_dropped_chunks_ascending(void **state)
{
    static const double score[] = {1, 3, 2, 3, 0};
    uint16_t kept[5], dropped[5];
    mls_selection s, copy;

    (void)state;
    assert_ok(mls_selection_new(&s, 1, 5, &err));
    mls_selection_rank(&s, score);
    s.count[0] = 3; /* 1, 3, 2 */
    assert_ok(mls_selection_copy(&copy, &s, &err));
    mls_selection_free(&s);
    mls_selection_split(&copy, 0, kept, dropped);
    assert_int_equal(kept[0], 1);
    assert_int_equal(kept[1], 2);
    assert_int_equal(kept[2], 3);
    assert_int_equal(dropped[0], 0);
    assert_int_equal(dropped[1], 4);
    mls_selection_free(&copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_is_by_score_and_ties_go_to_the_smaller_chunk),
        cmocka_unit_test(split_gives_kept_and_dropped_chunks_ascending),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
