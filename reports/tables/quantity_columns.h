/* Columns of a table that show measured quantities, by their keys. */
#ifndef MLS_QUANTITY_COLUMNS_H
#define MLS_QUANTITY_COLUMNS_H

#include "bench/evaluate/quantities.h"
#include "reports/page/table.h"

/**
 * A column for each key of a NULL-terminated list; '-' before it: not on a screen, '~':
 * on a screen where a layer of the model keeps bytes that do not grow.
 */
void mls_quantity_columns(mls_table *t, const char *const *keys,
                          const mls_config *config);
/** Their cells of one setting. */
void mls_quantity_cells(mls_table *t, const char *const *keys, const mls_compared *r);
/**
 * Columns for programs, the last of a table: `windows`, which tokens a row was measured
 * on, and `kl_of_windows`, its KL on each, by which two tables are paired.
 */
void mls_window_columns(mls_table *t);
/** @param corpus, scored  what was measured; N: 0 where nothing was */
void mls_window_cells(mls_table *t, const mls_corpus *corpus, int scored,
                      const double *kl, size_t N);
/** Why some of n settings have no figures, a note for each. */
void mls_refused_notes(mls_table *t, const mls_compared *row, size_t n);

#endif
