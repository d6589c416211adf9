/* Second moments of what a form caches and asks, beside the layer's own heads. */
#ifndef MLS_CACHED_MOMENTS_H
#define MLS_CACHED_MOMENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/latent/latent.h"
#include "analysis/latent/own_moments.h"

/** Directions of what a head's keys are read from: latent and rope key. */
typedef struct mls_cached_pair {
    int latent, rope; /* MLS_NONE: none */
    size_t m;
    double *values, *vectors; /* (m), (m, m) of the second moment */
} mls_cached_pair;

/** Of all latents, then all rope keys, of a form whose caches are linear in x. */
typedef struct mls_cached_moments {
    const mls_own_moments *own;
    const mls_latent_form *f;
    size_t n;
    size_t *first;       /* (latents + rope keys) the first number of each */
    double *second;      /* (n, n), without biases as all here */
    double *key, *value; /* (G D, n) E[k c^T], E[v c^T] */
    double *mean;        /* (n) */
    mls_cached_pair *pair;
    size_t n_pairs;
} mls_cached_moments;

/**
 * @param[out] c  release with mls_cached_moments_free(); {0} on error
 * @return MLS_OK, MLS_E_NOMEM or MLS_E_NUMERIC
 */
mls_status mls_cached_moments_new(mls_cached_moments *c, const mls_own_moments *own,
                                  const mls_latent_form *f, const mls_layer *layer,
                                  const mls_layer_stats *stats, mls_pool *pool,
                                  mls_err *err);
void mls_cached_moments_free(mls_cached_moments *c); /* {0} is accepted */

/**
 * Of [own rows of KV head g (D); a latent; a rope key], keys or values.
 * @param latent, rope  MLS_NONE: none
 * @param[out] S, mean  (m, m), (m) with m the sum of their sizes
 */
void mls_cached_beside(double *S, double *mean, const mls_cached_moments *c,
                       bool values, size_t g, int latent, int rope);

/**
 * Part of E|k|^2 of KV head g that linear functions of its latent and rope key give
 * back, directions below 1e-12 of the largest being noise.
 */
mls_status mls_cached_explains(double *out, const mls_cached_moments *c, size_t g,
                               int latent, int rope, mls_err *err);

/**
 * Of [own query h (D); the form's, row `first` of its map on], biases and all.
 * @param[out] S  (D + dims of the form's query)^2
 */
mls_status mls_query_moment(double *S, const mls_own_moments *own,
                            const mls_latent_form *f, const mls_layer *layer,
                            const mls_layer_stats *stats, size_t h, size_t first,
                            mls_err *err);

#endif
