/* Which tensors a model of a config consists of: their names and shapes. */
#ifndef MLS_TENSORS_H
#define MLS_TENSORS_H

#include <stddef.h>

#include "datasets/checkpoint/config.h"

/** What a tensor is for. Those of a layer's attention come first, then its MLP's. */
typedef enum mls_tensor_role {
    MLS_TENSOR_ATTN_NORM,
    MLS_TENSOR_ATTN_NORM_BIAS,
    /* projections: what a converted checkpoint replaces */
    MLS_TENSOR_WQ,
    MLS_TENSOR_BQ,
    MLS_TENSOR_WK,
    MLS_TENSOR_BK,
    MLS_TENSOR_WV,
    MLS_TENSOR_BV,
    MLS_TENSOR_QKV, /* all three, see mls_qkv */
    MLS_TENSOR_QKV_BIAS,
    MLS_TENSOR_WO,
    MLS_TENSOR_BO,
    MLS_TENSOR_Q_NORM,
    MLS_TENSOR_Q_NORM_BIAS,
    MLS_TENSOR_K_NORM,
    MLS_TENSOR_K_NORM_BIAS,
    MLS_TENSOR_SINKS,
    MLS_TENSOR_ATTN_GATE,
    MLS_TENSOR_ATTN_SUB_NORM,
    MLS_TENSOR_Q_A, /* latent attention */
    MLS_TENSOR_Q_A_NORM,
    MLS_TENSOR_Q_B,
    MLS_TENSOR_KV_A,
    MLS_TENSOR_KV_A_NORM,
    MLS_TENSOR_KV_B,
    /* end of the projections */
    MLS_TENSOR_ATTN_POST_NORM,
    MLS_TENSOR_REC_IN, /* a recurrent layer, see mls_recurrent */
    MLS_TENSOR_REC_IN_BIAS,
    MLS_TENSOR_REC_Z,
    MLS_TENSOR_REC_B,
    MLS_TENSOR_REC_A,
    MLS_TENSOR_REC_CONV,
    MLS_TENSOR_REC_CONV_BIAS,
    MLS_TENSOR_REC_DT_BIAS,
    MLS_TENSOR_REC_A_LOG,
    MLS_TENSOR_REC_D,
    MLS_TENSOR_REC_NORM,
    MLS_TENSOR_REC_OUT,
    MLS_TENSOR_REC_OUT_BIAS,
    MLS_TENSOR_MLP_NORM,
    MLS_TENSOR_MLP_NORM_BIAS,
    MLS_TENSOR_GATE,
    MLS_TENSOR_GATE_BIAS,
    MLS_TENSOR_UP,
    MLS_TENSOR_UP_BIAS,
    MLS_TENSOR_GATE_UP, /* both, gate first */
    MLS_TENSOR_MLP_SUB_NORM,
    MLS_TENSOR_DOWN,
    MLS_TENSOR_DOWN_BIAS,
    MLS_TENSOR_ALPHA_P, /* of xIELU */
    MLS_TENSOR_ALPHA_N,
    MLS_TENSOR_BETA,
    MLS_TENSOR_EPS,
    MLS_TENSOR_ROUTER, /* a mixture of experts */
    MLS_TENSOR_ROUTER_BIAS,
    MLS_TENSOR_CORRECTION,
    MLS_TENSOR_EXPERT_GATE,
    MLS_TENSOR_EXPERT_UP,
    MLS_TENSOR_EXPERT_GATE_UP, /* both, see mls_expert_layout */
    MLS_TENSOR_EXPERT_GATE_UP_BIAS,
    MLS_TENSOR_EXPERT_GATE_BIAS, /* where the two lie apart: GGUF's */
    MLS_TENSOR_EXPERT_UP_BIAS,
    MLS_TENSOR_EXPERT_DOWN,
    MLS_TENSOR_EXPERT_DOWN_BIAS,
    MLS_TENSOR_SHARED_GATE,
    MLS_TENSOR_SHARED_UP,
    MLS_TENSOR_SHARED_GATE_UP,
    MLS_TENSOR_SHARED_DOWN,
    MLS_TENSOR_SHARED_WEIGHT,
    MLS_TENSOR_MLP_POST_NORM,
    MLS_TENSOR_ROUTER_GAIN,  /* experts beside an MLP: gains of what chooses them, */
    MLS_TENSOR_EXPERT_GAIN,  /* of what each makes, */
    MLS_TENSOR_EXPERTS_NORM, /* and norms before, after, and after the MLP alone */
    MLS_TENSOR_EXPERTS_POST_NORM,
    MLS_TENSOR_BESIDE_POST_NORM,
    MLS_TENSOR_LAUREL_DOWN, /* a map of low rank beside the heads */
    MLS_TENSOR_LAUREL_UP,
    MLS_TENSOR_LAUREL_NORM,
    MLS_TENSOR_STREAM_ROUTER, /* AltUp */
    MLS_TENSOR_STREAM_NORM,
    MLS_TENSOR_STREAM_PREDICT,
    MLS_TENSOR_STREAM_CORRECT,
    MLS_TENSOR_STREAM_GAIN,
    MLS_TENSOR_STREAM_OUT, /* of the last layer: one for each stream but the first */
    MLS_TENSOR_INPUT_GATE, /* a token's numbers of its own for this layer */
    MLS_TENSOR_INPUT_OUT,
    MLS_TENSOR_INPUT_NORM,
    MLS_TENSOR_LAYER_SCALE,
    MLS_TENSOR_LAYER_ROLES, /* how many a layer has */

    MLS_TENSOR_EMBED = MLS_TENSOR_LAYER_ROLES,
    MLS_TENSOR_POSITIONS,
    MLS_TENSOR_EMBED_NORM,
    MLS_TENSOR_EMBED_NORM_BIAS,
    MLS_TENSOR_INPUTS, /* tokens' numbers of their own for all layers */
    MLS_TENSOR_INPUTS_MAP,
    MLS_TENSOR_INPUTS_NORM,
    MLS_TENSOR_STREAMS, /* one for each stream but the first */
    MLS_TENSOR_NORM,
    MLS_TENSOR_NORM_BIAS,
    MLS_TENSOR_HEAD,
    MLS_TENSOR_HEAD_BIAS,
    MLS_TENSOR_ROLES,
} mls_tensor_role;

/** A tensor whose name is not that of Llama's layout. */
typedef struct mls_tensor_name {
    const char *name; /* of a layer's: behind the prefix; NULL ends a list */
    mls_tensor_role role;
} mls_tensor_name;

typedef struct mls_tensor_need {
    char name[96];     /* "model.layers.3.self_attn.q_proj.weight" */
    size_t rows, cols; /* rows of all experts; cols = 0: a vector of `rows` */
    size_t plane;      /* of the role's tensors, which this one is: an expert */
    size_t planes;     /* how many the role has */
    mls_tensor_role role;
} mls_tensor_need;

/** q, k, v, o and what belongs to them: a converted checkpoint has others. */
bool mls_tensor_is_projection(mls_tensor_role role);

/** How many tensors a model of a runnable config has. */
size_t mls_tensor_needs(const mls_config *config);

/** The i-th of them, 0 <= i < mls_tensor_needs(config): embedding, layers, head. */
mls_tensor_need mls_tensor_need_at(const mls_config *config, size_t i);

/**
 * The same for one layer: how many tensors, and the i-th, in the order of the roles.
 */
size_t mls_tensor_layer_needs(const mls_config *config, size_t l);
mls_tensor_need mls_tensor_layer_need_at(const mls_config *config, size_t l, size_t i);

/** The name of a role's tensor, of layer l where it is one of a layer's. */
void mls_tensor_role_name(const mls_config *config, size_t l, mls_tensor_role role,
                          char out[96]);

/** Whether the model has a tensor of the role outside of its layers. */
bool mls_tensor_is_there(const mls_config *config, mls_tensor_role role);
/** It, by role: the output matrix is the embedding's where the two are tied. */
mls_tensor_need mls_tensor_of(const mls_config *config, mls_tensor_role role);
/** The plane-th of those of a role that has several. */
mls_tensor_need mls_tensor_plane(const mls_config *config, mls_tensor_role role,
                                 size_t plane);

/** The output matrix: the embedding's where the two are tied. */
mls_tensor_need mls_tensor_head(const mls_config *config);
/** The embedding (V, E) and the final norm (E). */
mls_tensor_need mls_tensor_embed(const mls_config *config);
mls_tensor_need mls_tensor_norm(const mls_config *config);

#endif
