/* What every head hears: concentration, curves over distances, reach. */
#ifndef MLS_CONCENTRATION_TABLES_H
#define MLS_CONCENTRATION_TABLES_H

#include "analysis/frequency/concentration.h"
#include "reports/page/table.h"

/** A row per query head. @return NULL when memory is short */
mls_table *mls_hearing_table(const mls_hearing *h);

/** Medians over heads, and how many heads have each name. */
typedef struct mls_hearing_summary {
    double r_q, r_k, correlation;
    size_t heads, sinks, local, far, diffuse;
} mls_hearing_summary;
mls_status mls_hearing_summarize(mls_hearing_summary *out, const mls_hearing *h,
                                 mls_err *err);

/** hearing-map: R of every head, the odd ones marked; as mls_plot_write(). */
mls_status mls_hearing_map(const char *folder, const mls_hearing *h, mls_err *err);
/** hearing-curves: predicted and true logits of a head of each name. */
mls_status mls_hearing_curves(const char *folder, const mls_hearing *h, mls_err *err);

#endif
