/*
 * RoPElite with a squared distance: everything follows from one C x C matrix per head.
 *
 * With the chunks of E rotated and all others not, scores change by the sum of rho_c
 * over c not in E (chunk_window.h), so the sum of squares over all causal
 * pairs is
 *
 *   D(E) = sum over c, c' not in E of M[c, c'],   M[c, c'] = sum_(i, j) rho_c rho_c'
 *
 * and rho_c(i, j) = a_c(i) . b_c(j) makes M linear in the number of tokens:
 *
 *   M[c, c'] = sum_i sum_(m, n) a_c(i)_m a_c'(i)_n P_i[(c, m), (c', n)],
 *   P_i = sum over j <= i of b(j) b(j)^T
 *
 * Ours; EliteKV (2503.01586) uses absolute values and one model pass per kept chunk.
 */
#ifndef MLS_ROPELITE_L2_H
#define MLS_ROPELITE_L2_H

#include <stddef.h>
#include <stdint.h>

#include "analysis/frequency/chunk_window.h"
#include "common/base/status.h"

/**
 * M of query head h of one window, in double. Layers with a sliding window shorter than
 * T take the quadratic form (T * visible * C^2).
 *
 * @param turns      of mls_chunk_turns()
 * @param[out] gram  (C, C), symmetric; unit of a score, squared, summed over the pairs
 */
mls_status mls_ropelite_gram(double *gram, const mls_chunk_window *w,
                             const double *turns, size_t h, mls_err *err);

/**
 * Greedy order: in each round the chunk whose rotation leaves the smallest D(E).
 * Ties go to the smaller chunk.
 *
 * @param[out] order  (C)
 * @param[out] loss   (C + 1): D of the first r chunks, r = 0..C; may be NULL
 */
void mls_ropelite_l2_order(uint16_t *order, double *loss, const double *gram, size_t C);

/** D of the first r chunks of any order. @param[out] loss (C + 1) */
void mls_ropelite_l2_loss(double *loss, const double *gram, const uint16_t *order,
                          size_t C);

#endif
