/* Who serves what, at which loss: before training, healed, forecast. One table. */
#ifndef MLS_SERVED_H
#define MLS_SERVED_H

#include "analysis/numeric/interval.h"
#include "reports/page/page.h"
#include "reports/report/report.h"
#include "reports/report/training.h"

/** One setting of a class at a share; NaN: not measured. */
typedef struct mls_served_row {
    mls_serve serve;
    double share;         /* asked, 0 to 1 */
    char *setting, *ties; /* ties: what is not told apart from it, or "" */
    double kept, perplexity;
    mls_mean kl, healed;
    double forecast, forecast_low, forecast_high;
} mls_served_row;

/** The rows so far, which sections add to. */
typedef struct mls_served {
    mls_served_row *row; /* (n), by class, then from the largest share */
    size_t n;
    bool failed; /* memory was short; mls_served_show() says so */
} mls_served;

/** The row of a setting, new and all NaN where there was none; NULL: no memory. */
mls_served_row *mls_served_row_of(mls_served *s, mls_serve serve, double share,
                                  const char *setting, const char *ties);
void mls_served_free(mls_served *s); /* {0} is accepted */

/**
 * The section `served` of the page, written anew, and data/served.csv.
 * @param forecast  NULL: there is none for healed settings
 */
mls_status mls_served_show(const mls_served *s, const mls_report *r,
                           const mls_forecast *forecast, mls_page *page, mls_err *err);

#endif
