/* The families whose computation is known: one row each. */
#ifndef MLS_NET_FAMILIES_H
#define MLS_NET_FAMILIES_H

#include "datasets/checkpoint/config.h"
#include "datasets/checkpoint/tensors.h"

/** What the model's class in Hugging Face transformers computes. */
typedef struct mls_net_family {
    const char *model_type;
    /** Keys of config.json that the class reads, beside those that all read. */
    const char *keys;
    const char *prefix;
    const mls_tensor_name *names;
    mls_net net; /* as far as no key says otherwise */
    /* Of the class, when the key is missing; 0: 10000, 1, 1e-6. */
    double theta, local_theta, partial, eps;
    double own_partial;   /* of full layers, where the file has no rope_parameters */
    mls_rope_config rope; /* type not default: where the file has no RoPE at all */
    bool qkv_bias, o_bias, mlp_bias;
    bool tied;       /* head and embedding, where the file does not say */
    size_t wider;    /* the MLP, times the hidden size, where the file does not say */
    bool still;      /* no layer turns */
    bool still_full; /* layers without a window do not turn, where others have one */
    bool local_rope; /* layers with a window turn as rope_local says */
    bool own_rope;   /* rope_parameters or the class's own: no rope_theta of the file */
    bool mixed;      /* heads of layers may differ in number and width */
} mls_net_family;

/** NULL when the family is not computed. */
const mls_net_family *mls_net_find(const char *model_type);

/** Whether the class reads a key of config.json. */
bool mls_net_reads(const mls_net_family *f, const char *key);

#endif
