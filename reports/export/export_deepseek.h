/* The tensors of one converted layer under DeepSeek-V3's names. */
#ifndef MLS_EXPORT_DEEPSEEK_H
#define MLS_EXPORT_DEEPSEEK_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/latent/latent.h"
#include "analysis/model/model.h"
#include "common/base/status.h"
#include "datasets/checkpoint/config.h"
#include "reports/export/export_inner.h"

/** What all layers of such a checkpoint share, because config.json says it once. */
typedef struct mls_deepseek_shape {
    size_t E, H;
    size_t rank, rope, nope, value, q_rank; /* q_rank 0: full */
    bool q_bias;                            /* on q_proj or q_b_proj */
    bool bias;                              /* on kv_a and, low-rank, q_a */
    bool o_bias;
    double inv_freq[MLS_DIM_MAX / 2]; /* (rope / 2), fastest first */
} mls_deepseek_shape;

enum { MLS_DEEPSEEK_TENSORS = 16 };

/** What transformers and DeepSeek's inference/model.py add in the norms of latents. */
#define MLS_DEEPSEEK_EPS 1e-6

/**
 * RMSNorm of a latent: all its weights are `weight`, what it reads is times `scale`.
 */
typedef struct mls_deepseek_norm {
    bool used;
    double scale, weight;
} mls_deepseek_norm;

/** Of the latent of keys and values, and of the low-rank query. */
typedef struct mls_deepseek_norms_of {
    mls_deepseek_norm kv, q;
} mls_deepseek_norms_of;

typedef struct mls_deepseek_tensor {
    const char *name;  /* "self_attn.kv_b_proj.weight", below model.layers.N. */
    size_t rows, cols; /* cols 0: a vector */
    float *data;
} mls_deepseek_tensor;

/** One layer. */
typedef struct mls_deepseek_layer {
    mls_deepseek_tensor tensor[MLS_DEEPSEEK_TENSORS];
    size_t n;
} mls_deepseek_layer;

/**
 * The shape of a form, when its kind fits: one latent of x for keys and values, one
 * rope key that all heads share, nothing rotated after reading, heads of equal width.
 *
 * @return MLS_OK or MLS_E_INPUT: the constraint, and which method has none of it
 */
mls_status mls_deepseek_shape_of(mls_deepseek_shape *s, const mls_latent_form *f,
                                 mls_err *err);
/**
 * Biases that the reading code expects together (attention_bias), zeros where the form
 * has none. TransMLA's: on q_a and kv_a, and on q_proj when that is not low-rank.
 *
 * @param stock  DeepSeek-V3's: on kv_a, q_a and o_proj; MLS_E_INPUT when the form's
 *               queries have one
 */
mls_status mls_deepseek_biases(mls_deepseek_shape *s, const mls_latent_form *f,
                               bool stock, mls_err *err);
/**
 * Norms of a layer's latents as job->norm asks; MLS_E_INPUT without a capture.
 * @param gain  (E) of the norm in front of the layer's attention
 */
mls_status mls_deepseek_norms(mls_deepseek_norms_of *out, const mls_export *job,
                              const mls_latent_form *f, const float *gain,
                              mls_err *err);
/** MLS_E_INPUT when a layer's shape is not that of layer 0. */
mls_status mls_deepseek_same(const mls_deepseek_shape *s, const mls_deepseek_shape *of,
                             size_t layer, mls_err *err);

/**
 * A RoPE rule that config.json can say and that gives these frequencies over `rope`
 * dims: the model's own, its own over fewer dims, or a geometric series of another
 * base. MLS_E_INPUT when there is none.
 */
mls_status mls_deepseek_rope(mls_rope_config *out, const mls_deepseek_shape *s,
                             const mls_config *config, mls_err *err);

/**
 * config.json; @param residual hidden states are times this @param model_sha256 of the
 * original's weights
 */
mls_status mls_deepseek_config(mls_export_work *w, const mls_deepseek_shape *s,
                               const mls_rope_config *rope, const char *dtype,
                               double residual, const char *model_sha256, mls_err *err);

/**
 * The layer's tensors: rope rows interleaved, pairs by frequency; the score scale times
 * sqrt(nope + rope) folded into the queries; value biases folded into o_proj's, key
 * biases left out, because softmax cancels them.
 *
 * @param body     norms and MLP of the layer
 * @param residual what is added to the hidden states is times this
 * @param[out] y   release with mls_deepseek_layer_free()
 */
mls_status mls_deepseek_make(mls_deepseek_layer *y, const mls_deepseek_shape *s,
                             const mls_deepseek_norms_of *norms,
                             const mls_latent_form *f, const mls_layer *body, size_t F,
                             double residual, mls_err *err);
void mls_deepseek_layer_free(mls_deepseek_layer *y); /* {0} is accepted */

/** What a checkpoint is made with. */
typedef struct mls_deepseek_target {
    const char *dtype;        /* of all tensors */
    double residual;          /* hidden states are times this */
    mls_deepseek_shape shape; /* of layer 0, from mls_deepseek_layer_of() on */
} mls_deepseek_target;

/**
 * Choose dtype and scale.
 * @return MLS_OK, MLS_E_INPUT (the model has what these layers do not compute: named;
 *         a dtype that cannot hold the norm)
 */
mls_status mls_deepseek_begin(mls_deepseek_target *y, mls_export_work *w, mls_err *err);
/** All tensors of a layer. @param[out] y  release with mls_deepseek_layer_free() */
mls_status mls_deepseek_layer_of(mls_deepseek_layer *y, mls_deepseek_target *target,
                                 const mls_export_work *w, const mls_latent_form *f,
                                 mls_err *err);

/** Takes the next n numbers of a tensor. */
typedef mls_status (*mls_deepseek_sink)(void *arg, const float *x, size_t n,
                                        bool matrix, mls_err *err);
/** Embedding (part 0), final norm (1), head (2; the embedding's where tied). */
mls_status mls_deepseek_rest(const mls_deepseek_target *y, const mls_export_work *w,
                             int part, mls_deepseek_sink sink, void *arg, mls_err *err);

#endif
