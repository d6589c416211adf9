/*
 * The KV cache to the byte: one accounting for every method, from what a layer caches.
 */
#ifndef MLS_SIZE_H
#define MLS_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analysis/quant/quantizer.h"
#include "common/base/status.h"
#include "datasets/checkpoint/config.h"

typedef enum mls_part_kind {
    MLS_PART_KEY,        /* plain keys */
    MLS_PART_VALUE,      /* plain values */
    MLS_PART_LATENT,     /* compressed keys and values together, or values alone */
    MLS_PART_KEY_LATENT, /* compressed keys alone: quantized as keys are */
    MLS_PART_ROPE_KEY,   /* keys that carry the rotation */
    MLS_PART_KEY_SCALE,  /* 1/rms of a key, where QK-norm's gains are in the weights */
} mls_part_kind;

/** `count` vectors of `n` numbers per token, each quantized by itself. */
typedef struct mls_cache_part {
    mls_part_kind kind;
    size_t n, count;
    bool shared;     /* a copy serves more than one head */
    mls_quant quant; /* {0}: 16 bits */
} mls_cache_part;

enum { MLS_PARTS_MAX = 24 };

/** First tokens that a token budget never drops (attention sinks), nor the newest. */
enum { MLS_BUDGET_SINKS = 4 };

/** What one layer caches for a token. */
typedef struct mls_cache_layer {
    mls_cache_part part[MLS_PARTS_MAX];
    size_t n_parts;
    size_t window; /* sliding window or chunk in tokens, 0: all tokens */
    mls_layer_extra index, compressed;    /* beside the parts, never quantized */
    uint64_t conv_numbers, state_numbers; /* of a sequence, however long */
    bool shares_other;   /* another layer's cache is used: 0 bytes here */
    double token_budget; /* kept share of tokens, 1 when nothing is dropped */
    bool biased;         /* projections of a form that add a bias: not all code does */
    bool uneven_rope;    /* frequencies of a rope key that no config.json can say */
    bool foreign_norm;   /* latents are normed by numbers that are not cached */
    size_t parameters;   /* of the attention block, where a form was there to count */
} mls_cache_layer;

typedef struct mls_cache_layout {
    size_t L;
    mls_cache_layer layer[MLS_LAYERS_MAX];
} mls_cache_layout;

/**
 * Add `count` vectors of n numbers, beside equal ones where there are some; nothing
 * when n or count is 0.
 * @return MLS_OK or MLS_E_INPUT: more than MLS_PARTS_MAX kinds of vectors
 */
mls_status mls_cache_add(mls_cache_layer *layer, mls_part_kind kind, size_t n,
                         size_t count, bool shared, const mls_quant *quant,
                         mls_err *err);

/**
 * Numbers that the layer caches per token, index keys among them; 0 when it uses
 * another layer's cache.
 */
size_t mls_cache_elements(const mls_cache_layer *layer);

/** Layer l of the unconverted model. */
mls_cache_layer mls_size_layer(const mls_config *config, size_t l);

/** The unconverted model: keys and values of G heads, or the native MLA cache. */
void mls_size_baseline(mls_cache_layout *layout, const mls_config *config);

/** What is asked; every field at least 1. */
typedef struct mls_size_request {
    size_t tokens;          /* context length T */
    size_t batch;           /* sequences */
    size_t block;           /* tokens per page; 1: no rounding */
    size_t tensor_parallel; /* GPUs that share the heads */
    size_t dtype_bits;      /* of a number that is not quantized: 16, 32, 8 */
} mls_size_request;

/** One sequence of 16-bit numbers on one GPU, without pages: what tables compare by. */
mls_size_request mls_size_one(size_t tokens);

/**
 * Bytes; doubles that are whole numbers where the formats give whole bytes. Per token
 * figures are sums over layers, of one copy of the cache.
 */
typedef struct mls_size_result {
    double elements_per_token;      /* numbers cached per token, all layers */
    double payload_bytes_per_token; /* as papers count: codes only, all layers */
    double bytes_per_token; /* true, averaged over T tokens: metadata, windows */
    double sequence_bytes;  /* one sequence of T tokens, pages rounded up */
    double batch_bytes;     /* all sequences, summed over GPUs */
    double gpu_bytes;       /* on one GPU, with constant_bytes */
    double constant_bytes;  /* once per model: codebooks, ranges */
    /* bytes_per_token split, three times; window: tokens kept unquantized */
    double payload, metadata, window;
    double key, value, latent, rope_key; /* with their metadata and window */
    double other;                        /* keys of indexers, and tokens in blocks */
    double state;                        /* recurrent and convolution states */
    /*
     * The same sequence once more: what each token adds to it from here on, and what
     * does not grow (states, full windows, what a quantizer keeps in full precision).
     */
    double growing_bytes_per_token, fixed_bytes;
    double state_bytes;     /* of the fixed ones, those of convolutions and states */
    double recurrent_bytes; /* of these, of states alone: runtimes may keep 32 bits */
    double key_codes, value_codes, latent_codes, rope_key_codes; /* payload alone */
} mls_size_result;

/**
 * Tokens of a layer that are held: min(T, window), and of those the kept share, rounded
 * up. Each GPU holds ceil(count / GPUs) of a part's vectors: what all heads share is on
 * every GPU.
 */
void mls_size(mls_size_result *result, const mls_cache_layout *layout,
              const mls_size_request *request);

/** Some layer of the model keeps bytes that do not grow: a window, blocks, a state. */
bool mls_size_has_fixed(const mls_config *config);

/** The unconverted model's cache at mls_size_one(tokens). MLS_E_NOMEM. */
mls_status mls_size_own(mls_size_result *result, const mls_config *config,
                        size_t tokens, mls_err *err);

/**
 * Whether n GPUs can share the heads as serving programs do it (vLLM's
 * ModelConfig and LlamaAttention): each has the same number
 * of query heads, and either the KV heads are divided, too, or each is copied to as
 * many GPUs; latents of native MLA are copied to all.
 * @return MLS_OK, or MLS_E_INPUT naming the possible numbers
 */
mls_status mls_size_parallel(const mls_config *config, size_t n, mls_err *err);

/**
 * Largest T such that every context up to T fits: gpu_bytes + weight_bytes <= memory,
 * found by search over mls_size() itself, because windows and pages make it a
 * staircase.
 *
 * @param request       tokens is not read
 * @param weight_bytes  on one GPU
 * @return 0 when one token does not fit, MLS_SIZE_UNLIMITED when any context does
 */
size_t mls_size_max_tokens(const mls_cache_layout *layout,
                           const mls_size_request *request, double weight_bytes,
                           double memory_bytes);
/** The same for the batch at request->tokens; request->batch is not read. */
size_t mls_size_max_batch(const mls_cache_layout *layout,
                          const mls_size_request *request, double weight_bytes,
                          double memory_bytes);

/**
 * Parameters of the whole model as config.json gives them; false when they do not
 * follow from what mls_config holds (experts, other layouts: config->unsupported is not
 * empty).
 *
 * @param[out] read  those that a decode step reads: all but an input embedding of its
 *                   own
 */
bool mls_size_parameters(const mls_config *config, double *parameters, double *read);

#define MLS_SIZE_UNLIMITED ((size_t)1 << 40)

#endif
