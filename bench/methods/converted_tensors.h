/* Tensors of a converted checkpoint's attention, by the names inside their layer. */
#ifndef MLS_CONVERTED_TENSORS_H
#define MLS_CONVERTED_TENSORS_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/latent/latent.h"
#include "common/base/status.h"
#include "datasets/checkpoint/checkpoint.h"

/** Is there a model.layers.L.self_attn.WHAT, or model.layers.L.WHAT for "mla. .."? */
bool mls_converted_has(const mls_checkpoint *c, size_t l, const char *what);

/**
 * Read it to its place.
 *
 * @param cols      0: a vector of `rows`
 * @param[out] out  (rows, cols)
 * @return MLS_OK, MLS_E_INPUT (missing, another shape: the tensor is named) or MLS_E_IO
 */
mls_status mls_converted_read(float *out, const mls_checkpoint *c, size_t l,
                              const char *what, size_t rows, size_t cols, mls_err *err);

/** A map of a form from PREFIX.weight and, where it is biased, PREFIX.bias. */
mls_status mls_converted_map(mls_affine *to, const mls_checkpoint *c, size_t l,
                             const char *prefix, mls_err *err);

/** The same into memory of its own. @param[out] to  release with free(to->w) */
mls_status mls_converted_take(mls_affine *to, const mls_checkpoint *c, size_t l,
                              const char *prefix, size_t rows, size_t cols,
                              mls_err *err);

/** How many rows the matrix WHAT has; MLS_E_INPUT when it is missing or no matrix. */
mls_status mls_converted_rows(size_t *rows, const mls_checkpoint *c, size_t l,
                              const char *what, mls_err *err);

/**
 * An empty shape for layer l of `config`: G heads as read back, room for latents and
 * rope keys, no sharing, no window, no frequencies of full keys.
 */
mls_status mls_converted_begin(mls_latent_form *f, const mls_config *config, size_t l,
                               size_t G, size_t n_latents, size_t n_rope_keys,
                               mls_err *err);

#endif
