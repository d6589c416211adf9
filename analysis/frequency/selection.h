/* Which chunks keep their rotation, per KV head of one layer. */
#ifndef MLS_SELECTION_H
#define MLS_SELECTION_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

/** Head g keeps the first count[g] chunks of order[g, :], a permutation of 0..C-1. */
typedef struct mls_selection {
    size_t G, C;
    size_t *count;   /* (G) */
    uint16_t *order; /* (G, C), most important first */
} mls_selection;

/**
 * order = identity, count = 0. Release with mls_selection_free().
 * @return MLS_OK, MLS_E_ARG (C > UINT16_MAX) or MLS_E_NOMEM
 */
mls_status mls_selection_new(mls_selection *s, size_t G, size_t C, mls_err *err);
/** A copy of its own. @param[out] to  release with mls_selection_free() */
mls_status mls_selection_copy(mls_selection *to, const mls_selection *from,
                              mls_err *err);
void mls_selection_free(mls_selection *s); /* {0} is accepted */

/** order[g, :] by score, largest first, ties by chunk id. score (G, C). */
void mls_selection_rank(mls_selection *s, const double *score);

/**
 * Kept and dropped chunks of head g, each ascending.
 * @param[out] kept     (count[g])
 * @param[out] dropped  (C - count[g])
 */
void mls_selection_split(const mls_selection *s, size_t g, uint16_t *kept,
                         uint16_t *dropped);

#endif
