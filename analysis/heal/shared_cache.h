/* Keys and values of a layer in all windows, for later layers that share its cache. */
#ifndef MLS_SHARED_CACHE_H
#define MLS_SHARED_CACHE_H

#include <stddef.h>

#include "analysis/latent/latent.h"
#include "common/base/status.h"
#include "common/system/pool.h"

/** As mls_heal_pass_keys() and _values() lay them out, window after window. */
typedef struct mls_shared_cache {
    float *keys, *values;
} mls_shared_cache;

/**
 * @param x         (n, T, E) normed input
 * @param[out] out  release with mls_shared_cache_free(); {0} on error
 */
mls_status mls_shared_cache_make(mls_shared_cache *out, const mls_latent_form *f,
                                 const float *x, size_t n, size_t T, mls_pool *pool,
                                 mls_err *err);
void mls_shared_cache_free(mls_shared_cache *c); /* {0} is accepted */

#endif
