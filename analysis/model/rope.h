/* Rotary position embedding, half-split: the pair of chunk c is (c, c + n/2). */
#ifndef MLS_ROPE_H
#define MLS_ROPE_H

#include <stdbool.h>
#include <stddef.h>

#include "datasets/checkpoint/config.h"

/**
 * Angle per token of each chunk: 0 for those that do not turn, which stand behind the
 * others once a model is read.
 * @param[out] inv_freq  (D/2) in radians per token
 */
void mls_rope_frequencies(double *inv_freq, const mls_rope_config *rope, size_t D);

/** The same for the D dims of a layer's heads, by its own RoPE. */
void mls_layer_frequencies(double *inv_freq, const mls_config *config, size_t layer);
/** Whether all layers that turn their keys turn them alike. */
bool mls_layers_turn_alike(const mls_config *config);

/**
 * Cosines and sines for positions 0..T-1, float of double values.
 * @param[out] cs  (T, n_chunks, 2): cos, sin
 */
void mls_rope_table(float *cs, const double *inv_freq, size_t n_chunks, size_t T);

/**
 * Turn rows in place: x[t] is n = 2 * n_chunks values at x + t * stride.
 * sign = 1 rotates, -1 undoes it.
 */
void mls_rope_apply(float *x, size_t stride, const float *cs, size_t n_chunks, size_t T,
                    int sign);

#endif
