/* Second moments of a layer's own queries, keys and values, for all its forms. */
#ifndef MLS_OWN_MOMENTS_H
#define MLS_OWN_MOMENTS_H

#include <stddef.h>

#include "analysis/model/model.h"
#include "analysis/model/stats.h"
#include "common/base/status.h"
#include "common/system/pool.h"

/**
 * Of W x without biases, W the rows of the query heads, KV heads' keys and values:
 * E[x x^T] meets them once for all predictions of a layer.
 */
typedef struct mls_own_moments {
    size_t H, G, D, E;
    double *met;                 /* ((H + 2G) D, E): W E[x x^T], in that order */
    double *query, *key, *value; /* (H, D, D), (G, D, D): of each head */
    double *mean;                /* ((H + 2G) D) of W x */
} mls_own_moments;

/**
 * @param[out] o  release with mls_own_moments_free(); {0} on error
 * @return MLS_OK or MLS_E_NOMEM
 */
mls_status mls_own_moments_new(mls_own_moments *o, const mls_config *c,
                               const mls_layer *layer, const mls_layer_stats *stats,
                               mls_pool *pool, mls_err *err);
void mls_own_moments_free(mls_own_moments *o); /* {0} is accepted */

/** out (n, E) = w (n, E) E[x x^T], rows shared out over the threads. */
mls_status mls_meet_inputs(double *out, const double *w, size_t n,
                           const mls_layer_stats *stats, mls_pool *pool, mls_err *err);

#endif
