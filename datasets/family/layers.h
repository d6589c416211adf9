/*
 * The layers of a model from its config.json: how many, of which kind, what each keeps.
 */
#ifndef MLS_LAYERS_H
#define MLS_LAYERS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/status.h"
#include "datasets/family/facts.h"
#include "datasets/family/layer.h"
#include "datasets/family/rules.h"

/** What the layers have in common, and the layers. */
typedef struct mls_layers {
    size_t L, E;
    size_t H, G, D; /* the largest of a layer; D: of a key */
    size_t latent, rope_dim, nope_dim, value_dim, q_latent; /* MLA; 0 for others */
    mls_layer_shape layer[MLS_LAYERS_MAX];
    /*
     * Empty when the bytes that follow from the layers are those of the model.
     * Otherwise one sentence that names the key which is not understood, or the
     * model_type: what the model caches is then at most what the layers say.
     */
    char doubt[256];
} mls_layers;

/**
 * @param model_type  "gemma3_text", of the text model
 * @param whole       the file is the text model's own, which says how many layers and
 *                    heads it has; a text_config may leave them to its class
 * @return MLS_OK or MLS_E_INPUT naming the key
 */
mls_status mls_layers_read(mls_layers *out, const mls_facts *k, const char *model_type,
                           bool whole);

#endif
