/* Bytes as an engine allocates them on each GPU. */
#ifndef MLS_ENGINE_H
#define MLS_ENGINE_H

#include "analysis/serving/serving.h"
#include "analysis/serving/table.h"

/** How an engine runs. */
typedef struct mls_engine_use {
    size_t tokens, batch;    /* of each sequence; sequences */
    size_t tensor_parallel;  /* GPUs that share the heads */
    size_t context_parallel; /* GPUs among these that share the tokens of a latent */
    bool dp_attention; /* attention is not split: each GPU has sequences of its own */
} mls_engine_use;

/**
 * Bytes of one token of one layer on a GPU of `tensor_parallel`; NaN where the engine
 * has no code for what the layer caches.
 */
double mls_engine_token(const mls_engine *e, const mls_cache_layer *layer,
                        const mls_layer_shape *own, const mls_engine_use *use);

/** One token in all layers, on one GPU. NaN as above. */
double mls_engine_tokens(const mls_engine *e, const mls_cache_layout *layout,
                         const mls_config *config, const mls_engine_use *use);

/** The whole cache on the fullest GPU: pages rounded up, windows as the engine does. */
double mls_engine_cache(const mls_engine *e, const mls_cache_layout *layout,
                        const mls_config *config, const mls_engine_use *use);

/** What the engine lets weights and cache take of a GPU's memory. */
double mls_engine_usable(const mls_engine *e, double memory, double weights);

#endif
