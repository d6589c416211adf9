/* Weights of a model, one layer at a time in float. */
#ifndef MLS_MODEL_H
#define MLS_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "analysis/numeric/packed.h"
#include "common/base/status.h"
#include "datasets/checkpoint/checkpoint.h"
#include "datasets/checkpoint/tensors.h"

/**
 * One layer's weights, (out, in) row-major; NULL where the model has none. Whatever the
 * family, they are read so that the layer is h + f(norm(h)) with scores q k / sqrt(K),
 * RoPE half-split over a whole head, gains that multiply and matrices that lie apart:
 * scales, orders and the 1 of 1 + w are in the weights (settle.c).
 */
typedef struct mls_layer {
    size_t index;
    mls_packed *packed; /* its matrices as mls_model_compute() says, or NULL */
    float *attn_norm, *attn_norm_bias; /* (E) */
    float *wq, *bq;                    /* (H K, E), (H K) */
    float *wk, *bk;                    /* (G K, E), (G K) */
    float *wv, *bv;                    /* (G V, E), (G V) */
    float *wo, *bo;                    /* (E, H V), (E) */
    float *q_norm, *k_norm;            /* by mls_net.qk, or NULL */
    float *q_norm_bias, *k_norm_bias;
    const struct mls_layer *own; /* qk_folded: the layer whose gains went into wq, wk */
    float *sinks;                /* (H) */
    float *w_attn_gate, *b_attn_gate;    /* (H V, E), (H V) */
    float *attn_sub_norm, *mlp_sub_norm; /* (H V), (F) */
    float *q_a, *q_a_norm, *q_b;         /* latent attention: (r, E), (r), (H K, r) */
    float *kv_a, *kv_a_norm, *kv_b;      /* (r + rope, E), (r), (H (nope + V), r) */
    float *attn_post_norm;               /* (E) */
    float *rec_in, *rec_in_bias; /* a recurrent layer, in the shapes of its room */
    float *rec_z, *rec_b, *rec_a, *rec_conv, *rec_conv_bias;
    float *rec_dt_bias, *rec_a_log, *rec_d, *rec_norm, *rec_out, *rec_out_bias;
    float *mlp_norm, *mlp_norm_bias;       /* (E) */
    float *w_gate, *b_gate;                /* (F, E), (F) */
    float *w_up, *b_up;                    /* (F, E), (F) */
    float *w_down, *b_down;                /* (E, F), (E) */
    float *mlp_post_norm;                  /* (E) */
    float *alpha_p, *alpha_n, *beta, *eps; /* (1) of xIELU */

    float *router, *router_bias;           /* a mixture of n experts: (n, E), (n) */
    float *correction;                     /* (n) */
    float *expert_gate, *expert_gate_bias; /* (n, F, E), (n, F) */
    float *expert_up, *expert_up_bias;     /* (n, F, E), (n, F) */
    float *expert_down, *expert_down_bias; /* (n, E, F), (n, E) */
    float *shared_gate, *shared_up, *shared_down; /* (F', E), (F', E), (E, F') */
    float *shared_weight;                         /* (E) */

    /* Gemma 3n and 4, see mls_carry */
    float *router_gain, *expert_gain; /* (E), (n); settled into router and down */
    float *experts_norm, *experts_post_norm, *beside_post_norm; /* (E) */
    float *laurel_down, *laurel_up, *laurel_norm; /* (r, E), (E, r), (E) */
    float *stream_router, *stream_norm;           /* (n, E), (E), n streams */
    float *stream_predict, *stream_correct;       /* (n n, n), (n, n) */
    float *stream_gain, *stream_out; /* (E), (n - 1, E, E) of the last layer */
    float *input_gate, *input_out, *input_norm; /* (P, E), (E, P), (E) */
    float *layer_scale;                         /* (1) */

    /* As the file has them, until they are taken apart. */
    float *qkv, *qkv_bias, *gate_up;
    float *expert_gate_up, *expert_gate_up_bias, *shared_gate_up;
} mls_layer;

/** An open model; reading is thread-safe. */
typedef struct mls_model mls_model;

/**
 * Open a checkpoint folder whose computation we do exactly, and check that every tensor
 * is there with the right shape (nothing is read yet).
 *
 * @param[out] out  release with mls_model_close(); NULL on error
 */
mls_status mls_model_open(mls_model **out, const char *folder, mls_err *err);
void mls_model_close(mls_model *m); /* NULL is accepted */

/**
 * How the matrices of layers that are read from now on are multiplied in a forward
 * pass; float at first. MLS_E_ARG where this machine has no such products.
 */
mls_status mls_model_set_compute(mls_model *m, mls_compute compute, mls_err *err);
mls_compute mls_model_compute(const mls_model *m);
/** The same in words, for the record: library and instructions. */
const char *mls_model_arithmetic(const mls_model *m);

/**
 * Bytes that the hidden states of one pass over this model may take in memory; more
 * go to disk (common/system/spill.h). 0, at first: any number.
 */
void mls_model_set_ram(mls_model *m, uint64_t bytes);
uint64_t mls_model_ram(const mls_model *m);

/** Its config and the files behind it; borrowed until mls_model_close(). */
const mls_config *mls_model_config(const mls_model *m);
const mls_checkpoint *mls_model_checkpoint(const mls_model *m);

/** Read layer l; release with mls_layer_free(). On error *layer is {0}. */
mls_status mls_model_layer(const mls_model *m, size_t l, mls_layer *layer,
                           mls_err *err);
/**
 * Only the attention part (norm, q, k, v, o and their biases and norms); MLS_E_INPUT
 * for a layer without keys and values of the model's heads (latent attention, none).
 */
mls_status mls_model_attention(const mls_model *m, size_t l, mls_layer *layer,
                               mls_err *err);
/** The same, and that of a layer of latent attention: what makes keys and values. */
mls_status mls_model_keys(const mls_model *m, size_t l, mls_layer *layer, mls_err *err);
/** What a layer does before its first product: norms in front of it, and streams. */
mls_status mls_model_entry(const mls_model *m, size_t l, mls_layer *layer,
                           mls_err *err);
void mls_layer_free(mls_layer *layer); /* {0} is accepted */

/**
 * The body of a converted checkpoint: everything but the attention projections, under
 * the original's names and shapes, and every such tensor is there. mls_model_body(),
 * mls_model_embed() and mls_model_head() work on it, the functions above do not.
 *
 * @param c        borrowed
 * @param config   of the original; tied embeddings as c's own config says
 * @param residual above 0: its layers are written as Llama's, and its hidden states are
 *                 the original's times this (mlascope export --for deepseek)
 * @param[out] out release with mls_model_close(); NULL on error
 */
mls_status mls_model_of_body(mls_model **out, const mls_checkpoint *c,
                             const mls_config *config, double residual, mls_err *err);
/** Layer l without wq, wk, wv, wo, their biases and norms, which stay NULL. */
mls_status mls_model_body(const mls_model *m, size_t l, mls_layer *layer, mls_err *err);

/**
 * Embedding rows of the n ids of one sequence, with what the family adds to them.
 * @param[out] x  (n, E)
 * @return MLS_E_INPUT for an id >= V, or a sequence longer than learned positions
 */
mls_status mls_model_embed(const mls_model *m, const int32_t *ids, size_t n, float *x,
                           mls_err *err);

/**
 * A tensor outside of the layers; of a role that has several, all, one after the other.
 * @param[out] out  to be freed; NULL where the model has none, and on error
 */
mls_status mls_model_whole(const mls_model *m, mls_tensor_role role, float **out,
                           mls_err *err);

/** What makes logits of hidden states. */
typedef struct mls_head {
    float *norm, *norm_bias; /* (E); the bias or NULL */
    float *w, *bias;         /* (V, E), (V) or NULL */
} mls_head;

/** @param[out] head  release with mls_head_free(); {0} on error */
mls_status mls_model_head(const mls_model *m, mls_head *head, mls_err *err);
void mls_head_free(mls_head *head); /* {0} is accepted */

/** Logits (n, V) of hidden states h (n, E); x (n, E) is scratch. */
void mls_head_logits(const mls_config *config, const mls_head *head, float *logits,
                     float *x, const float *h, size_t n);
/** Logits (n, count) of ids first .. first + count - 1 for normed states x (n, E). */
void mls_head_part(const mls_config *config, const mls_head *head, float *logits,
                   const float *x, size_t n, size_t first, size_t count);

#endif
