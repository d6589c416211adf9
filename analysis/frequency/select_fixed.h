/*
 * Selections that need no data: they follow from the number of chunks and the budget.
 */
#ifndef MLS_SELECT_FIXED_H
#define MLS_SELECT_FIXED_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

/*
 * Each fills order, a permutation of the chunks 0..C-1 whose first r are kept; the
 * others follow by id where the rule says nothing about them. 0 <= r <= C.
 */

/** c = 0, 1, 2, ...: the fastest. MHA2MLA `high`. */
void mls_order_high(uint16_t *order, size_t C);

/** c = C-1, C-2, ...: the slowest. MHA2MLA `low`. */
void mls_order_low(uint16_t *order, size_t C);

/**
 * floor(k C / r) + start, k = 0..r-1: the paper's formula (MHA2MLA, S_uniform). Its
 * code steps by floor(C / r), which is the same where r divides C; elsewhere the code
 * keeps more than r chunks and its shapes break.
 *
 * @return MLS_E_ARG when start pushes the last chunk over the end
 */
mls_status mls_order_uniform(uint16_t *order, size_t C, size_t r, size_t start,
                             mls_err *err);

/**
 * floor(k (C-1) / (r-1)), first and last chunk included; chunk 0 alone for r = 1
 * (EliteKV `Uniform`: linspace cast to int, here in exact arithmetic).
 */
void mls_order_uniform_elite(uint16_t *order, size_t C, size_t r);

/** The `high` fastest and the r - high slowest (MHA2MLA v1 no. 3). high <= r. */
void mls_order_high_low(uint16_t *order, size_t C, size_t r, size_t high);

#endif
