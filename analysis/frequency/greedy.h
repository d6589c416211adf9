/* Greedy search for the chunks of every head at once, whatever is to be kept small. */
#ifndef MLS_GREEDY_H
#define MLS_GREEDY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analysis/frequency/chunk_window.h"
#include "common/base/status.h"
#include "common/system/pool.h"
#include "common/system/progress.h"

/** Windows of one layer, all of the same T, H, G, D. Borrowed. */
typedef struct mls_chunk_windows {
    const mls_chunk_window *window; /* (n) */
    size_t n;
    const double *turns; /* mls_chunk_turns() of T tokens */
    /*
     * false: one selection per KV head, losses summed over the query heads of its group
     * (keys are shared, so only that can be built); true: one per query head,
     * EliteKV's.
     */
    bool per_query_head;
} mls_chunk_windows;

/** How many heads choose: G, or H with per_query_head. */
size_t mls_chunk_choosers(const mls_chunk_windows *ws);
/** Query heads first .. first+n-1 go by the choice of one of them. */
void mls_chunk_query_heads(const mls_chunk_windows *ws, size_t chooser, size_t *first,
                           size_t *n);

/** What is to be kept small: sums over the pairs of one window, one query head. */
typedef struct mls_greedy_objective {
    void *arg;
    /**
     * The first r chunks of order keep their rotation. loss (C - r + 1): entry k is the
     * loss when order[r + k] keeps it too, the last one when no other does. `worker`
     * selects scratch memory.
     */
    mls_status (*losses)(void *arg, const mls_chunk_window *w, size_t h,
                         const uint16_t *order, size_t r, double *loss, size_t worker,
                         mls_err *err);
    /**
     * The same in full precision for k = wanted[0..n_wanted-1] only, loss (n_wanted):
     * decides between near ties. May be NULL.
     */
    mls_status (*exact)(void *arg, const mls_chunk_window *w, size_t h,
                        const uint16_t *order, size_t r, const uint16_t *wanted,
                        size_t n_wanted, double *loss, size_t worker, mls_err *err);
    /** Losses closer than this share of the smallest are near ties. */
    double tolerance;
    bool per_query; /* losses are sums over queries, not over pairs */
} mls_greedy_objective;

/** n = mls_chunk_choosers(), W windows. */
typedef struct mls_greedy {
    size_t n, W, C;
    uint16_t *order; /* (n, C), most important first */
    double *loss;    /* (n, C + 1): with the first r chunks kept, mean over all pairs
                        (or queries), windows and query heads */
    double *trace;   /* (n, C, C, W): round r, chunk c, window: mean over its pairs
                        (or queries) and query heads if c is kept next; NaN for chunks
                        kept before */
} mls_greedy;

void mls_greedy_free(mls_greedy *g); /* {0} is accepted */

/**
 * Rounds 0..C-1, all heads in step; in each the chunk with the smallest loss is kept,
 * ties go to the smaller chunk. Jobs are (window, head); sums are in fixed order, so
 * the result does not depend on the number of threads.
 *
 * @param[out] out  release with mls_greedy_free(); {0} on error
 */
mls_status mls_greedy_search(mls_greedy *out, const mls_chunk_windows *ws,
                             const mls_greedy_objective *objective, mls_pool *pool,
                             const mls_progress *progress, mls_err *err);

#endif
