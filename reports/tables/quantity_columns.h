/* Columns of a table that show measured quantities, by their keys. */
#ifndef MLS_QUANTITY_COLUMNS_H
#define MLS_QUANTITY_COLUMNS_H

#include "bench/evaluate/quantities.h"
#include "reports/page/table.h"

/**
 * A column for each key of a list with spaces between; '-' before it: not on a screen,
 * '~': on a screen where a layer of the model keeps bytes that do not grow.
 */
void mls_quantity_columns(mls_table *t, const char *keys, const mls_config *config);
/** Their cells of one setting. */
void mls_quantity_cells(mls_table *t, const char *keys, const mls_compared *r);
/** The one of that name; MLS_E_ARG says that `option` has no such column. */
mls_status mls_quantity_among(const mls_quantity **out, const char *keys,
                              const char *option, const char *name, mls_err *err);

/** What tables of measured settings begin with. */
#define MLS_QUALITY_KEYS                                                               \
    "kept_percent bytes_per_token ~growing_bytes_per_token ~fixed_bytes perplexity "   \
    "perplexity_low perplexity_high kl kl_half"

/**
 * Columns for programs, the last of a table: `windows`, which tokens a row was measured
 * on, and `kl_of_windows`, its KL on each, by which two tables are paired.
 */
void mls_window_columns(mls_table *t);
/** @param corpus, scored  what was measured; N: 0 where nothing was */
void mls_window_cells(mls_table *t, const mls_corpus *corpus, int scored,
                      const double *kl, size_t N);
/** Why a setting was refused, for a column beside its name: the sentence without the
    setting before it. "": it was not (NULL). */
const char *mls_refused_reason(const char *refused, const char *setting);
/** Why some of n settings have no figures, a note for each. */
void mls_refused_notes(mls_table *t, const mls_compared *row, size_t n);

#endif
