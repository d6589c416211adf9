/* The parts of a layer beside its attention: norms, and the MLP or its experts. */
#ifndef MLS_BLOCK_H
#define MLS_BLOCK_H

#include <stddef.h>

#include "analysis/model/model.h"

/**
 * y = norm(x) of rows (n, E), y may be x. Without gain where the family has none; a
 * copy where it has norms, but not here (gain NULL).
 */
void mls_block_norm(const mls_config *config, float *y, const float *x,
                    const float *gain, const float *bias, size_t n);

/** Floats of scratch for mls_block_mlp() on n rows. */
size_t mls_block_scratch(const mls_config *config, size_t n);

/**
 * out (n, E) = the layer's MLP, or its experts, of the normed input x (n, E); x may be
 * out. No norm, nothing is added.
 */
void mls_block_mlp(const mls_config *config, const mls_layer *layer, float *out,
                   const float *x, size_t n, float *scratch);

/**
 * Experts beside an MLP (mls_experts.beside): out (n, E) = norm(mlp's out) + what the
 * experts make of the state h (n, E), each with norms of its own.
 */
void mls_block_add_experts(const mls_config *config, const mls_layer *layer, float *out,
                           const float *h, size_t n, float *scratch);

/** The family's activation of n numbers, in place. */
void mls_block_activate(const mls_config *config, const mls_layer *layer, float *x,
                        size_t n);

#endif
