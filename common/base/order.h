/* Sorting few things by a score. */
#ifndef MLS_ORDER_H
#define MLS_ORDER_H

#include <stddef.h>
#include <stdint.h>

/**
 * order (n) = 0..n-1 by score, largest first, equal scores by number, NaN last.
 * n^2 steps: for the chunks of a head.
 */
void mls_order_by_score(uint16_t *order, const double *score, size_t n);

#endif
