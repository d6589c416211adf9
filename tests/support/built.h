/* A layer under a setting, and what a runner makes of it. */
#ifndef MLS_TESTS_BUILT_H
#define MLS_TESTS_BUILT_H

#include "tests/support/expect.h"

#include "bench/frame/scheme.h"

/* Of one layer under one setting for all layers; mls_latent_free(). */
mls_latent_form built(const mls_method_input *in, const char *text,
                      const mls_layer *layer, const mls_layer_stats *stats);

/* Attention of a form, without or with absorbed products, for n rows x. */
void built_attention(const mls_latent_form *form, bool absorbed, const float *x,
                     size_t n, float *out);

#endif
