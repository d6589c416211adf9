/* Latent attention as DeepSeek's models have it. */
#ifndef MLS_MLA_H
#define MLS_MLA_H

#include <stddef.h>

#include "analysis/model/model.h"

/** Floats of scratch per token. */
size_t mls_mla_scratch(const mls_config *config, const mls_layer_shape *shape);

/**
 * out (T, E) of the normed input x (T, E).
 *
 * @param cs       table of the rope dims, (T, rope / 2, 2)
 * @param scratch  (T, mls_mla_scratch())
 */
void mls_mla_attention(const mls_config *config, const mls_layer *layer,
                       const float *cs, const float *x, size_t T, float *out,
                       float *scratch);

#endif
