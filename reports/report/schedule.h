/* How far a whole report is and how long it still takes, over all its parts. */
#ifndef MLS_SCHEDULE_H
#define MLS_SCHEDULE_H

#include <stddef.h>

#include "common/system/progress.h"

enum { MLS_SCHEDULE_MAX = 16 };

/** A part of the whole: its work in any unit that all parts share. */
typedef struct mls_scheduled {
    const char *name;
    double work;
    double wall, cpu; /* seconds that it took, once it is finished */
} mls_scheduled;

/**
 * One listener for all parts. Each part's steps, from 0 to their total, are told to the
 * outer listener as seconds gone of the seconds that all of it takes, with the part's
 * name in front: "quality (7 of 10): layer 3 of 6".
 */
typedef struct mls_schedule {
    const mls_progress *outer; /* borrowed; may be NULL */
    mls_scheduled part[MLS_SCHEDULE_MAX];
    size_t n, now;           /* parts; n: none has begun */
    double unit;             /* seconds of a unit of work, as far as is known */
    double (*seconds)(void); /* the clock */
    double (*cpu)(void);     /* that of all threads together */
    double begun, part_begun, part_cpu, within;
    double spent, worked; /* seconds and work of finished parts */
    mls_progress progress;
} mls_schedule;

/** @param[out] s  without parts; stays where it is, because s->progress points to it */
void mls_schedule_start(mls_schedule *s, const mls_progress *outer);
void mls_schedule_add(mls_schedule *s, const char *name, double work);
/**
 * From here on steps are those of this part; the one before is finished. s->n: all are.
 */
void mls_schedule_begin(mls_schedule *s, size_t part);
/** Seconds that are left, by what the work so far took. */
double mls_schedule_left(const mls_schedule *s);

#endif
