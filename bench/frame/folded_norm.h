/* A layer with QK-norm for methods that read keys piece by piece. */
#ifndef MLS_FOLDED_NORM_H
#define MLS_FOLDED_NORM_H

#include "analysis/latent/predict.h"
#include "analysis/model/model.h"
#include "bench/frame/method.h"
#include "common/base/status.h"

/**
 * The config of the same model whose norms' gains are in the weights. Its forms cache
 * 1/rms of every KV head's key beside what the method caches.
 */
mls_config mls_folded_config(const mls_config *config);

/** A layer of that config. */
typedef struct mls_folded_layer {
    mls_layer layer; /* borrows all but the weights of queries and keys */
    float *numbers;
} mls_folded_layer;

/** @param[out] out  release with mls_folded_layer_free(), before layer; {0} on error */
mls_status mls_folded_layer_new(mls_folded_layer *out, const mls_config *config,
                                const mls_layer *layer, mls_err *err);
void mls_folded_layer_free(mls_folded_layer *f); /* {0} is accepted */

/**
 * mls_predict() of a form of either kind; errors of keys are those before their factor.
 */
mls_status mls_predict_form(const mls_latent_form *f, const mls_config *config,
                            const mls_layer *layer, const mls_layer_stats *stats,
                            mls_own_moments *own, size_t T, mls_pool *pool,
                            mls_predicted *out, mls_err *err);

/** Does a method's shape read parts of keys, which a norm of whole ones forbids? */
bool mls_reads_parts(const mls_latent_form *shape);

#endif
