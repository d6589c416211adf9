/* Progress of a part of some work, told as progress of the whole. */
#ifndef MLS_PROGRESS_PART_H
#define MLS_PROGRESS_PART_H

#include "common/system/progress.h"

/** A listener that the caller keeps while the part is at work. */
typedef struct mls_progress_part {
    const mls_progress *outer;
    double from, to;
    mls_progress own;
} mls_progress_part;

/**
 * What goes from 0 to its total for the part goes from `from` to `to`, shares of 1, for
 * the outer listener; remarks and stops pass unchanged.
 *
 * @param[out] part  filled
 * @return &part->own, or NULL when nobody listens
 */
const mls_progress *mls_progress_part_of(mls_progress_part *part,
                                         const mls_progress *outer, double from,
                                         double to);

#endif
