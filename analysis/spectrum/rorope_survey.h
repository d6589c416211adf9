/* How much of the keys' energy a shared rope key would hold, for every freqfold. */
#ifndef MLS_ROROPE_SURVEY_H
#define MLS_ROROPE_SURVEY_H

#include <stddef.h>

#include "analysis/capture/capture.h"
#include "common/base/status.h"
#include "common/system/pool.h"
#include "common/system/progress.h"

enum { MLS_ROROPE_FOLDS = 16, MLS_ROROPE_WIDTH_MAX = 1024 };

/** Freqfolds 1, 2, 4, ... that divide C, collapses 1, 2, 4, ... up to each. */
typedef struct mls_rorope_survey {
    size_t L, C, n;              /* n pairs of freqfold and collapse */
    size_t *fold, *collapse;     /* (n) */
    double *captured, *held;     /* (n, L): share on the windows that made the rotation,
                                     and on the others; NaN for layers without RoPE, and
                                     held for a capture with one window */
    size_t n_windows, n_held, T; /* windows 0, 2, ... make, 1, 3, ... are held out */
    size_t widest;               /* folds with more than MLS_ROROPE_WIDTH_MAX numbers
                                     are left out; the largest freqfold taken */
} mls_rorope_survey;

/**
 * Rotations from the second moment of all keys of a layer, over windows before RoPE.
 * @param[out] out  release with mls_rorope_survey_free(); {0} on error
 * @return MLS_OK, MLS_E_INPUT (no windows), MLS_E_NUMERIC, MLS_E_STOPPED or MLS_E_NOMEM
 */
mls_status mls_rorope_survey_run(mls_rorope_survey *out, mls_capture *capture,
                                 mls_pool *pool, const mls_progress *progress,
                                 mls_err *err);
void mls_rorope_survey_free(mls_rorope_survey *s); /* {0} is accepted */

#endif
