/*
 * Sums of one layer's statistics over tokens. Every number is summed in double, of
 * sums of at most 256 products in float (moments.c says how exact that is), and in an
 * order that does not depend on the number of threads: sums of consecutive sequences
 * per job (mls_moments_add), the large E x E sum in fixed tiles over blocks of tokens
 * of one job (mls_moments_x_add), both joined over jobs in the fixed tree of
 * mls_moments_join().
 */
#ifndef MLS_MOMENTS_H
#define MLS_MOMENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/model/forward.h"
#include "analysis/model/stats.h"
#include "common/base/status.h"
#include "common/system/pool.h"
#include "common/system/spill.h"

/** Floats of scratch that mls_moments_add() needs. */
size_t mls_moments_scratch(size_t D);

/**
 * Add one sequence to the sums of a job: every array but x_second and the mean norms.
 * Only the upper triangles of symmetric sums are kept until mls_moments_finish().
 *
 * @param sum      from mls_layer_stats_new_small()
 * @param q_norms  (H, C) out: mean 2-norm of each chunk over this sequence
 * @param k_norms  (G, C) out
 */
void mls_moments_add(mls_layer_stats *sum, const mls_attention_view *view,
                     double *q_norms, double *k_norms, float *scratch);

/**
 * Sums of jobs into sums of more jobs, as far as jobs from .. to - 1 of n allow: the
 * tree of neighbours (jobs i .. i + s - 1 and the s after them, s = 1, 2, 4 ..., i a
 * multiple of 2 s) depends on n alone, so that what some jobs joined here and others
 * elsewhere gives the same last digit as all of them at once.
 *
 * @param v        (n): v[i] is the sum (n_values) of jobs from i to the next that is
 *                 not NULL; what is added to another becomes NULL
 * @param release  free() what was added
 */
void mls_moments_join(double **v, size_t n_values, size_t from, size_t to, size_t n,
                      bool release);
/** One past the last job of the largest sum of that tree in jobs at .. to - 1. */
size_t mls_moments_node_end(size_t at, size_t to, size_t n);

/**
 * Small sums (sum, as many as mls_layer_stats_new_small() has) into whole statistics:
 * divide by the tokens, mirror; x_second untouched.
 */
void mls_moments_finish(mls_layer_stats *s, const double *sum, size_t n_sum,
                        double n_tokens);
/** The same of x_second, in place. */
void mls_moments_finish_x(double *second, size_t E, double n_tokens);

enum { MLS_MOMENTS_STEPS = 32 }; /* of the tree, one for each doubling of jobs */

/**
 * What mls_moments_join() would add the sum of a job to once all before it are joined,
 * jobs from .. of n: the last of node is where the result stays, those before it are
 * done with. 0: nothing, it waits for its neighbour.
 */
size_t mls_moments_left(size_t node[MLS_MOMENTS_STEPS], size_t job, size_t from,
                        size_t n);

/** Where the sum of a job of x x^T goes, each (E, E), upper triangle alone. */
typedef struct mls_moments_sum {
    size_t E;
    double *to; /* without sums to its left: here */
    double *left[MLS_MOMENTS_STEPS];
    size_t n_left; /* by mls_moments_left(); the last takes the result */
} mls_moments_sum;

/** Sum of x x^T, x = norm(h), over the n rows of a job, joined to those at its left. */
mls_status mls_moments_x_add(const mls_moments_sum *sum, const mls_spill *room,
                             const float *h, size_t n, const mls_config *config,
                             const mls_layer *layer, mls_pool *pool, mls_err *err);
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
