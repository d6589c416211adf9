/*
 * What a latent form changes in its layer's output, on captured windows: attention is
 * run on the inputs that the original model saw there, alone, without the rest of the
 * model.
 */
#ifndef MLS_OUTPUT_ERROR_H
#define MLS_OUTPUT_ERROR_H

#include <stddef.h>

#include "analysis/capture/capture.h"
#include "analysis/latent/latent.h"
#include "common/base/status.h"
#include "common/system/pool.h"

/**
 * Inputs of one layer's attention in some windows, and what the model makes of them.
 */
typedef struct mls_output_windows {
    size_t n, T, E;
    float *x;   /* (n, T, E) normed input */
    float *out; /* (n, T, E) attention output of the original, W_O and bias included */
    double power;   /* sum of |out|^2 */
    mls_pool *pool; /* borrowed */
} mls_output_windows;

/**
 * The first n windows of a capture (fewer where it holds fewer), for one layer.
 *
 * @param original  the layer as mls_latent_identity() makes it
 * @param[out] out  release with mls_output_windows_free(); {0} on error
 * @return MLS_OK, MLS_E_INPUT (the capture holds no windows), MLS_E_IO or MLS_E_NOMEM
 */
mls_status mls_output_windows_load(mls_output_windows *out, mls_capture *capture,
                                   const mls_latent_form *original, size_t n,
                                   mls_pool *pool, mls_err *err);
void mls_output_windows_free(mls_output_windows *w); /* {0} is accepted */

/**
 * sum |o_hat - o|^2 / sum |o|^2 over all tokens of the windows; quantizers of the form
 * are applied. NaN for a form that uses another layer's cache.
 *
 * @return MLS_OK, MLS_E_NOMEM, or what running the form says
 */
mls_status mls_output_error(double *error, const mls_output_windows *w,
                            const mls_latent_form *f, mls_err *err);

#endif
