#include "tests/support/expect.h"

#include "bench/evaluate/race.h"
#include "bench/evaluate/ties.h"

enum { WINDOWS = 8 };

/* A row whose windows are as hard as these, each times a factor, plus some noise. */
static mls_compared row_of(double *kl, mls_serve serve, double factor, double noise)
{
    static const double hard[WINDOWS] = {4, 5, 3.5, 6, 5, 4, 4.5, 6};

    for (size_t i = 0; i < WINDOWS; i++)
        kl[i] = factor * hard[i] + (i % 2 ? noise : -noise);
    return (mls_compared){.serve = serve,
                          .measured = true,
                          .N = WINDOWS,
                          .seq_kl = kl,
                          .kl = mls_mean_of(kl, WINDOWS)};
}

/* 4 times the loss is clear; 5 % more, with noise of half a window's loss, is not. */
static void a_clear_loser_is_not_finished(void **state)
{
    (void)state;
    double kl[4][WINDOWS];
    const mls_racer racer[4] = {{0.5, "a"}, {0.5, "b"}, {0.5, "c"}, {0.5, "d"}};
    const mls_compared row[4] = {row_of(kl[0], MLS_SERVE_MLA, 1, 0),
                                 row_of(kl[1], MLS_SERVE_MLA, 4, 0),
                                 row_of(kl[2], MLS_SERVE_MLA, 1.05, 2),
                                 row_of(kl[3], MLS_SERVE_OWN_KERNEL, 4, 0)};
    bool finish[4];

    mls_race_finishers(finish, row, racer, 4, 0.25, MLS_SERVE_MLA);
    assert_true(finish[0]);
    assert_false(finish[1]);
    assert_true(finish[2]); /* not told apart */
    assert_true(finish[3]); /* alone in its class */
}

static void shares_do_not_compete_and_what_is_in_no_race_is_finished(void **state)
{
    (void)state;
    double kl[3][WINDOWS];
    const mls_racer racer[3] = {{0.5, "a"}, {0.25, "a"}, {NAN, "a"}};
    const mls_compared row[3] = {row_of(kl[0], MLS_SERVE_MLA, 1, 0),
                                 row_of(kl[1], MLS_SERVE_MLA, 9, 0),
                                 row_of(kl[2], MLS_SERVE_MLA, 20, 0)};
    bool finish[3];

    mls_race_finishers(finish, row, racer, 3, 0.125, MLS_SERVE_MLA);
    assert_true(finish[0] && finish[1] && finish[2]);
}

static void the_best_of_another_method_is_finished_where_two_are_shown(void **state)
{
    (void)state;
    double kl[4][WINDOWS];
    const mls_racer racer[4] = {{0.25, "a"}, {0.25, "a"}, {0.25, "b"}, {0.25, "c"}};
    const mls_compared row[4] = {
        row_of(kl[0], MLS_SERVE_MLA, 1, 0), row_of(kl[1], MLS_SERVE_MLA, 4, 0),
        row_of(kl[2], MLS_SERVE_MLA, 8, 0), row_of(kl[3], MLS_SERVE_MLA, 20, 0)};
    bool finish[4];

    mls_race_finishers(finish, row, racer, 4, 0.25, MLS_SERVE_MLA);
    assert_true(finish[0]);
    assert_false(finish[1]); /* of the best's own method */
    assert_true(finish[2]);
    assert_false(finish[3]);
    mls_race_finishers(finish, row, racer, 4, 0.5, MLS_SERVE_MLA);
    assert_false(finish[2]);
    mls_race_finishers(finish, row, racer, 4, 0.25, MLS_SERVE_OWN_KERNEL);
    assert_true(finish[0]);
    assert_false(finish[2]);
}

static void a_refused_setting_is_not_finished(void **state)
{
    (void)state;
    const mls_racer racer = {0.5, "a"};
    const mls_compared row = mls_compared_refused();
    bool finish;

    mls_race_finishers(&finish, &row, &racer, 1, 0.25, MLS_SERVE_MLA);
    assert_false(finish);
}

static void more_windows_go_before_less_loss(void **state)
{
    (void)state;
    const mls_compared whole = {.N = 32, .kl = {2, 0}}, few = {.N = 8, .kl = {1, 0}};
    const mls_compared less = {.N = 8, .kl = {0.5, 0}};

    assert_true(mls_compared_ahead(&whole, &few));
    assert_false(mls_compared_ahead(&few, &whole));
    assert_true(mls_compared_ahead(&less, &few));
}

/* A row of some bytes with this KL in every window: no interval, only rounding. */
static mls_compared flat(double *kl, double bytes, double mean, bool quantized)
{
    for (size_t i = 0; i < WINDOWS; i++)
        kl[i] = mean;
    return (mls_compared){.bytes = bytes,
                          .measured = true,
                          .N = WINDOWS,
                          .seq_kl = kl,
                          .kl = mls_mean_of(kl, WINDOWS),
                          .quantized = quantized};
}

static void ties_are_within_the_interval_or_two_percent_of_what_rounds(void **state)
{
    (void)state;
    double kl[7][WINDOWS];
    const mls_compared a = row_of(kl[0], MLS_SERVE_MLA, 1, 0);
    const mls_compared noisy = row_of(kl[1], MLS_SERVE_MLA, 1.05, 2);
    const mls_compared clear = row_of(kl[2], MLS_SERVE_MLA, 1.05, 0);
    const mls_compared plain = flat(kl[3], 8, 1, false);
    const mls_compared near = flat(kl[4], 8, 1.015, false);
    const mls_compared rounded = flat(kl[5], 8, 1.015, true);
    const mls_compared more = flat(kl[6], 8, 1.03, true);
    mls_compared fewer = plain;

    assert_true(mls_compared_tied(&a, &noisy));
    assert_false(mls_compared_tied(&a, &clear));
    assert_false(mls_compared_tied(&plain, &near));
    assert_true(mls_compared_tied(&plain, &rounded));
    assert_true(mls_compared_tied(&rounded, &more));
    assert_false(mls_compared_tied(&plain, &more));
    fewer.N--; /* not the same windows */
    assert_false(mls_compared_tied(&fewer, &rounded));
}

static void a_tie_of_equal_bytes_leaves_the_front_to_both(void **state)
{
    (void)state;
    double kl[7][WINDOWS];
    mls_compared row[7] = {
        flat(kl[0], 2, 3, true),     flat(kl[1], 2, 3.03, true), /* a tie */
        flat(kl[2], 2, 3.2, true),   flat(kl[3], 1, 5, false),
        flat(kl[4], 3, 3.01, false), flat(kl[5], 3, 2.99, true),
        flat(kl[6], 3, 2, true)};
    const bool want[7] = {true, true, false, true, false, true, false};
    const mls_compared *of[7];
    bool front[7];

    for (size_t i = 0; i < 7; i++)
        of[i] = &row[i];
    row[6].kl.mean = NAN; /* not measured */
    mls_compared_front(front, of, 7);
    for (size_t i = 0; i < 7; i++)
        if (front[i] != want[i])
            fail_msg("%zu", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clear_loser_is_not_finished),
        cmocka_unit_test(shares_do_not_compete_and_what_is_in_no_race_is_finished),
        cmocka_unit_test(the_best_of_another_method_is_finished_where_two_are_shown),
        cmocka_unit_test(a_refused_setting_is_not_finished),
        cmocka_unit_test(more_windows_go_before_less_loss),
        cmocka_unit_test(ties_are_within_the_interval_or_two_percent_of_what_rounds),
        cmocka_unit_test(a_tie_of_equal_bytes_leaves_the_front_to_both),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
