/* What depends on the length of windows: losses, their positions, choices of chunks. */
#ifndef MLS_LENGTH_TABLES_H
#define MLS_LENGTH_TABLES_H

#include "analysis/frequency/frequency.h"
#include "bench/evaluate/lengths.h"
#include "reports/page/table.h"

/**
 * Perplexity and KL of every variant at every length; notes say where the order turns.
 * @param name  (n variants)
 * @return NULL when memory is short
 */
mls_table *mls_length_table(const mls_lengths *l, const char *const *name);
/** What mls_length_table() warns of; "" when losses do not depend on the length. */
void mls_length_warning(char *out, size_t size, const mls_lengths *l,
                        const char *const *name);
/** NLL and KL by the tokens before the predicted one. */
mls_table *mls_position_table(const mls_evaluation *e, const char *const *name);
/** The same drawn: <folder>/plots/positions; mls_plot_write() and no picture yet. */
mls_status mls_position_plot(const char *folder, const mls_evaluation *e,
                             const char *const *name, mls_err *err);

/**
 * Chunks that rules keep at every length against those at the longest.
 * @param f  (n) of one capture and request, by rising length
 */
mls_table *mls_frequency_length_table(const mls_frequency *f, size_t n);
/** The rule whose choice depends most on the length; "" when none does. */
void mls_frequency_length_warning(char *out, size_t size, const mls_frequency *f,
                                  size_t n);

#endif
