/*
 * Partial RoPE per KV head, the rest in latents: the frame of MHA2MLA and EliteKV.
 *
 * The rows of a head's keys fall in two parts: "rope" rows of the chunks that keep
 * their rotation and "nope" rows of the others, in each part first dims c, then dims c
 * + C, chunks ascending. A query head's rows are split alike.
 */
#ifndef MLS_PARTIAL_H
#define MLS_PARTIAL_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/frequency/selection.h"
#include "analysis/latent/latent.h"
#include "analysis/model/model.h"
#include "bench/frame/method.h"
#include "common/base/status.h"

/**
 * Dims of head g, 0..D-1.
 * @param[out] rope  (2 count[g])
 * @param[out] nope  (D - 2 count[g])
 */
void mls_partial_dims(const mls_selection *s, size_t g, size_t *rope, size_t *nope);

/**
 * The setting's key `scope`: `head` (every KV head keeps `chunks`; *plan is NULL then),
 * `layer` or `global` (so many on average, spent over the heads of a layer or the
 * model).
 * @param otherwise  the rule without a key `rope`
 * @param[out] plan  release with mls_partial_release()
 */
mls_status mls_partial_prepare(void **plan, const mls_method_input *in,
                               const mls_setting *s, const char *otherwise,
                               size_t chunks, mls_err *err);
void mls_partial_release(void *plan); /* NULL is accepted */

/**
 * The chunks that the setting's key `rope` (or, without it, the rule `otherwise`)
 * keeps; none in a layer that does not rotate. rope=file:PATH takes them from a rank
 * file of MHA2MLA or EliteKV (rankfile.h). Release with mls_selection_free().
 *
 * @param chunks  per KV head
 * @param stats   of the layer; may be NULL for rules that need no data
 */
mls_status mls_partial_select(mls_selection *out, const mls_method_input *in,
                              const mls_setting *s, const char *otherwise,
                              size_t chunks, const mls_layer *layer,
                              const mls_layer_stats *stats, mls_err *err);

/**
 * The plan's selection of the layer; without a plan what mls_partial_select() gives.
 */
mls_status mls_partial_chosen(mls_selection *out, const void *plan,
                              const mls_method_input *in, const mls_setting *s,
                              const char *otherwise, size_t chunks,
                              const mls_layer *layer, const mls_layer_stats *stats,
                              mls_err *err);

/** MLS_E_INPUT when QK-norm stands between the projections and the scores. */
mls_status mls_partial_absorbs(const mls_layer *layer, mls_err *err);

/**
 * Begin a form whose heads rotate the chunks of a selection: rope keys and queries are
 * made, n_latents are to be filled by the functions below. On error *f is {0}.
 *
 * @return MLS_OK, MLS_E_INPUT (QK-norm, which cannot be absorbed) or MLS_E_NOMEM
 */
mls_status mls_partial_begin(mls_latent_form *f, const mls_config *config,
                             const mls_layer *layer, const mls_selection *s,
                             size_t n_latents, mls_err *err);

/**
 * Latent `at` holds the nope rows of all keys, all values, or both, by one SVD of the
 * stacked rows; singular values are on the up side and biases are added after reading.
 *
 * @param r  at most the rows stacked and E
 */
mls_status mls_partial_latent(mls_latent_form *f, const mls_layer *layer,
                              const mls_selection *s, size_t at, bool keys, bool values,
                              size_t r, mls_err *err);

/** Latents at .. at+G-1 are the nope rows of each head's key, as they are. */
mls_status mls_partial_plain_keys(mls_latent_form *f, const mls_layer *layer,
                                  const mls_selection *s, size_t at, mls_err *err);
/** Latents at .. at+G-1 are the values of each head, as they are. */
mls_status mls_partial_plain_values(mls_latent_form *f, const mls_layer *layer,
                                    size_t at, mls_err *err);

/** Check the finished form, or free it when st says that building failed. */
mls_status mls_partial_end(mls_latent_form *f, mls_status st, mls_err *err);

/** How many heads have nope rows; the number of latents for plain keys. */
size_t mls_partial_nope_heads(const mls_selection *s);

#endif
