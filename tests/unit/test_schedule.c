#include "tests/support/expect.h"

#include "common/system/progress_part.h"
#include "reports/report/schedule.h"

static double now;

static double fake_seconds(void)
{
    return now;
}

typedef struct {
    char what[200];
    double done, total;
    bool stop;
} heard;

static void hear(void *arg, const char *what, double done, double total)
{
    heard *h = arg;

    snprintf(h->what, sizeof h->what, "%s", what);
    h->done = done;
    h->total = total;
}

static bool asked(void *arg)
{
    return ((const heard *)arg)->stop;
}

/* Two parts of 10 and 30 units, 2 seconds a unit as measured before. */
static void start(mls_schedule *s, const mls_progress *outer)
{
    now = 100;
    mls_schedule_start(s, outer);
    s->seconds = fake_seconds;
    s->unit = 2;
    mls_schedule_add(s, "first", 10);
    mls_schedule_add(s, "second", 30);
}

static double fake_cpu(void)
{
    return 3 * now;
}

static void every_part_keeps_its_seconds(void **state)
{
    mls_schedule s;

    (void)state;
    start(&s, NULL);
    s.cpu = fake_cpu;
    mls_schedule_begin(&s, 0);
    now += 7;
    mls_schedule_begin(&s, 1);
    now += 2;
    mls_schedule_begin(&s, s.n);
    assert_close(s.part[0].wall, 7, 1e-9);
    assert_close(s.part[0].cpu, 21, 1e-9);
    assert_close(s.part[1].wall, 2, 1e-9);
    assert_close(s.part[1].cpu, 6, 1e-9);
    s.progress.step(s.progress.arg, "late", 1, 2); /* of no part: not told */
}

static void before_the_start_it_is_work_times_the_measured_pace(void **state)
{
    (void)state;
    mls_schedule s;

    start(&s, NULL);
    assert_close(mls_schedule_left(&s), 80, 1e-9);
}

static void at_the_measured_pace_all_time_is_known(void **state)
{
    (void)state;
    heard h = {0};
    const mls_progress outer = {.arg = &h, .step = hear};
    mls_schedule s;

    start(&s, &outer);
    mls_schedule_begin(&s, 0);
    now += 10;
    assert_ok(mls_progress_step(&s.progress, "layer 3", 1, 2, &err));
    assert_string_equal(h.what, "first (1 of 2): layer 3");
    assert_close(h.done, 10, 1e-9);
    assert_close(h.total, 80, 1e-9);
    now += 10;
    mls_schedule_begin(&s, 1);
    now += 30;
    assert_ok(mls_progress_step(&s.progress, "x", 1, 2, &err));
    assert_close(h.done, 50, 1e-9);
    assert_close(h.total, 80, 1e-9);
}

/* Twice as slow as thought: the rest of the estimate doubles but for the prior. */
static void a_slower_pace_is_learnt(void **state)
{
    (void)state;
    mls_schedule s;

    start(&s, NULL);
    mls_schedule_begin(&s, 0);
    now += 40;
    mls_schedule_begin(&s, 1);
    assert_close(mls_schedule_left(&s), 30 * (40 + 2 * 2) / 12.0, 1e-9);
}

static void what_was_finished_before_teaches_nothing(void **state)
{
    (void)state;
    mls_schedule s;

    start(&s, NULL);
    mls_schedule_begin(&s, 0);
    now += 0.1;
    mls_schedule_begin(&s, 1);
    assert_close(mls_schedule_left(&s), 60, 1e-9);
}

static void a_part_never_goes_back(void **state)
{
    (void)state;
    heard h = {0};
    const mls_progress outer = {.arg = &h, .step = hear};
    mls_schedule s;

    start(&s, &outer);
    mls_schedule_begin(&s, 0);
    assert_ok(mls_progress_step(&s.progress, "a", 9, 10, &err));
    const double total = h.total;

    assert_ok(mls_progress_step(&s.progress, "b", 1, 10, &err));
    assert_close(h.total, total, 1e-9);
}

static void a_part_of_progress_fills_its_share_and_stops(void **state)
{
    (void)state;
    heard h = {0};
    const mls_progress outer = {.arg = &h, .step = hear, .stopped = asked};
    mls_progress_part part;
    const mls_progress *p = mls_progress_part_of(&part, &outer, 0.25, 0.75);

    assert_ok(mls_progress_step(p, "x", 5, 10, &err));
    assert_close(h.done / h.total, 0.5, 1e-12);
    h.stop = true;
    assert_refused(mls_progress_step(p, "x", 10, 10, &err), MLS_E_STOPPED,
                   "stopped at");
    assert_close(h.done / h.total, 0.75, 1e-12);
    assert_null(mls_progress_part_of(&part, NULL, 0, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_part_keeps_its_seconds),
        cmocka_unit_test(before_the_start_it_is_work_times_the_measured_pace),
        cmocka_unit_test(at_the_measured_pace_all_time_is_known),
        cmocka_unit_test(a_slower_pace_is_learnt),
        cmocka_unit_test(what_was_finished_before_teaches_nothing),
        cmocka_unit_test(a_part_never_goes_back),
        cmocka_unit_test(a_part_of_progress_fills_its_share_and_stops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
