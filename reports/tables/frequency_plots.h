/* Pictures of a frequency analysis, as people know them from the papers. */
#ifndef MLS_FREQUENCY_PLOTS_H
#define MLS_FREQUENCY_PLOTS_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/frequency/frequency.h"
#include "common/base/status.h"
#include "datasets/checkpoint/config.h"

/** A map of chunk scores, rows of KV heads. Borrowed for the call. */
typedef struct mls_frequency_map {
    const mls_config *config;
    const char *title;
    const double *score;    /* (L, G, C), not negative */
    const bool *kept;       /* (L, G, C): marked */
    const double *inv_freq; /* (L, C) */
} mls_frequency_map;

enum { MLS_MAP_NAME = 48 };

/** Layers that fit into one picture. */
size_t mls_frequency_map_layers(const mls_config *config);

/** Rows of layers first .. last-1: KV heads of those that have keys and values. */
size_t mls_frequency_map_rows(const mls_frequency_map *map, size_t first, size_t last);

/**
 * Write layers first .. last-1, at least one row, as mls_plot_write() does.
 * @param[out] name  of the plot: "contribution", or "contribution-FIRST" for a part
 */
mls_status mls_frequency_map_plot(const char *folder, const mls_frequency_map *map,
                                  size_t first, size_t last, char name[MLS_MAP_NAME],
                                  mls_err *err);

/** frequency-error: score error against budgets by rule. f holds costs. */
mls_status mls_frequency_error_plot(const char *folder, const mls_frequency *f,
                                    mls_err *err);

/** Has any rule an agreement of two samples? */
bool mls_frequency_has_stability(const mls_frequency *f);

/** frequency-stability: agreement of two samples by their size, budget b. */
mls_status mls_frequency_stability_plot(const char *folder, const mls_frequency *f,
                                        size_t b, mls_err *err);

/**
 * All of these that f has numbers for, drawn; the map shows the first rule whose
 * scores are all zero or more.
 * @param b  budget of the map, overlaps and stability
 */
mls_status mls_frequency_plots(const char *folder, const mls_frequency *f, size_t b,
                               mls_err *err);

#endif
