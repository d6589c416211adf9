/*
 * RoRoPE and FreqFold (TransMLA, 2502.07864; partial_rope.py at cdd6f8e): a rotation
 * across KV heads that gathers the energy of the keys of one frequency in few
 * components, so that one small rope key serves all heads.
 *
 * C chunks fall into C / fold folds of neighbouring frequencies. For fold m, half p (0:
 * dims c, 1: dims c + C) of a token's keys is a vector x_p of G * fold numbers. The
 * rotation is made of the eigenvectors of E[x_0 x_0^T] + E[x_1 x_1^T], the same for
 * both halves, hence it commutes with RoPE where the frequencies of a fold are equal:
 * exactly for fold = 1.
 */
#ifndef MLS_ROROPE_H
#define MLS_ROROPE_H

#include <stddef.h>

#include "common/base/status.h"

/**
 * The numbers of a fold stand in slots: chunk m F + a collapse + e of head g has slot
 * (e G + g) (F / collapse) + a, with 0 <= e < collapse. Component z, the z-th largest,
 * turns with the frequency of the chunk of slot z.
 */
typedef struct mls_rorope {
    size_t G, D, C;  /* KV heads, head dim, chunks */
    size_t fold;     /* F, divides C */
    size_t collapse; /* divides F: original over shared rope dims, D / qk_mqa_dim */
    size_t keep;     /* components of each fold in the rope key */
    double *basis;   /* (C/F, G F, G F): row z is component z in slots, orthonormal */
    double *energy;  /* (C/F, G F): E[component^2], both halves, largest first */
} mls_rorope;

/**
 * @param[out] out    release with mls_rorope_free(); {0} on error
 * @param k_second    (G D, G D): E[k k^T] of all KV heads of a layer together, before
 *                    RoPE: mls_second_of_outputs() of W_k and its bias. Symmetric;
 *                    uncentred as TransMLA does
 * @param keep        components per fold; 0 means fold / collapse, TransMLA's choice: a
 *                    rope key of D / collapse dims. At most G * fold
 * @return MLS_OK, MLS_E_INPUT (fold does not divide C, collapse does not divide fold,
 *         keep too large), MLS_E_NOMEM or MLS_E_NUMERIC
 */
mls_status mls_rorope_new(mls_rorope *out, const double *k_second, size_t G, size_t D,
                          size_t fold, size_t collapse, size_t keep, mls_err *err);
void mls_rorope_free(mls_rorope *r); /* {0} is accepted */

/** Chunks of the shared rope key: (C / fold) * keep; its dims are twice that. */
size_t mls_rorope_chunks(const mls_rorope *r);

/** Share of the keys' energy E|k|^2 that the rope key holds, 0..1. */
double mls_rorope_captured(const mls_rorope *r);

/** The same share of the energy of other keys: k_second (G D, G D) of held-out text. */
mls_status mls_rorope_captured_of(const mls_rorope *r, const double *k_second,
                                  double *share, mls_err *err);

/**
 * Angle per token of each chunk of the rope key, chunk n = m keep + z.
 * @param inv_freq        (C), of the model
 * @param[out] rope_freq  (mls_rorope_chunks())
 */
void mls_rorope_frequencies(const mls_rorope *r, const double *inv_freq,
                            double *rope_freq);

/**
 * Keys in the rotated basis: y (G D, n) = U w for a key weight w (G D, n) (n = E) or
 * bias (n = 1). Rows of y: first the rope key, half-split ([half][m][z < keep], 2 R
 * rows, R = mls_rorope_chunks()), then the rest ([half][m][z >= keep], G D - 2 R rows),
 * which loses RoPE. U is orthogonal.
 */
void mls_rorope_keys(const mls_rorope *r, const double *w, size_t n, double *y);

/**
 * Queries that meet the rope key: y (2 R, n) = the first 2 R rows of U restricted to KV
 * head g, times w (D, n), the query weight of one head of group g. Rows as above.
 */
void mls_rorope_queries(const mls_rorope *r, size_t g, const double *w, size_t n,
                        double *y);

/**
 * Reads the rest back as keys of KV head g without their roped part: up (D, G D - 2 R)
 * is the transpose of U's remaining rows restricted to head g. The unroped part of a
 * score is q . (up rest).
 */
void mls_rorope_read_back(const mls_rorope *r, size_t g, double *up);

#endif
