/* How a family orders its layers, and what its recurrent ones keep. */
#ifndef MLS_FAMILY_RULES_H
#define MLS_FAMILY_RULES_H

#include <stdbool.h>
#include <stddef.h>

/** One letter of a pattern is one layer. */
typedef enum mls_layer_letter {
    MLS_FULL = 'f',
    MLS_SLIDING = 's',
    MLS_CHUNKED = 'c',
    MLS_LINEAR = 'l',         /* a recurrent state */
    MLS_CONV = 'v',           /* a short convolution */
    MLS_HYBRID = 'h',         /* attention and state side by side */
    MLS_HYBRID_SLIDING = 'k', /* the same with a window */
    MLS_INDEXED = 'i',        /* attention whose tokens an indexer chooses */
    MLS_COMPRESSED = 'C',     /* DeepSeek-V4: window, few tokens in a block, indexer */
    MLS_HEAVY = 'H',          /* DeepSeek-V4: window, many tokens in a block */
    MLS_EMPTY = '-',          /* an MLP alone */
} mls_layer_letter;

/** What a recurrent layer keeps of a sequence; state.c has the sizes. */
typedef enum mls_state_kind {
    MLS_STATE_NONE,
    MLS_STATE_DELTA,     /* gated delta rule (Qwen3-Next) */
    MLS_STATE_KDA,       /* Kimi delta attention */
    MLS_STATE_MAMBA,     /* selective state space, one channel at a time */
    MLS_STATE_MAMBA2,    /* the same in heads */
    MLS_STATE_LIGHTNING, /* linear attention without convolution (MiniMax) */
    MLS_STATE_RGLRU,     /* RecurrentGemma */
    MLS_STATE_RWKV,      /* RWKV-4 */
    MLS_STATE_CCA,       /* Zaya: a convolution over queries and keys */
    MLS_STATE_SCONV,     /* Inkling: four short convolutions a layer */
} mls_state_kind;

typedef struct mls_layer_rule {
    const char *model_type;
    /*
     * "PREFIX|PERIOD": the prefix once, then letter i % length of the period for layer
     * i; "<" before it counts from the last layer, "$" behind it makes the last layer
     * full. NULL: what keys say, else the window or chunk in every layer.
     */
    const char *pattern;
    const char *key; /* gives the period's length, or a pattern of its own; NULL */
    mls_state_kind state;
    bool all_indexed; /* its full layers have an indexer */
} mls_layer_rule;

/** Never NULL: a rule without a pattern where a family needs none. */
const mls_layer_rule *mls_layer_rule_find(const char *model_type);

/** Letter of layer i of L by a rule's pattern; period 0: as long as it is written. */
char mls_layer_rule_letter(const char *pattern, size_t period, size_t i, size_t L);

/**
 * The class of transformers whose shapes a model_type has that is not in it; the
 * model_type itself otherwise.
 */
const char *mls_family_like(const char *model_type);

#endif
