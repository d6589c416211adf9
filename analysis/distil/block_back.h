/*
 * Back through a layer's norms and MLP, whose weights stay as they are: the gradient by
 * the layer's input and by its attention's output from that by its output.
 */
#ifndef MLS_BLOCK_BACK_H
#define MLS_BLOCK_BACK_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/heal/real.h"
#include "analysis/model/model.h"
#include "common/base/status.h"

/** A layer beside its attention; all borrowed, NULL where the layer has none. */
typedef struct mls_block {
    size_t E, F;
    mls_norm_kind norm;
    mls_norm_place place;
    bool parallel, one_norm, norm_free;
    mls_act act;
    double eps;
    const mls_real *attn_norm, *attn_norm_bias, *attn_post_norm;
    const mls_real *mlp_norm, *mlp_norm_bias, *mlp_post_norm;
    const mls_real *gate, *gate_bias, *up, *up_bias, *down, *down_bias;
    mls_packed *packed; /* float only: the matrices in bfloat16, or NULL */
} mls_block;

/** Numbers of scratch for mls_block_back() on T tokens. */
size_t mls_block_back_scratch(const mls_block *b, size_t T);

/**
 * Of a layer h + attention(norm(h)), then + mlp(norm(..)), or both side by side.
 *
 * @param h         (T, E) the layer's input
 * @param a         (T, E) its attention's output, before a norm behind it
 * @param d         (T, E) gradient by the layer's output
 * @param[out] d_a  (T, E) gradient by a
 * @param[out] d_h  (T, E) gradient by h past the attention; may be d
 */
void mls_block_back(const mls_block *b, const mls_real *h, const mls_real *a,
                    const mls_real *d, size_t T, mls_real *d_a, mls_real *d_h,
                    mls_real *scratch);

/** d_h += gradient through the attention's norm; d_x (T, E) that by x, overwritten. */
void mls_block_input_back(const mls_block *b, const mls_real *h, mls_real *d_x,
                          size_t T, mls_real *d_h);

#endif
