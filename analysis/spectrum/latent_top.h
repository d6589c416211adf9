/*
 * Which tokens matter, asked of a small latent: attention over few tokens chosen in a
 * latent of the keys (SALS, arXiv 2510.24273) is as good as the choice.
 */
#ifndef MLS_LATENT_TOP_H
#define MLS_LATENT_TOP_H

#include <stddef.h>

#include "analysis/capture/capture.h"
#include "analysis/numeric/interval.h"
#include "common/base/status.h"
#include "common/system/pool.h"
#include "common/system/progress.h"

/** An eighth of the tokens that a query sees is chosen, as SALS does. */
enum { MLS_LATENT_TOP_SHARE = 8 };

/** Means over query heads and queries; intervals over windows. */
typedef struct mls_latent_top_row {
    size_t layer, rank;
    mls_mean found; /* share of the true top tokens that scores of the latent find, not
                       turned at all */
    mls_mean mass;  /* attention on the chosen over that on the true top */
    mls_mean turned_found, turned_mass; /* keys read back and turned first */
} mls_latent_top_row;

typedef struct mls_latent_top {
    size_t n;
    mls_latent_top_row *row; /* by layer, then rank */
} mls_latent_top;

/**
 * One latent for all keys of a layer: the leading directions of their second moment
 * before RoPE. Queries are 32 of the later half of each window.
 *
 * @param rank      (n_ranks) numbers of the latent, at most those of a layer's keys
 * @param[out] out  release with mls_latent_top_free(); {0} on error
 * @return MLS_OK, MLS_E_INPUT (no windows; a rank), MLS_E_NUMERIC, MLS_E_STOPPED or
 *         MLS_E_NOMEM
 */
mls_status mls_latent_top_run(mls_latent_top *out, mls_capture *capture,
                              const size_t *rank, size_t n_ranks, mls_pool *pool,
                              const mls_progress *progress, mls_err *err);
void mls_latent_top_free(mls_latent_top *t); /* {0} is accepted */

#endif
