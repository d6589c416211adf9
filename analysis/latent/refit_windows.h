/* Captured windows of one layer as the least squares of refit.h need them. */
#ifndef MLS_REFIT_WINDOWS_H
#define MLS_REFIT_WINDOWS_H

#include <stddef.h>

#include "analysis/capture/capture.h"
#include "analysis/latent/latent.h"
#include "common/base/status.h"

typedef struct mls_refit_windows {
    size_t n, T, E, H, G, D, sliding_window;
    size_t
        width; /* widest row that reading the form's cache makes: rank or rope dims */
    float *x;  /* (n, T, E) */
    float *q, *k; /* (n, T, H D), (n, T, G D): the model's, after RoPE */
} mls_refit_windows;

/**
 * @param f           form of the layer
 * @param n           at most so many windows, spread evenly; 0: all
 * @param scores_max  and at most so many that n T T stays below it, one at least
 * @param[out] w      release with mls_refit_windows_free(); {0} on error
 * @return MLS_OK, MLS_E_INPUT (the capture has no windows), MLS_E_NOMEM or MLS_E_IO
 */
mls_status mls_refit_windows_load(mls_refit_windows *w, mls_capture *capture,
                                  const mls_latent_form *f, size_t n, size_t scores_max,
                                  mls_err *err);
void mls_refit_windows_free(mls_refit_windows *w); /* {0} is accepted */

/**
 * Queries first .. first+n-1 of head h: to s (n, first+n), rows at stride T, the
 * model's scores q_i^T k_j are added.
 */
void mls_refit_scores(const mls_refit_windows *w, size_t h, size_t window, size_t first,
                      size_t n, float *s);

/** The first key that query i sees. */
size_t mls_refit_first_key(const mls_refit_windows *w, size_t i);

#endif
