/* All windows of a capture through a list of cache quantizers. */
#ifndef MLS_QUANT_SURVEY_H
#define MLS_QUANT_SURVEY_H

#include <stddef.h>

#include "analysis/capture/capture.h"
#include "analysis/numeric/interval.h"
#include "analysis/survey/quant_error.h"
#include "common/system/pool.h"
#include "common/system/progress.h"

/** A choice from every family, for a first look; NULL at the end. */
extern const char *const mls_quant_typical[];

/**
 * Read "int4,kivi2": names of quantizers with commas between them; "all" stands for
 * every format with 4 bits (or those it has).
 * @param[out] quant  released by the caller with free()
 * @return MLS_OK, MLS_E_ARG or MLS_E_NOMEM
 */
mls_status mls_quant_list(const char *text, mls_quant **quant, size_t *n, mls_err *err);

typedef enum mls_quant_part {
    MLS_PART_KEYS_BEFORE_ROPE,
    MLS_PART_KEYS_AFTER_ROPE,
    MLS_PART_VALUES,
    MLS_QUANT_PARTS,
} mls_quant_part;

/** Row-major results over all heads of a layer; owned. */
typedef struct mls_quant_survey {
    size_t L, W, n;              /* layers, windows, quantizers */
    mls_quant_sums *sums;        /* (L, W, n, MLS_QUANT_STAGES) */
    mls_channel_stats *channels; /* (L, W, MLS_QUANT_PARTS): means over heads */
} mls_quant_survey;

/**
 * Jobs are (window, KV head) of one layer after the other; the numbers do not depend on
 * how many threads the pool has.
 *
 * @param quant    (n), each fits the head dimension; n may be 0
 * @param queries  as in mls_quant_errors()
 * @param[out] s   release with mls_quant_survey_free()
 * @return MLS_OK, MLS_E_INPUT (no windows in the capture), MLS_E_NUMERIC,
 *         MLS_E_STOPPED, MLS_E_IO or MLS_E_NOMEM
 */
mls_status mls_quant_survey_run(mls_quant_survey *s, mls_capture *c,
                                const mls_quant *quant, size_t n, size_t queries,
                                mls_pool *pool, const mls_progress *progress,
                                mls_err *err);
void mls_quant_survey_free(mls_quant_survey *s); /* {0} is accepted */

/**
 * Figures of one quantizer: means over windows with 95 % intervals. Over all layers
 * each window's figure is the mean of the layers' own.
 */
typedef struct mls_quant_figures {
    mls_mean key, value;   /* |x' - x|^2 / |x|^2 */
    mls_mean score;        /* rms of score errors over rms of scores, about the mean */
    mls_mean score_nat;    /* rms of score errors, nat */
    mls_mean output_key;   /* |o' - o|^2 / |o|^2: quantized keys, exact values */
    mls_mean output_value; /* exact keys, quantized values */
    mls_mean output;       /* both quantized */
} mls_quant_figures;

enum { MLS_ALL_LAYERS = -1 };

/** @param layer  a layer, or MLS_ALL_LAYERS */
mls_status mls_quant_survey_figures(mls_quant_figures *f, const mls_quant_survey *s,
                                    size_t quantizer, mls_quant_stage stage, int layer,
                                    mls_err *err);

#endif
