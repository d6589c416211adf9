/* What is published, and what was measured here, about training after a conversion. */
#ifndef MLS_TRAINING_H
#define MLS_TRAINING_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/status.h"
#include "reports/page/table.h"

/**
 * A line in logarithms, log KL after training = intercept + slope log KL healed, fitted
 * to settings that were trained (bench/healing): forecast.csv.
 */
typedef struct mls_forecast {
    char model[64];  /* what it was fitted on */
    double settings; /* how many */
    double tokens;   /* of training */
    double intercept, slope;
    double factor;    /* 95 % of trained settings lie within it, left out of the fit */
    double low, high; /* healed KL that the fit saw: no forecast outside */
} mls_forecast;

/**
 * @param folder    datasets/healing
 * @param[out] out  where there is one
 * @return MLS_OK, also where there is no forecast.csv (*found false), or MLS_E_INPUT,
 *         MLS_E_NOMEM
 */
mls_status mls_forecast_read(mls_forecast *out, bool *found, const char *folder,
                             mls_err *err);
/** KL after training; NaN outside of what the fit saw. */
double mls_forecast_kl(const mls_forecast *f, double healed_kl);

/**
 * Published token budgets beside the GPU-hours of as many tokens on a model of so many
 * parameters.
 *
 * @param folder    datasets/healing
 * @param[out] out  release with mls_table_free(); NULL on error
 */
mls_status mls_budgets_table(mls_table **out, const char *folder, double parameters,
                             mls_err *err);

#endif
