/*
 * One window of queries and keys, seen chunk by chunk.
 *
 * What a score loses when chunk c of a head is left unrotated is, for query i and key
 * j,
 *
 *   rho_c(i, j) = (q.k - q'.k') / sqrt(D)      q, k: the chunk's pairs, q', k': rotated
 *
 * With q' = q + dq and k' = k + dk this is -(dq.k + q'.dk) / sqrt(D): a product of a
 * 4-vector a_c(i) of the query and a 4-vector b_c(j) of the key (the factors). The form
 * in differences keeps the digits of slow chunks, where q.k and q'.k' nearly cancel.
 */
#ifndef MLS_CHUNK_WINDOW_H
#define MLS_CHUNK_WINDOW_H

#include <stddef.h>

#include "common/base/status.h"

/** Everything is borrowed. q and k hold the bias and QK-norm, before RoPE. */
typedef struct mls_chunk_window {
    size_t T, H, G, D;      /* D even; H a multiple of G */
    const float *q;         /* (T, H D), half-split pairs (c, c + D/2) */
    const float *k;         /* (T, G D) */
    const float *v;         /* (T, G D); only where attention outputs are asked for */
    const double *inv_freq; /* (D/2), radians per token */
    size_t visible; /* sliding window: keys i-visible+1 .. i; 0: all of 0 .. i */
} mls_chunk_window;

/** First key that query i sees. */
size_t mls_chunk_first_key(const mls_chunk_window *w, size_t i);
/** Causal pairs (i, j) of one head. */
double mls_chunk_pairs(const mls_chunk_window *w);

/** How chunks turn: (cos - 1, sin) of t * inv_freq[c]. @param[out] turns (T, D/2, 2) */
void mls_chunk_turns(double *turns, const double *inv_freq, size_t C, size_t T);

/**
 * Factors of all chunks of token t of query head h: a (4, C), so that with those of a
 * key rho_c(i, j) = sum over m of a[m, c] b[m, c]. turns as made by mls_chunk_turns().
 */
void mls_chunk_query_factors(double *a, const mls_chunk_window *w, const double *turns,
                             size_t h, size_t t);
/** The same of KV head g: b (4, C). */
void mls_chunk_key_factors(double *b, const mls_chunk_window *w, const double *turns,
                           size_t g, size_t t);

/**
 * rho[c] for all chunks of one pair of tokens from their factors. @param[out] rho (C)
 */
void mls_chunk_differences(double *rho, const double *a, const double *b, size_t C);

/** The rotated query of head h at token t: y (D), chunk c at dims (2 c, 2 c + 1). */
void mls_chunk_rotated_query(double *y, const mls_chunk_window *w, const double *turns,
                             size_t h, size_t t);
/** The rotated key of KV head g, in the same order. */
void mls_chunk_rotated_key(double *y, const mls_chunk_window *w, const double *turns,
                           size_t g, size_t t);

#endif
