/*
 * Small checkpoints of random weights, for tests that need whole models of any shape.
 */
#ifndef MLS_RANDOM_MODEL_H
#define MLS_RANDOM_MODEL_H

#include <stdbool.h>
#include <stddef.h>

#include "common/numbers/rng.h"

enum { MLS_RANDOM_L = 2, MLS_RANDOM_E = 48, MLS_RANDOM_V = 32 };

typedef struct mls_random_shape {
    const char *name, *type; /* for file names; model_type */
    size_t H, G, D;
    bool biases, qk_norm;
} mls_random_shape;

/** Write config.json and model.safetensors into a folder, which is made. */
void random_model(const char *folder, const mls_random_shape *s, mls_rng *rng);

#endif
