/* Which of two measured settings loses less, and is that more than noise? */
#ifndef MLS_TIES_H
#define MLS_TIES_H

#include <stdbool.h>
#include <stddef.h>

#include "bench/evaluate/compare.h"

/**
 * Is the difference of two KLs, with its interval paired by window, too little to order
 * them? A difference within its half width is, or, where one of them is quantized,
 * within MLS_ROUNDING of the larger KL.
 */
bool mls_kl_tied(mls_mean difference, double a, double b, bool quantized);
#define MLS_ROUNDING 0.02

/** The same of two rows; false where they were not run on the same windows. */
bool mls_compared_tied(const mls_compared *a, const mls_compared *b);

/**
 * Mark what no other beats: front[i] is false when some j has fewer bytes and no larger
 * KL, or no more bytes and a smaller KL beyond a tie. NaN: never.
 */
void mls_compared_front(bool *front, const mls_compared *const *row, size_t n);

#endif
