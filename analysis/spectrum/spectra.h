/* The spectra of a whole model, layer by layer. */
#ifndef MLS_SPECTRA_H
#define MLS_SPECTRA_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/capture/capture.h"
#include "analysis/spectrum/spectrum.h"
#include "analysis/spectrum/window_moments.h"
#include "common/system/pool.h"
#include "common/system/progress.h"

struct mls_parts; /* datasets/files/parts.h */

enum { MLS_MATRICES = 5, MLS_SPECTRA_DRAWS = 50 };

typedef struct mls_spectra_request {
    bool matrix[MLS_MATRICES]; /* indexed by mls_matrix */
    bool per_head;             /* one spectrum per head instead of one per layer */
    size_t draws; /* of windows, for intervals: MLS_SPECTRA_DRAWS; 0: none */
    size_t seed;  /* of the draws */
    struct mls_parts
        *parts; /* of a run that several processes share; NULL: not so. Rows
                                of others stay empty while a part is made */
} mls_spectra_request;

typedef struct mls_spectra_row {
    size_t layer;
    mls_matrix matrix;
    size_t head; /* or MLS_WHOLE_LAYER */
    mls_spectrum spectrum;
    mls_spectrum_spread spread; /* of spectra with data; windows 0: not known */
} mls_spectra_row;

/** Ordered by layer, then matrix, then head. */
typedef struct mls_spectra {
    size_t n;
    mls_spectra_row *row; /* (n) */
} mls_spectra;

void mls_spectra_free(mls_spectra *s); /* {0} is accepted */

/**
 * What is measured follows from what is given:
 *   model only         the weights themselves
 *   model and capture  the weights times the captured second moment of their input;
 *                      MLS_E_INPUT when the capture is of another model
 *   capture only       captured outputs of each head (bias and QK-norm included);
 *                      of whole layers the moments are those of the kept windows
 *
 * Intervals come from the capture's windows in any case.
 *
 * @return MLS_OK, MLS_E_INPUT (whole layers of a capture without windows; k_rot of a
 *         model), or what reading and LAPACK say
 */
mls_status mls_spectra_run(mls_spectra *s, const mls_model *model, mls_capture *capture,
                           const mls_spectra_request *request, mls_pool *pool,
                           const mls_progress *progress, mls_err *err);

#endif
