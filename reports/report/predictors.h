/* Which error, predicted without running a converted model, tells what it will lose? */
#ifndef MLS_PREDICTORS_H
#define MLS_PREDICTORS_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/latent/predict.h"
#include "common/base/status.h"
#include "reports/page/table.h"

/** A setting: what was predicted and what was measured. Texts are borrowed. */
typedef struct mls_prediction {
    const char *method, *setting;
    double size; /* settings of equal size are ranked among themselves, too */
    mls_predicted predicted; /* mean over layers; NaN where there is none */
    double kl;               /* measured */
} mls_prediction;

enum { MLS_PREDICTORS = 5 };

/** How well one kind of error ranks settings as their measured KL does. */
typedef struct mls_predictor {
    const char *name; /* "key error" */
    size_t n; /* settings that have it; a form without any error, round-off aside, has
                 none: its method loses elsewhere, as where tokens are dropped */
    double rank; /* Spearman's correlation over all of them */
    /*
     * The same among settings of equal size, mean over the sizes with at least four of
     * them, weighted by their number; the choice that a size leaves. NaN: no such size.
     */
    double rank_equal_size;
} mls_predictor;

/** @return MLS_OK or MLS_E_NOMEM */
mls_status mls_predictors_rank(mls_predictor rank[MLS_PREDICTORS],
                               const mls_prediction *p, size_t n, mls_err *err);

/**
 * One sentence: which predictor ranks best, how well, and which worst; by
 * rank_equal_size, or by rank where there is none. @return out, cut at size
 */
const char *mls_predictors_say(const mls_predictor rank[MLS_PREDICTORS], char *out,
                               size_t size);

/** The ranks as a table; NULL when memory is short. */
mls_table *mls_predictors_table(const mls_predictor rank[MLS_PREDICTORS]);

/** The predictor of the highest correlation; MLS_PREDICTORS: none has one. */
size_t mls_predictors_best(const mls_predictor rank[MLS_PREDICTORS]);

enum { MLS_PREDICTOR_NAME = 32 };

/**
 * Write predictor k against measured KL as mls_plot_write() does.
 * @param[out] name   of the plot
 * @param[out] drawn  false, and nothing is written, when it has fewer than two points
 */
mls_status mls_predictor_plot(const char *folder, const mls_prediction *p, size_t n,
                              size_t k, char name[MLS_PREDICTOR_NAME], bool *drawn,
                              mls_err *err);

#endif
