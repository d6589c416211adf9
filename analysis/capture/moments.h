/*
 * Sums of one layer's statistics over tokens. Every number is summed in double and in
 * an order that does not depend on the number of threads: sums of consecutive sequences
 * per job (mls_moments_add), joined in a fixed tree (mls_moments_join); the large E x E
 * sum in fixed tiles over fixed blocks of tokens (mls_moments_x).
 */
#ifndef MLS_MOMENTS_H
#define MLS_MOMENTS_H

#include <stddef.h>

#include "analysis/model/forward.h"
#include "analysis/model/stats.h"
#include "common/base/status.h"
#include "common/system/pool.h"
#include "common/system/spill.h"

/** Doubles of scratch that mls_moments_add() needs for sequences up to T tokens. */
size_t mls_moments_scratch(size_t T, size_t D);

/**
 * Add one sequence to the sums of a job: every array but x_second and the mean norms.
 * Only the upper triangles of symmetric sums are kept until mls_moments_finish().
 *
 * @param sum      from mls_layer_stats_new_small()
 * @param q_norms  (H, C) out: mean 2-norm of each chunk over this sequence
 * @param k_norms  (G, C) out
 */
void mls_moments_add(mls_layer_stats *sum, const mls_attention_view *view,
                     double *q_norms, double *k_norms, double *scratch);

/** sums[0] += all others, as a tree of neighbours that depends on n alone. */
void mls_moments_join(mls_layer_stats *sums, size_t n);

/**
 * Small sums into whole statistics (x_second untouched): divide by the tokens, mirror.
 */
void mls_moments_finish(mls_layer_stats *s, const mls_layer_stats *sum);

/**
 * Second moment of x = norm(h) over all n rows of h, exactly what the attention sees.
 *
 * @param h       (n, E) hidden states, in room or not
 * @param second  (E, E) out
 */
mls_status mls_moments_x(double *second, const mls_spill *room, const float *h,
                         size_t n, const mls_config *config, const mls_layer *layer,
                         mls_pool *pool, mls_err *err);

/**
 * Mean over all tokens from means per sequence: each (N, n), start (N + 1), mean (n).
 */
void mls_moments_mean_norm(double *mean, const double *each, const size_t *start,
                           size_t N, size_t n);

#endif
