/* Least squares on captured windows: what a form reads its cache with, fitted anew. */
#ifndef MLS_REFIT_H
#define MLS_REFIT_H

#include <stddef.h>

#include "analysis/capture/capture.h"
#include "analysis/latent/latent.h"
#include "analysis/numeric/packed.h"
#include "common/base/status.h"
#include "common/system/pool.h"

/**
 * Fit the queries of every head so that its scores over the keys which the form gives
 * back are those of the model, weighted by the model's attention (docs/METHODS.md,
 * "Least squares"). What is cached stays, and so do all shapes.
 *
 * @param[in,out] f  absorbable keys: a latent that is never rotated, a rope key, or
 *                   both; full-rank queries. Its scale is the model's.
 * @param n_windows  at most so many; every eighth is held out and says when to stop
 * @param steps      at most so many steps of conjugate gradients
 * @param compute    of the products with the inputs in a step
 * @return MLS_OK, MLS_E_INPUT (the capture has no windows), MLS_E_NOMEM, MLS_E_IO or
 *         MLS_E_NUMERIC; on error *f is as it was
 */
mls_status mls_refit_queries(mls_latent_form *f, mls_capture *capture, size_t n_windows,
                             size_t steps, mls_compute compute, mls_pool *pool,
                             mls_err *err);

/**
 * Fit the output projection so that the attention output of the form is that of
 * `original` on the captured windows: ridge regression from the weights that are there,
 * its strength chosen on every eighth window.
 *
 * @return as mls_refit_queries()
 */
mls_status mls_refit_output(mls_latent_form *f, const mls_latent_form *original,
                            mls_capture *capture, size_t n_windows, mls_compute compute,
                            mls_pool *pool, mls_err *err);

#endif
