/*
 * RoPElite, EliteKV's greedy search (2503.01586; RoPElite/analysis.py at e9a8616),
 * exact.
 *
 * Its objective is the mean over causal pairs of |A_E - A_full|, scores before softmax
 * with only the chunks of E rotated against all rotated. With the differences rho_c of
 * chunk_window.h this is the mean of |sum of rho_c over c not in E|, so that
 * keeping one more chunk costs a subtraction per pair where the definition takes a
 * whole product of T x T x D. EliteKV divides by T^2 (masked pairs count as zeros), we
 * divide by the number of causal pairs: the order is the same.
 */
#ifndef MLS_ROPELITE_L1_H
#define MLS_ROPELITE_L1_H

#include "analysis/frequency/greedy.h"

/** Scratch for windows of T tokens and C chunks, one set per worker. */
typedef struct mls_ropelite_l1 mls_ropelite_l1;

/**
 * @param ws        their shape counts, and ws->turns, which is borrowed
 * @param[out] out  release with mls_ropelite_l1_free(); NULL on error
 * @return MLS_OK or MLS_E_NOMEM
 */
mls_status mls_ropelite_l1_new(mls_ropelite_l1 **out, const mls_chunk_windows *ws,
                               size_t n_workers, mls_err *err);
void mls_ropelite_l1_free(mls_ropelite_l1 *l); /* NULL is accepted */

/**
 * For mls_greedy_search(). Losses are summed from float differences, relative error
 * below 2e-7 (test_greedy.c); candidates closer than 2e-6 to the best are summed again
 * in double, so that picks are those of double arithmetic.
 */
mls_greedy_objective mls_ropelite_l1_objective(mls_ropelite_l1 *l);

#endif
