/* Tables of a frequency analysis: for the terminal, the report, CSV and JSON. */
#ifndef MLS_FREQUENCY_TABLES_H
#define MLS_FREQUENCY_TABLES_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/frequency/frequency.h"
#include "analysis/spectrum/rorope_survey.h"
#include "common/base/status.h"
#include "datasets/files/rankfile.h"
#include "reports/page/table.h"

/*
 * Each returns a new table, released with mls_table_free(), or NULL when memory is
 * short. Chunks and dims are always both there.
 */

/** One row per rule and budget: held-out costs with intervals, sureness, halves. */
mls_table *mls_frequency_summary_table(const mls_frequency *f);

/** One row per rule, budget and layer: the kept chunks of every KV head. */
mls_table *mls_frequency_selection_table(const mls_frequency *f);

/** One row per rule, layer, KV head and chunk: score, interval, place, chances. */
mls_table *mls_frequency_score_table(const mls_frequency *f);

/** One row per chunk: wavelength, and how often each rule keeps it (budget b). */
mls_table *mls_frequency_chunk_table(const mls_frequency *f, size_t b);

/** One row per rule, budget and layer (and query head): costs on held-out windows. */
mls_table *mls_frequency_cost_table(const mls_frequency *f, bool per_head);

/** Jaccard index of every two rules for budget b; per layer or overall. */
mls_table *mls_frequency_overlap_table(const mls_frequency *f, size_t b,
                                       bool per_layer);

/** One row per rule and sample size: agreement of two samples that share nothing. */
mls_table *mls_frequency_stability_table(const mls_frequency *f);

/**
 * One row per rule and budget: how far it agrees with a rank file made elsewhere. A
 * file with query heads is compared head by head with their KV heads.
 *
 * @param name  of the file
 * @return MLS_OK, MLS_E_INPUT (layers, heads or chunks differ from the capture's) or
 *         MLS_E_NOMEM
 */
mls_status mls_frequency_against_table(mls_table **out, const mls_frequency *f,
                                       const mls_rankfile *file, const char *name,
                                       bool per_layer, mls_err *err);

/** One row per freqfold and collapse (and layer): energy in the shared rope key. */
mls_table *mls_rorope_table(const mls_rorope_survey *s, bool per_layer);

#endif
