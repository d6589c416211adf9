/* Attention scores of one query head, a few queries at a time, and how they change. */
#ifndef MLS_SCORE_ROWS_H
#define MLS_SCORE_ROWS_H

#include <stddef.h>

#include "analysis/frequency/chunk_window.h"
#include "common/base/status.h"

enum { MLS_SCORE_ROWS = 16 }; /* queries of a block */

/** One head of one window, fully rotated, and the differences rho_c of its chunks. */
typedef struct mls_score_rows {
    const mls_chunk_window *w;
    size_t C, ld;  /* ld: T rounded up to a cache line of floats */
    double *q, *k; /* (T, D) rotated, q scaled by 1/sqrt(D) */
    float *a;      /* (T, 4, C) factors of the queries */
    float *b;      /* (C, 4, ld) factors of the keys */
    double *score; /* (MLS_SCORE_ROWS, T) of the block */
    double *p;     /* (MLS_SCORE_ROWS, T) probabilities of the block, 0 where unseen */
    double lse[MLS_SCORE_ROWS]; /* log of the sum of exp of a row's scores */
    size_t first;               /* query of row 0 */
    size_t n;                   /* rows in the block */
} mls_score_rows;

/** Room for any head of windows like w. Release with mls_score_rows_free(). */
mls_status mls_score_rows_new(mls_score_rows *r, const mls_chunk_window *w,
                              mls_err *err);
void mls_score_rows_free(mls_score_rows *r); /* {0} is accepted */

/** Take head h of a window of the same shape; w and turns are borrowed. */
void mls_score_rows_set(mls_score_rows *r, const mls_chunk_window *w,
                        const double *turns, size_t h);

/**
 * Scores and probabilities of queries first .. first + MLS_SCORE_ROWS - 1 (or T - 1).
 */
void mls_score_rows_block(mls_score_rows *r, size_t first);

/** rho_c(i, j) for the keys j = first key .. i that query i sees. */
void mls_score_rows_difference(const mls_score_rows *r, size_t i, size_t c, float *rho);

/**
 * KL(p || p') in nat between the softmax p of n scores and p' of the scores plus x.
 *
 * @param score, p, lse  one row: scores, their softmax and logsumexp
 * @param[out] changed   (n) p', not normalized: divide by the returned sum
 * @param[out] sum       of changed
 */
double mls_score_rows_kl(const double *score, const double *p, double lse,
                         const float *x, size_t n, double *changed, double *sum);

/**
 * The same about four times faster, mostly in float: relative error below 1e-4
 * (test_softmax_score.c). p_float is p; changed (n) is scratch.
 */
double mls_score_rows_kl_fast(const double *score, const double *p,
                              const float *p_float, double lse, const float *x,
                              size_t n, double *changed);

#endif
