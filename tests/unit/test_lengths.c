/* Losses by the length of windows and by position in them. */
#include "bench/evaluate/lengths.h"

#include "reports/tables/length_tables.h"
#include "tests/support/expect.h"

/* Two settings at two lengths: KL of each, all of the same half width. */
static void lengths_of(mls_lengths *l, mls_evaluation e[2], mls_quality q[4],
                       const double kl[4], double half)
{
    static size_t length[2] = {64, 256};

    for (size_t i = 0; i < 4; i++)
        q[i] = (mls_quality){.kl = {kl[i], half}};
    for (size_t i = 0; i < 2; i++)
        e[i] = (mls_evaluation){.n = 2, .variant = q + 2 * i};
    *l = (mls_lengths){.n = 2, .length = length, .e = e};
}

static void an_order_that_turns_with_the_length_is_warned_of(void **state)
{
    const double turned[] = {0.2, 0.3, 0.5, 0.4}, grown[] = {0.2, 0.3, 0.4, 0.5};
    const char *const name[] = {"short", "long"};
    mls_evaluation e[2];
    mls_quality q[4];
    mls_lengths l;
    size_t a, b;
    char text[512];

    (void)state;
    lengths_of(&l, e, q, turned, 0.01);
    assert_true(mls_lengths_turn(&l, &a, &b));
    mls_length_warning(text, sizeof text, &l, name);
    assert_non_null(strstr(text, "the order depends on the length: of short and long"));
    lengths_of(&l, e, q, grown, 0.01);
    assert_false(mls_lengths_turn(&l, &a, &b));
    assert_true(mls_lengths_moved(&l, &a));
    assert_int_equal(a, 0); /* doubles, the other grows by 2/3 */
    mls_length_warning(text, sizeof text, &l, name);
    assert_non_null(strstr(text, "the order stays"));
}

static void what_lies_within_the_intervals_is_not_warned_of(void **state)
{
    const double kl[] = {0.2, 0.3, 0.4, 0.3};
    const char *const name[] = {"a", "b"};
    mls_evaluation e[2];
    mls_quality q[4];
    mls_lengths l;
    char text[512];

    (void)state;
    lengths_of(&l, e, q, kl, 0.2);
    mls_length_warning(text, sizeof text, &l, name);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_that_turns_with_the_length_is_warned_of),
        cmocka_unit_test(what_lies_within_the_intervals_is_not_warned_of),
    };

    return cmocka_run_group_tests_name("lengths", tests, NULL, NULL);
}
