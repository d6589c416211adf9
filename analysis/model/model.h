/* Weights of a model, one layer at a time in float. */
#ifndef MLS_MODEL_H
#define MLS_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "analysis/numeric/packed.h"
#include "common/base/status.h"
#include "datasets/checkpoint/checkpoint.h"

/** One layer's weights, (out, in) row-major; NULL where the model has none. */
typedef struct mls_layer {
    size_t index;
    mls_packed *packed;     /* its matrices as mls_model_compute() says, or NULL */
    float *attn_norm;       /* (E) */
    float *wq, *bq;         /* (H D, E), (H D) */
    float *wk, *bk;         /* (G D, E), (G D) */
    float *wv, *bv;         /* (G D, E), (G D) */
    float *wo, *bo;         /* (E, H D), (E) */
    float *q_norm, *k_norm; /* (D) or NULL */
    float *mlp_norm;        /* (E) */
    float *w_gate, *b_gate; /* (F, E), (F) */
    float *w_up, *b_up;     /* (F, E), (F) */
    float *w_down, *b_down; /* (E, F), (E) */
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
/** Only the attention part (norm, q, k, v, o and their biases and norms). */
mls_status mls_model_attention(const mls_model *m, size_t l, mls_layer *layer,
                               mls_err *err);
void mls_layer_free(mls_layer *layer); /* {0} is accepted */

/**
 * The body of a converted checkpoint: everything but the attention projections, under
 * the original's names and shapes, and every such tensor is there. mls_model_body(),
 * mls_model_embed() and mls_model_head() work on it, the functions above do not.
 *
 * @param c        borrowed
 * @param config   of the original; tied embeddings as c's own config says
 * @param[out] out release with mls_model_close(); NULL on error
 */
mls_status mls_model_of_body(mls_model **out, const mls_checkpoint *c,
                             const mls_config *config, mls_err *err);
/** Layer l without wq, wk, wv, wo, their biases and norms, which stay NULL. */
mls_status mls_model_body(const mls_model *m, size_t l, mls_layer *layer, mls_err *err);

/** Embedding rows of n ids. @param[out] x (n, E). MLS_E_INPUT for an id >= V. */
mls_status mls_model_embed(const mls_model *m, const int32_t *ids, size_t n, float *x,
                           mls_err *err);

/** Final norm (E) and output matrix (V, E); each released by the caller with free(). */
mls_status mls_model_head(const mls_model *m, float **norm, float **head, mls_err *err);

#endif
