/* Spectra as tables: how low the rank is, with and without rotation, across layers. */
#ifndef MLS_RANK_TABLES_H
#define MLS_RANK_TABLES_H

#include <stdbool.h>

#include "analysis/spectrum/latent_top.h"
#include "analysis/spectrum/neighbours.h"
#include "analysis/spectrum/spectra.h"
#include "reports/page/table.h"

/** What the singular values are of. */
typedef enum mls_rank_source {
    MLS_RANK_OF_WEIGHTS, /* rounding bounds */
    MLS_RANK_OF_DATA,    /* intervals, where windows give them */
} mls_rank_source;

/** A row per spectrum, with a label to quote: "rank-deficient: values of layer 3". */
mls_status mls_rank_table(mls_table *t, const mls_spectra *s, mls_rank_source of,
                          mls_err *err);
/** A row per singular value. */
void mls_sigma_table(mls_table *t, const mls_spectra *s, mls_rank_source of);
/** A row per pair of layers and matrix. @return NULL when memory is short */
mls_table *mls_neighbours_table(const mls_neighbours *n);
/** A row per layer and rank. */
mls_table *mls_latent_top_table(const mls_latent_top *top);

/** rank-rotation: ranks at 95 % by layer, keys before and after RoPE, and values. */
mls_status mls_rotation_plot(const char *folder, const mls_spectra *s, mls_err *err);
/** rank-neighbours: pooled ranks of pairs beside what they would be apart. */
mls_status mls_neighbours_plot(const char *folder, const mls_neighbours *n,
                               mls_err *err);
/** top-tokens: share of the top tokens found, by layer. */
mls_status mls_latent_top_plot(const char *folder, const mls_latent_top *top,
                               mls_err *err);

#endif
