/*
 * One layer of a model: what its attention looks like and what it keeps.
 *
 * A layer is a thing of its own: models mix full and sliding attention, heads of
 * different shapes, recurrent layers, and layers that read another one's cache. Whoever
 * counts bytes or computes reads the layer, never the model's first one.
 */
#ifndef MLS_LAYER_H
#define MLS_LAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/shape.h"

typedef enum mls_layer_kind {
    MLS_LAYER_ATTENTION, /* keys and values of G heads */
    MLS_LAYER_MLA,       /* one latent and one rotating key for all heads */
    MLS_LAYER_RECURRENT, /* linear attention, state space, convolution: no keys */
    MLS_LAYER_NONE,      /* an MLP alone: nothing is kept */
} mls_layer_kind;

/** `n` numbers for every `ratio` tokens, beside keys and values. */
typedef struct mls_layer_extra {
    uint32_t n;       /* 0: nothing */
    uint32_t ratio;   /* tokens that one vector stands for, at least 1 */
    uint32_t pending; /* numbers for each token of a block that is not full yet */
    uint32_t kept;    /* numbers beside them once a block has been full */
} mls_layer_extra;

/** A plain value. What a kind has no use for is 0. */
typedef struct mls_layer_shape {
    mls_layer_kind kind;
    uint32_t H, G;      /* query heads, KV heads */
    uint32_t K, V;      /* dims of a key and of a value; MLA: as a head computes */
    uint32_t rope_dims; /* of K, how many turn; MLA keeps these apart from the latent */
    uint32_t latent;    /* MLA: kv_lora_rank */

    size_t window;   /* last tokens seen, the token itself included; 0: all */
    size_t sees;     /* no window, but only the last tokens are seen; 0: all are */
    size_t chunk;    /* tokens see from the start of their chunk on; 0: no chunks */
    bool no_rope;    /* nothing turns */
    bool local_rope; /* turns as config->rope_local says, not as config->rope */

    uint32_t F;     /* width of its MLP, where that is not the model's; else 0 */
    float sparsity; /* share of its MLP's gate that is cut to 0 (Gemma 3n) */

    /*
     * Numbers of a sequence that do not grow with it, for each copy: a convolution's
     * last inputs have the width of the model's numbers, a recurrent state that of the
     * runtime, mostly 32 bits.
     */
    uint64_t conv_numbers, state_numbers;
    mls_layer_extra index;      /* keys of a sparse indexer */
    mls_layer_extra compressed; /* tokens in blocks (DeepSeek-V4) */

    bool reads_other; /* has no cache: it reads that of layer `other`, an earlier one */
    uint16_t other;
    uint16_t copies; /* caches of its own: how often it runs, or blocks it has; 1 */
} mls_layer_shape;

/** Tokens that a layer keeps of T: min(T, window or chunk). */
size_t mls_layer_held(const mls_layer_shape *layer, size_t T);

/** Numbers of an extra cache after T tokens. */
double mls_layer_extra_numbers(const mls_layer_extra *extra, size_t T);

/** Numbers for one more token, while the window is not full, of all copies. */
double mls_layer_numbers(const mls_layer_shape *layer);

/** How many layers fulfil `is`. */
size_t mls_layers_count(const mls_layer_shape *layers, size_t L,
                        bool (*is)(const mls_layer_shape *layer));

bool mls_layer_slides(const mls_layer_shape *layer);       /* a window or chunks */
bool mls_layer_is_still(const mls_layer_shape *layer);     /* does not turn its keys */
bool mls_layer_is_attention(const mls_layer_shape *layer); /* keys of its own */
bool mls_layer_attends(const mls_layer_shape *layer);      /* neither state nor none */

#endif
