/*
 * What a token carries from layer to layer beside its hidden state: other states,
 * numbers of its own for every layer, keys and values that a later layer reads.
 */
#ifndef MLS_CARRIED_H
#define MLS_CARRIED_H

#include <stddef.h>
#include <stdint.h>

#include "analysis/model/model.h"
#include "datasets/text/corpus.h"

/** Floats of a token; 0 for most models. */
size_t mls_carried_width(const mls_config *config);

/** Where the keys (G K, turned), then the values (G V) of layer l are; SIZE_MAX: no
    layer reads them. */
size_t mls_carried_keys(const mls_config *config, size_t l);

/**
 * What the corpus's tokens carry into the first layer.
 * @param h        (tokens, E) embeddings
 * @param carried  (tokens, width)
 */
mls_status mls_carried_embed(const mls_model *m, const mls_corpus *corpus,
                             const float *h, float *carried, mls_err *err);

/** Floats of scratch per row for the functions below. */
size_t mls_carried_scratch(const mls_config *config);

/** AltUp's prediction, before the layer's first norm, of h (n, E) and other states. */
void mls_carried_enter(const mls_config *config, const mls_layer *layer, float *h,
                       float *carried, size_t n, float *scratch);

/** h = (h + x + norm(up(down(x)))) / sqrt 2, h with attention added, x its input. */
void mls_carried_beside(const mls_config *config, const mls_layer *layer, float *h,
                        const float *x, size_t n, float *scratch);

/** Behind the MLP: AltUp's correction, the token's own numbers, the layer's factor. */
void mls_carried_leave(const mls_config *config, const mls_layer *layer, float *h,
                       float *carried, size_t n, float *scratch);

#endif
