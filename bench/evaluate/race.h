/* Which settings, measured on a few windows, are worth measuring on all of them? */
#ifndef MLS_RACE_H
#define MLS_RACE_H

#include <stdbool.h>
#include <stddef.h>

#include "bench/evaluate/compare.h"

/** What a setting stands for. Those of one share and one class of servers compete. */
typedef struct mls_racer {
    double share;       /* of the cache; NaN: in no race, always finished */
    const char *method; /* borrowed */
} mls_racer;

/**
 * A setting is finished unless it is clearly behind the best of its share and class:
 * its KL is more than a tenth above, and the mean of the difference, paired by window,
 * more than 1.5 half widths of its 95 % interval (with 4 windows: 4.8 standard errors,
 * one in 115 of those that are as good as the best, if they look a tenth worse).
 * At the share `two_at` the best of another method of the class `two_of` is looked for
 * in the same way.
 *
 * @param row          (n) rows on the same windows; refused ones are not finished
 * @param[out] finish  (n)
 */
void mls_race_finishers(bool *finish, const mls_compared *row, const mls_racer *racer,
                        size_t n, double two_at, mls_serve two_of);

/** Is a ahead of b? What was measured on more windows is, then what has less KL. */
bool mls_compared_ahead(const mls_compared *a, const mls_compared *b);

#endif
