/* One random layer without a checkpoint; plain attention with it is the truth. */
#ifndef MLS_RANDOM_LAYER_H
#define MLS_RANDOM_LAYER_H

#include "tests/support/expect.h"

#include "analysis/latent/latent.h"
#include "analysis/model/forward.h"
#include "analysis/model/stats.h"
#include "analysis/numeric/linalg.h"
#include "common/numbers/rng.h"

enum { T = 37, E = 48, LAYER_TOKENS = 400 };

typedef struct random_layer {
    mls_config config;
    mls_layer layer;
    mls_layer_stats stats; /* {0} unless the test makes them */
    float *x, *want, *got; /* (T, E): input, plain attention's output, room */
} random_layer;

float *random_floats(mls_rng *rng, size_t n, double scale);

/* What the model's own attention makes of s->x; out (T, E). */
void plain_attention(const random_layer *s, float *out);

/* The same through a latent form. */
void latent_attention(const mls_latent_form *f, const random_layer *s, bool absorbed,
                      float *out);
void random_layer_make(random_layer *s, mls_rng *rng, size_t H, size_t G, size_t D,
                       bool biases, bool qk_norm);

/* Statistics of tokens whose numbers depend on each other and have a mean. */
void random_layer_stats(random_layer *s, mls_rng *rng);
void random_layer_free(random_layer *s);

#endif
