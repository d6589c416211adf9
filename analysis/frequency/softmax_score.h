/*
 * Softmax-aware scores: what a chunk's rotation is worth to the attention
 * probabilities.
 *
 * KL(p || p'), p the probabilities of the full rotation, p' those without the rotation
 * of some chunks, in nat, mean over queries. MHA2MLA-VLM names such a score (mkl)
 * without releasing it; this is ours. In contrast to a distance of scores it does not
 * weigh what softmax ignores.
 */
#ifndef MLS_SOFTMAX_SCORE_H
#define MLS_SOFTMAX_SCORE_H

#include "analysis/frequency/greedy.h"

/** Scratch for windows of one shape, one set per worker. */
typedef struct mls_softmax_score mls_softmax_score;

/**
 * @param ws        their shape counts, and ws->turns, which is borrowed
 * @param[out] out  release with mls_softmax_score_free(); NULL on error
 * @return MLS_OK or MLS_E_NOMEM
 */
mls_status mls_softmax_score_new(mls_softmax_score **out, const mls_chunk_windows *ws,
                                 size_t n_workers, mls_err *err);
void mls_softmax_score_free(mls_softmax_score *s); /* NULL is accepted */

/**
 * One chunk at a time, all others rotated: KL for each of head h.
 * @param[out] score  (C), sum over the T queries of the window
 */
void mls_softmax_score_single(mls_softmax_score *s, const mls_chunk_window *w, size_t h,
                              double *score, size_t worker);

/**
 * For mls_greedy_search(): keep the chunk that leaves the smallest KL. Losses are found
 * mostly in float (relative error below 1e-4); candidates closer than 5e-4 to the best
 * are settled in double.
 */
mls_greedy_objective mls_softmax_score_objective(mls_softmax_score *s);

#endif
