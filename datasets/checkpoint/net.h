/*
 * What a model computes beside its attention's shape: norms and where they stand, the
 * MLP or its experts, how q and k are turned and scaled. A family is one row of
 * net_dense.c or a neighbour; its keys of config.json fill in the rest.
 */
#ifndef MLS_NET_H
#define MLS_NET_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/shape.h"

typedef enum mls_norm_kind {
    MLS_NORM_RMS,   /* x / rms(x) * w */
    MLS_NORM_LAYER, /* (x - mean) / std * w + b */
} mls_norm_kind;

/** Where a block's norms stand. */
typedef enum mls_norm_place {
    MLS_NORM_BEFORE, /* h + f(norm(h)) */
    MLS_NORM_AFTER,  /* h + norm(f(h)) */
    MLS_NORM_AROUND, /* h + norm(f(norm(h))) */
} mls_norm_place;

/** Norms of queries and keys. */
typedef enum mls_qk_norm {
    MLS_QK_NONE,
    MLS_QK_HEAD,        /* RMS over a head, one gain for all of them */
    MLS_QK_HEAD_TURNED, /* the same after RoPE */
    MLS_QK_WIDTH,       /* RMS over all heads together */
    MLS_QK_LAYER,       /* LayerNorm over a head, one gain and bias for all */
    MLS_QK_LAYER_EACH,  /* LayerNorm over a head, a gain of its own for each */
} mls_qk_norm;

typedef enum mls_act {
    MLS_ACT_SILU,
    MLS_ACT_GELU,      /* z Phi(z) */
    MLS_ACT_GELU_TANH, /* its approximation by tanh */
    MLS_ACT_RELU,
    MLS_ACT_RELU2, /* max(z, 0)^2 */
    MLS_ACT_OAI,   /* gpt-oss: silu of 1.702 z with limits, up + 1 */
    MLS_ACT_XIELU, /* Apertus: two learned numbers a layer */
} mls_act;

/** How q, k and v lie in one matrix. */
typedef enum mls_qkv {
    MLS_QKV_APART,
    MLS_QKV_STACKED,  /* all of q, then k, then v */
    MLS_QKV_BY_HEAD,  /* q, k, v of head 0, then of head 1 ... (GPT-NeoX) */
    MLS_QKV_BY_GROUP, /* the queries of KV head 0, its k, its v ... (Falcon) */
    MLS_QKV_QUARTERS, /* q, v, k of a quarter of the heads, then of the next */
} mls_qkv;

typedef enum mls_routing {
    MLS_ROUTE_SOFTMAX, /* of all experts, then the best */
    MLS_ROUTE_SIGMOID, /* of each expert; a correction may only choose */
    MLS_ROUTE_INPUT,   /* Llama 4: sigmoid of the best, scales the expert's input */
    MLS_ROUTE_MIXER,   /* Phi-3.5-MoE: softmax among those near the best, twice */
} mls_routing;

/** How the experts' matrices lie in the file. */
typedef enum mls_expert_layout {
    MLS_EXPERTS_APART,      /* each in tensors of its own */
    MLS_EXPERTS_STACKED,    /* (n, 2 F, E) gate then up, (n, E, F) */
    MLS_EXPERTS_TRANSPOSED, /* (n, E, 2 F) gate then up, (n, F, E) */
    MLS_EXPERTS_ZIPPED,     /* (n, E, 2 F) gate and up in turn, (n, F, E) */
    MLS_EXPERTS_SPLIT,      /* (n, F, E) twice, (n, E, F): GGUF's */
    MLS_EXPERTS_ROWS,       /* (n, F, E) three times: DBRX's */
} mls_expert_layout;

/** A mixture of experts. */
typedef struct mls_experts {
    size_t n, top_k;   /* n = 0: none */
    size_t F;          /* width of an expert */
    size_t shared_F;   /* of the one that sees every token; 0: none */
    bool shared_apart; /* its matrices, too, though the experts' are stacked */
    bool shared_whole; /* it is as wide as an MLP */
    mls_routing routing;
    bool normalize;   /* weights of the chosen sum to 1 */
    bool by_logit;    /* sigmoid: logits are corrected and chosen by */
    bool shared_mean; /* the mean of the shared one and of the others together */
    double scale;     /* of the chosen ones' weights */
    bool correction;  /* a bias that chooses, but does not weigh */
    double near;      /* MLS_ROUTE_MIXER: near is 2 `near` of the larger score */
    bool bias;        /* router and experts have biases (gpt-oss) */
    bool shared_gate; /* the shared one is weighed by a sigmoid */
    bool beside;      /* an MLP as well; both read the state, each with its norms */
    mls_expert_layout layout;
    const char *stacks; /* what MLX calls them, before "gate_proj.weight"; or NULL */
    size_t first_dense; /* layers before have an MLP */
    size_t groups, top_groups; /* only experts of the best groups; 0: no groups */
    bool best_two;             /* a group's score: its two best; else its best */
} mls_experts;

/** Layers without keys and values. */
typedef enum mls_recurrence {
    MLS_REC_NONE,
    MLS_REC_DELTA,  /* gated delta rule (Qwen3-Next) */
    MLS_REC_CONV,   /* a short convolution (LFM2) */
    MLS_REC_MAMBA2, /* state space of one decay per head */
} mls_recurrence;

typedef struct mls_recurrent {
    mls_recurrence kind;
    size_t groups, heads; /* key heads, or groups of B and C; value heads */
    size_t K, V;          /* dims of a key, or the state's; dims of a value */
    size_t taps;          /* of the convolution */
    bool by_group; /* q, k, v, z of key head 0 lie together, then those of 1 ... */
    bool free, norm_first; /* Mamba-2: no norm; it stands before the gate */
    bool bias, conv_bias;  /* of the projections, of the convolution */
    double dt_min, dt_max; /* limits of Mamba-2's step; 0: none */
} mls_recurrent;

/** Of what goes into a part, and of what comes out of it (Falcon-H1). */
typedef struct mls_multipliers {
    double in, key, out;            /* attention */
    double ssm_in, ssm[5], ssm_out; /* z, x, B, C, dt of a state space */
    double gate, down;              /* the MLP */
} mls_multipliers;

enum { MLS_STREAMS_MAX = 8 };

/** What a token carries from layer to layer beside its state (Gemma 3n and 4). */
typedef struct mls_carry {
    size_t inputs;          /* numbers of a token that each layer mixes in; 0: none */
    size_t inputs_vocab;    /* rows of their table */
    size_t streams, active; /* AltUp: states, and the one that a layer sees; 0: one */
    bool stream_scaled;     /* a gain for what the inputs are weighed by */
} mls_carry;

typedef struct mls_net {
    const char *prefix; /* of a layer's tensors; NULL: "model.layers.%zu." */
    const struct mls_tensor_name *names; /* those that are not Llama's */

    mls_norm_kind norm;
    mls_norm_place place;
    bool norm_bias;   /* LayerNorm has one */
    bool norm_free;   /* no weights at all */
    bool norm_sparse; /* what experts make is normed once more (A.X K1) */
    bool unit_offset; /* the gain is 1 + w */
    bool parallel;    /* h + attention + mlp, both of the same h */
    bool one_norm;    /* parallel: of the same normed h, too */

    mls_qk_norm qk;
    bool still;         /* no layer turns */
    bool backward;      /* RoPE turns the other way */
    bool qk_free;       /* the norms of q and k have no gain */
    bool interleaved;   /* RoPE turns dims 2c, 2c + 1, not c, c + D/2 */
    double score_scale; /* of q k; 0: 1 / sqrt(K) */
    double score_cap;   /* cap tanh(score / cap); 0: none */
    double latent_eps;  /* of the norms inside of latent attention */
    double clip;        /* q, k, v are held in -clip .. clip; 0: not */
    double query_beta;  /* q times 1 + beta log(1 + floor(t / period)), t its place */
    double query_period;
    bool query_still;   /* only where nothing turns, and places begin with 1 */
    bool sub_norms;     /* what the heads read, and the MLP's inside, are normed */
    bool beside;        /* a state space beside the heads, both of the same normed x */
    bool sinks;         /* a learned score per head beside those of the keys */
    bool sinks_local;   /* only where a window is */
    double value_scale; /* 0: 1 */
    bool alibi;         /* a slope per head times the distance */
    bool out_gate;      /* what the heads read is weighed by a sigmoid of x */
    bool gate_heads;    /* one number a head */
    bool gate_soft;     /* a softplus, not a sigmoid */
    bool q_gate;        /* its matrix lies in q_proj: q, gate of head 0 ... */
    bool v_norm;        /* values are normed, without a gain */
    bool k_is_v;      /* where all tokens are seen, values are keys before their norm */
    size_t laurel;    /* rank of a map beside the heads; 0: none */
    bool layer_scale; /* a layer's last step is a factor for the state */
    mls_carry carry;
    size_t index_top_k; /* of more tokens a sparse indexer chooses as many; 0: no */

    double embed_scale;    /* 0: 1 */
    bool embed_norm;       /* a norm of the embeddings (BLOOM) */
    bool positions;        /* learned ones are added to the embeddings */
    bool waves;            /* sines and cosines of the place are added to them */
    size_t first_position; /* row, or place, of the first token */
    double residual_scale; /* of what a block adds; 0: 1 */
    double logit_scale;    /* 0: 1 */
    double logit_cap;      /* cap tanh(logit / cap); 0: none */
    bool head_bias;

    mls_multipliers multiply; /* where a state space is beside the heads */

    mls_act act;
    bool plain_mlp; /* down(act(up(x))): no gate */
    mls_experts experts;
    bool sparse[MLS_LAYERS_MAX]; /* the layer has experts, not an MLP */

    mls_recurrent recurrent; /* of the layers without keys and values */
    bool single; /* a layer is attention, recurrent or an MLP, with one norm */

    mls_qkv qkv;
    bool gate_up;    /* gate and up in one matrix, gate first */
    bool transposed; /* matrices are (in, out): GPT-2's */
} mls_net;

#endif
