/*
 * One rope key for all heads and one latent for the rest of the keys and the values:
 * what DeepSeek's MLA serves; X-EcoMLA, TransMLA and kq make such forms.
 */
#ifndef MLS_SHARED_KEY_H
#define MLS_SHARED_KEY_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/latent/latent.h"
#include "analysis/model/stats.h"
#include "analysis/spectrum/rorope.h"
#include "common/base/status.h"

/** Sizes of such a form. */
typedef struct mls_shared_sizes {
    size_t n_rope;        /* dims of the rope key; 0: a layer without one */
    size_t keys, latents; /* how many, each for as many heads; 0: one */
    size_t n_key;         /* dims of a key that are read from the latent */
    size_t rank;          /* numbers of a latent */
    size_t q_rank;        /* of the queries; 0: full */
    bool down_biased, read_biased, q_down_biased;
    bool uneven; /* of the rope key: mls_rope_key */
} mls_shared_sizes;

mls_status mls_shared_shape(mls_latent_form *f, const mls_config *config, size_t l,
                            const mls_shared_sizes *sizes, mls_err *err);

/** Keys of a layer rotated by RoRoPE (rorope.h), in double: y = W x + b. */
typedef struct mls_rotated {
    size_t n_rope, n_rest; /* rows of the rope key, rows that lose RoPE */
    mls_rorope turn;       /* {0} in a layer that does not rotate */
    double *w, *b;         /* (G D, E), (G D): the rope key's rows, then the rest */
} mls_rotated;

/**
 * @param stats     x_second and x_mean are used
 * @param collapse  and keep: as mls_rorope_new() takes them
 * @param[out] y    release with mls_rotated_free(), also on error
 */
mls_status mls_rotated_new(mls_rotated *y, const mls_config *config,
                           const mls_layer *layer, const mls_layer_stats *stats,
                           size_t fold, size_t collapse, size_t keep, mls_err *err);
void mls_rotated_free(mls_rotated *y); /* {0} is accepted */

/** Fill rope key 0. */
void mls_rotated_rope_key(mls_latent_form *f, const mls_rotated *y);

/** up (D, n_rest): key of head g without its roped part = up (rest of the keys). */
void mls_rotated_read_back(double *up, const mls_rotated *y, size_t g, size_t D);

/**
 * Fill rows [n_key of the head; those that meet the rope key] of every head.
 * @param w  (H D, columns of the query): W_q or the left factor of a low-rank query
 * @param b  (H D) or NULL
 */
mls_status mls_rotated_queries(mls_latent_form *f, const mls_rotated *y,
                               const double *w, const double *b, mls_err *err);

#endif
