/* Which tensors a model of a config consists of: their names and shapes. */
#ifndef MLS_TENSORS_H
#define MLS_TENSORS_H

#include <stddef.h>

#include "datasets/checkpoint/config.h"

/** What a tensor is for. Those of a layer's attention come first, then its MLP's. */
typedef enum mls_tensor_role {
    MLS_TENSOR_ATTN_NORM,
    MLS_TENSOR_WQ,
    MLS_TENSOR_BQ,
    MLS_TENSOR_WK,
    MLS_TENSOR_BK,
    MLS_TENSOR_WV,
    MLS_TENSOR_BV,
    MLS_TENSOR_WO,
    MLS_TENSOR_BO,
    MLS_TENSOR_Q_NORM,
    MLS_TENSOR_K_NORM,
    MLS_TENSOR_MLP_NORM,
    MLS_TENSOR_GATE,
    MLS_TENSOR_GATE_BIAS,
    MLS_TENSOR_UP,
    MLS_TENSOR_UP_BIAS,
    MLS_TENSOR_DOWN,
    MLS_TENSOR_DOWN_BIAS,
    MLS_TENSOR_EMBED,
    MLS_TENSOR_NORM,
    MLS_TENSOR_HEAD,
} mls_tensor_role;

typedef struct mls_tensor_need {
    char name[96];     /* "model.layers.3.self_attn.q_proj.weight" */
    size_t rows, cols; /* cols = 0: a vector of `rows` */
    mls_tensor_role role;
} mls_tensor_need;

/** How many tensors a model of a runnable config has. */
size_t mls_tensor_needs(const mls_config *config);

/** The i-th of them, 0 <= i < mls_tensor_needs(config): embedding, layers, head. */
mls_tensor_need mls_tensor_need_at(const mls_config *config, size_t i);

/**
 * The same for one layer: how many tensors, and the i-th, in the order of the roles.
 */
size_t mls_tensor_layer_needs(const mls_config *config);
mls_tensor_need mls_tensor_layer_need_at(const mls_config *config, size_t l, size_t i);

/** The output matrix: the embedding's where the two are tied. */
mls_tensor_need mls_tensor_head(const mls_config *config);
/** The embedding (V, E) and the final norm (E). */
mls_tensor_need mls_tensor_embed(const mls_config *config);
mls_tensor_need mls_tensor_norm(const mls_config *config);

#endif
