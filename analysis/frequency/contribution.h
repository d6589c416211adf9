/* Scores of single chunks from what they add to the scores of a window. */
#ifndef MLS_CONTRIBUTION_H
#define MLS_CONTRIBUTION_H

#include <stddef.h>
#include <stdint.h>

#include "analysis/frequency/chunk_window.h"
#include "common/base/status.h"

/*
 * p_c(i, j) = q'_c(i) . k'_c(j) / sqrt(D) is what chunk c, rotated, adds to a score.
 * All functions take one query head h, tables of mls_chunk_turns(), and give C values.
 */

/**
 * Mean of p_c over all causal pairs, exact, by prefix sums of the keys. EliteKV's
 * Contribution (analysis.py, after 2410.08703) samples the same without the scale, on
 * the acausal side: mls_contribution_sampled().
 */
mls_status mls_contribution(double *score, const mls_chunk_window *w,
                            const double *turns, size_t h, mls_err *err);

/**
 * As EliteKV draws it: n pairs (x, y), x uniform in 0..T-1, y uniform in x..T-1, query
 * x with key y (which attention never sees); mean of p_c. Theirs has no seed and n =
 * 100 T.
 */
mls_status mls_contribution_sampled(double *score, const mls_chunk_window *w,
                                    const double *turns, size_t h, size_t n,
                                    uint64_t seed, mls_err *err);

/**
 * Zero-ablation: mean of |p_c| over the causal pairs, how far scores move on average
 * when the chunk is taken out of q and k.
 */
mls_status mls_ablation(double *score, const mls_chunk_window *w, const double *turns,
                        size_t h, mls_err *err);

#endif
