/* config.json of a Hugging Face folder: the shape of a model and how its RoPE turns. */
#ifndef MLS_CONFIG_H
#define MLS_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/shape.h"
#include "common/base/status.h"
#include "datasets/checkpoint/net.h"
#include "datasets/family/layer.h"

typedef enum mls_rope_type {
    MLS_ROPE_DEFAULT,      /* theta^(-2c/n), n dims turn */
    MLS_ROPE_LINEAR,       /* divided by factor */
    MLS_ROPE_LLAMA3,       /* low frequencies divided, a band between is blended */
    MLS_ROPE_DYNAMIC,      /* a larger base for sequences beyond max_position */
    MLS_ROPE_YARN,         /* low frequencies divided, a ramp over chunks between */
    MLS_ROPE_LONGROPE,     /* each chunk divided by its own factor */
    MLS_ROPE_PROPORTIONAL, /* the first chunks of the whole head turn */
    MLS_ROPE_OTHER, /* known to exist, sized but not computed: see `unsupported` */
} mls_rope_type;

typedef struct mls_rope_config {
    mls_rope_type type;
    double theta;   /* base; the class's own where the file gives none */
    size_t dims;    /* of a head that turn, the first ones; 0: all */
    double partial; /* proportional: share of the chunks that turn */
    double factor;
    double low_freq_factor, high_freq_factor; /* llama3 */
    double original_max_position;             /* llama3, yarn, longrope: tokens */
    double max_position;                      /* dynamic: tokens */
    double beta_fast, beta_slow; /* yarn: turns where the ramp begins, ends */
    bool whole_chunks;           /* yarn: it does so at whole chunks */
    double attention; /* what turns is multiplied by it, in q and in k; 0: 1 */
    size_t length;    /* tokens of a sequence; 0: not beyond the original length */
    float short_factor[MLS_DIM_MAX / 2]; /* longrope */
    float long_factor[MLS_DIM_MAX / 2];
} mls_rope_config;

/** A plain value: copy it freely. */
typedef struct mls_config {
    char model_type[64];   /* "llama" */
    char architecture[96]; /* "LlamaForCausalLM" */
    size_t L, E, H, G, D, F, V;
    size_t max_position; /* tokens, 0 unknown */
    double rms_eps;
    mls_rope_config rope;       /* of every layer that does not say otherwise */
    mls_rope_config rope_local; /* of layers with local_rope; like rope without one */
    bool nested;                /* the text model inside another model's file */
    bool tied_embeddings;
    bool qkv_bias, o_bias, mlp_bias;
    bool qk_norm;   /* RMSNorm over D on q and k, before RoPE (Qwen3) */
    bool qk_folded; /* never of a file: its gains are in the weights, 1/rms is left */
    mls_net net;    /* what is computed beside that */
    char dtype[16]; /* as the config says: "bfloat16"; "" unknown */
    int64_t bos_id, eos_id; /* -1: none */

    /*
     * The layers, 0 .. L-1. H, G and D above are those of a model whose layers are all
     * alike, and the largest ones of another.
     */
    mls_layer_shape layer[MLS_LAYERS_MAX];

    /* Native MLA models (DeepSeek-V2/V3): all 0 for others. */
    size_t mla_kv_lora_rank, mla_rope_dim, mla_nope_dim, mla_value_dim, mla_q_lora_rank;

    /*
     * Empty when forward.h computes this model exactly. Otherwise one sentence
     * that names the first key which changes the computation in a way we do not do.
     * `size` needs no forward pass and ignores it.
     */
    char unsupported[256];

    /*
     * Empty when the layers say what the model caches. Otherwise one sentence naming a
     * key or the model_type that is not understood: the cache is at most what they say.
     */
    char doubt[256];

    char sha256[65]; /* of the config file's bytes, hex */
} mls_config;

/**
 * Read the config.json at path (a file, or a folder that holds one). Both RoPE dialects
 * (rope_scaling, rope_parameters) and a nested text_config are understood.
 *
 * @return MLS_OK or MLS_E_INPUT (missing, not JSON, a key out of range, dialects that
 *         contradict each other, unknown rope type: the key is named)
 */
mls_status mls_config_read(mls_config *config, const char *path, mls_err *err);

/** The same from text in memory; name stands in the messages where a path would. */
mls_status mls_config_parse(mls_config *config, const char *text, size_t len,
                            const char *name, mls_err *err);

/**
 * Describe L layers of one shape by H, G, D and the ranks of MLA: full attention that
 * turns all of its dims.
 */
void mls_config_uniform(mls_config *config);

/** How the layer turns its keys. */
const mls_rope_config *mls_config_layer_rope(const mls_config *config, size_t layer);

/** Why a layer has no matrices for keys and values of the model's heads, or NULL. */
const char *mls_config_no_heads(const mls_config *config, size_t layer);

/** Whether a capture sees the layer: keys, values of its own, heads as the model's. */
bool mls_config_layer_is_seen(const mls_config *config, size_t layer);

/** Whether the layer's heads are in number and width those of the model. */
bool mls_config_layer_is_alike(const mls_config *config, size_t layer);

/** Width of the layer's MLP. */
size_t mls_config_mlp_width(const mls_config *config, size_t layer);

/** MLS_E_INPUT with the sentence in `unsupported`, if there is one. */
mls_status mls_config_runnable(const mls_config *config, mls_err *err);

#endif
