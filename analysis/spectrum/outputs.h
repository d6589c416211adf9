/* What a layer puts out for the tokens of a capture's windows, as matrices of rows. */
#ifndef MLS_OUTPUTS_H
#define MLS_OUTPUTS_H

#include <stddef.h>

#include "analysis/capture/capture.h"
#include "analysis/spectrum/spectrum.h"
#include "analysis/spectrum/window_moments.h"
#include "common/base/status.h"

/** n windows of T tokens; heads stand side by side in the m numbers of a token. */
typedef struct mls_outputs {
    size_t n, T, m;
    float *y; /* (n, T, m) */
} mls_outputs;

/**
 * Queries, keys (before or after RoPE), values, or keys with values behind them, of
 * layer l, all heads.
 * @param[out] out  release with mls_outputs_free(); {0} on error, and n = 0 when the
 *                  capture holds no windows
 */
mls_status mls_outputs_load(mls_outputs *out, mls_capture *capture, size_t l,
                            mls_matrix matrix, mls_err *err);
/** The normed inputs of attention. */
mls_status mls_outputs_load_inputs(mls_outputs *out, mls_capture *capture, size_t l,
                                   mls_err *err);
void mls_outputs_free(mls_outputs *o); /* {0} is accepted */

/** y = W x of inputs; w (m, E). */
mls_status mls_outputs_project(mls_outputs *out, const mls_outputs *x, const float *w,
                               size_t m, mls_err *err);
/** Only the numbers of one head; parts of m as `kv` has them, 2, or 1. */
mls_status mls_outputs_head(mls_outputs *out, const mls_outputs *all, size_t head,
                            size_t D, size_t parts, mls_err *err);
/** Turn keys (or queries) of D dims a head as layer l does. */
mls_status mls_outputs_turn(mls_outputs *o, const mls_config *config, size_t l,
                            mls_err *err);
/** E[y y^T] window by window. @param[out] w  release with mls_window_moments_free() */
mls_status mls_outputs_moments(mls_window_moments *w, const mls_outputs *o,
                               mls_err *err);
/** Two layers' outputs for the same tokens, side by side. */
mls_status mls_outputs_join(mls_outputs *out, const mls_outputs *a,
                            const mls_outputs *b, mls_err *err);

#endif
