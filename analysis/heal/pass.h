/*
 * One window of tokens through a latent form and back: the layer's attention output,
 * and the gradient of any loss of that output by every parameter of the form and by the
 * layer's input.
 */
#ifndef MLS_HEAL_PASS_H
#define MLS_HEAL_PASS_H

#include <stddef.h>

#include "analysis/heal/parameters.h"
#include "analysis/heal/real.h"
#include "analysis/latent/latent.h"
#include "analysis/numeric/packed.h"
#include "common/base/status.h"

/** Memory for one window at a time on one thread; keeps what going back needs. */
typedef struct mls_heal_pass mls_heal_pass;

/**
 * @param f         borrowed; its structure is read, its numbers come from theta
 * @param p         borrowed: the places of its arrays in theta
 * @param T_max     longest window
 * @param[out] out  release with mls_heal_pass_free(); NULL on error
 * @return MLS_OK or MLS_E_NOMEM
 */
mls_status mls_heal_pass_new(mls_heal_pass **out, const mls_latent_form *f,
                             const mls_parameters *p, size_t T_max, mls_err *err);
void mls_heal_pass_free(mls_heal_pass *pass); /* NULL is accepted */

/** Products of whole windows with weights, or their gradients, in bfloat16 from now. */
void mls_heal_pass_compute(mls_heal_pass *pass, mls_compute compute);

/**
 * out (T, E): attention output from the normed input x (T, E), quantizers applied.
 *
 * @param keys, values  of a form that shares another layer's cache: what
 *                      mls_heal_pass_keys() and _values() gave there; else NULL
 * @return MLS_OK, or what a quantizer says
 */
mls_status mls_heal_pass_forward(mls_heal_pass *pass, const mls_real *theta,
                                 const mls_real *x, size_t T, const mls_real *keys,
                                 const mls_real *values, mls_real *out, mls_err *err);

/**
 * After mls_heal_pass_forward() with the same theta and x: add the gradient.
 * Quantizers pass gradients through unchanged (straight-through estimator, Bengio et
 * al. 2013); of shared keys and values nothing flows back.
 *
 * @param d_out          (T, E) gradient of the loss by the output
 * @param[out] gradient  (n) by theta; added to
 * @param[out] d_x       (T, E) by the input, written; NULL: not wanted
 */
void mls_heal_pass_backward(mls_heal_pass *pass, const mls_real *theta,
                            const mls_real *x, const mls_real *d_out,
                            mls_real *gradient, mls_real *d_x);

/** Keys and values read back, KV head after head (T, dims); until the next forward. */
const mls_real *mls_heal_pass_keys(const mls_heal_pass *pass, size_t *n);
const mls_real *mls_heal_pass_values(const mls_heal_pass *pass, size_t *n);
/** What the heads read (T, columns of W_O). */
const mls_real *mls_heal_pass_heads(const mls_heal_pass *pass);

#endif
