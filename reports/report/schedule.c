/*
 * The estimate of what is left is the sum over parts of their work times the pace: the
 * seconds that a unit of work has taken until now, begun with the pace that was
 * measured before the start. The part that is at work is also judged by itself:
 *
 *     left = x (t (1 - x) / x) + (1 - x) (w (1 - x) pace) + pace sum of later parts' w
 *
 * with x the share of the part that is done, t its seconds, w its work. A part that an
 * earlier run had finished (seconds below a twentieth of the estimate) says nothing
 * about the pace.
 */
#include "reports/report/schedule.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

static const double skipped = 0.05, prior = 0.05;

static double seconds_of(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double clock_seconds(void)
{
    return seconds_of(CLOCK_MONOTONIC);
}

static double cpu_seconds(void)
{
    return seconds_of(CLOCK_PROCESS_CPUTIME_ID);
}

static void step(void *arg, const char *what, double done, double total)
{
    mls_schedule *s = arg;
    const double gone = s->seconds() - s->begun;
    char text[160];

    if (s->now >= s->n)
        return;
    if (total > 0)
        s->within = fmax(s->within, fmin(done / total, 1));
    snprintf(text, sizeof text, "%s (%zu of %zu): %s", s->part[s->now].name, s->now + 1,
             s->n, what);
    if (s->outer && s->outer->step)
        s->outer->step(s->outer->arg, text, gone, gone + mls_schedule_left(s));
}

static void note(void *arg, const char *text)
{
    const mls_schedule *s = arg;

    if (s->outer && s->outer->note)
        s->outer->note(s->outer->arg, text);
}

static bool stopped(void *arg)
{
    const mls_schedule *s = arg;

    return s->outer && s->outer->stopped && s->outer->stopped(s->outer->arg);
}

void mls_schedule_start(mls_schedule *s, const mls_progress *outer)
{
    *s = (mls_schedule){.outer = outer, .seconds = clock_seconds, .cpu = cpu_seconds};
    s->progress =
        (mls_progress){.arg = s, .step = step, .note = note, .stopped = stopped};
}

void mls_schedule_add(mls_schedule *s, const char *name, double work)
{
    if (s->n < MLS_SCHEDULE_MAX)
        s->part[s->n++] = (mls_scheduled){.name = name, .work = work};
    s->now = s->n;
}

void mls_schedule_begin(mls_schedule *s, size_t part)
{
    const double t = s->seconds(), cpu = s->cpu();

    if (s->now >= s->n) {
        s->begun = t;
    } else {
        const double took = t - s->part_begun, work = s->part[s->now].work;

        s->part[s->now].wall = took;
        s->part[s->now].cpu = cpu - s->part_cpu;
        if (took > skipped * work * s->unit) {
            s->spent += took;
            s->worked += work;
        }
    }
    s->now = part;
    s->part_begun = t;
    s->part_cpu = cpu;
    s->within = 0;
}

double mls_schedule_left(const mls_schedule *s)
{
    const bool begun = s->now < s->n;
    const double x = begun ? s->within : 0;
    const double t = begun ? s->seconds() - s->part_begun : 0;
    const double now = begun ? s->part[s->now].work : 0;
    double all = 0, later = 0;

    for (size_t i = 0; i < s->n; i++) {
        all += s->part[i].work;
        later += !begun || i > s->now ? s->part[i].work : 0;
    }
    /* The pace that was measured before counts like a twentieth of all work. */
    const double known = prior * all, done = s->worked + x * now + known;
    const double pace =
        done > 0 ? (s->spent + (x > 0 ? t : 0) + known * s->unit) / done : 0;

    return (1 - x) * t + (1 - x) * (1 - x) * now * pace + later * pace;
}
