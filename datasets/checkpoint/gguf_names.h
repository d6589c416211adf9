/* What llama.cpp calls models and tensors, in Hugging Face's words. */
#ifndef MLS_GGUF_NAMES_H
#define MLS_GGUF_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "datasets/checkpoint/tensors.h"

/** How the converter treats one architecture (llama.cpp, convert_hf_to_gguf.py). */
typedef struct mls_gguf_family {
    const char *name;         /* general.architecture */
    const char *model_type;   /* of config.json */
    const char *architecture; /* of config.json; NULL where nothing is computed */
    /** Rows of q and k have the two dims of a chunk side by side (2c, 2c + 1). */
    bool interleaved;
} mls_gguf_family;

/** NULL when the architecture is not in the table. */
const mls_gguf_family *mls_gguf_family_find(const char *architecture);

/** "blk.3.attn_q.weight": 3 and "attn_q.weight". */
bool mls_gguf_layer_of(const char *name, size_t *l, const char **rest);

/** What a tensor is for in the config's family; MLS_TENSOR_ROLES: not known. */
mls_tensor_role mls_gguf_tensor_role(const char *name, const mls_config *config,
                                     size_t *l);

/**
 * "blk.3.attn_q.weight" to the family's name of it: for a Llama
 * "model.layers.3.self_attn.q_proj.weight". false: not known, out is the name as it is.
 */
bool mls_gguf_tensor_name(const char *name, const mls_config *config, char out[96]);

#endif
