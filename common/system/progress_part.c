/*
 * Work that consists of parts shows one bar: a part's steps from 0 to 1 become those of
 * its share of the whole, and parts of parts nest the same way.
 */
#include "common/system/progress_part.h"

#include <math.h>
#include <stddef.h>

static void step(void *arg, const char *what, double done, double total)
{
    const mls_progress_part *p = arg;
    const double share = total > 0 ? fmin(done / total, 1) : 0;

    if (p->outer->step)
        p->outer->step(p->outer->arg, what, p->from + (p->to - p->from) * share, 1);
}

static void note(void *arg, const char *text)
{
    const mls_progress_part *p = arg;

    if (p->outer->note)
        p->outer->note(p->outer->arg, text);
}

static bool stopped(void *arg)
{
    const mls_progress_part *p = arg;

    return p->outer->stopped && p->outer->stopped(p->outer->arg);
}

const mls_progress *mls_progress_part_of(mls_progress_part *part,
                                         const mls_progress *outer, double from,
                                         double to)
{
    if (!outer)
        return NULL;
    *part = (mls_progress_part){.outer = outer, .from = from, .to = to};
    part->own =
        (mls_progress){.arg = part, .step = step, .note = note, .stopped = stopped};
    return &part->own;
}
