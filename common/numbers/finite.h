/* NaN and infinity among many floats, found at the speed of memory. */
#ifndef MLS_FINITE_H
#define MLS_FINITE_H

#include <stdbool.h>
#include <stddef.h>

/** Index of the first of n numbers that is NaN or infinite; n when there is none. */
size_t mls_first_not_finite(const float *x, size_t n);

static inline bool mls_all_finite(const float *x, size_t n)
{
    return mls_first_not_finite(x, n) == n;
}

#endif
