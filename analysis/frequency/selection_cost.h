/* What a choice of chunks costs, measured on windows that did not choose it. */
#ifndef MLS_SELECTION_COST_H
#define MLS_SELECTION_COST_H

#include <stddef.h>

#include "analysis/frequency/greedy.h"
#include "analysis/frequency/selection.h"

/** Cost of one selection in one query head and window. */
typedef struct mls_cost {
    double score_error;  /* mean over causal pairs of |score - score without the dropped
                            rotations|, before softmax */
    double kl;           /* mean over queries of KL(p || p'), nat */
    double output_error; /* sum |o' - o|^2 / sum |o|^2 of the attention output p v,
                            before W_O */
} mls_cost;

/**
 * Costs of n selections of one layer, each for its KV heads (or query heads: its G says
 * which), on all windows, which need v as well. Dropped chunks are left unrotated in q
 * and k, nothing else changes.
 *
 * @param every      one block of MLS_SCORE_ROWS queries in so many, another one from
 *                   head to head; 1: all queries
 * @param[out] cost  (windows, H, n)
 */
mls_status mls_selection_cost(mls_cost *cost, const mls_chunk_windows *ws,
                              const mls_selection *selection, size_t n, size_t every,
                              mls_pool *pool, mls_err *err);

#endif
