/*
 * What neighbouring layers' caches have in common: could one latent serve several
 * layers? (CommonKV, arXiv 2508.16134; xKV, arXiv 2503.18893.)
 */
#ifndef MLS_NEIGHBOURS_H
#define MLS_NEIGHBOURS_H

#include <stddef.h>
#include <stdint.h>

#include "analysis/capture/capture.h"
#include "analysis/numeric/interval.h"
#include "analysis/spectrum/spectrum.h"
#include "common/base/status.h"
#include "common/system/pool.h"
#include "common/system/progress.h"

/**
 * Layers first and second, one after the other among those with a cache of their own,
 * on the same tokens. Half widths as mls_spectrum_spread has them; NaN: not known.
 */
typedef struct mls_neighbours_row {
    size_t first, second;
    mls_matrix matrix;
    size_t rank[2];   /* directions that hold 95 % of each layer's energy */
    mls_mean pooled;  /* the same of both side by side, each with energy 1 */
    mls_mean overlap; /* mean squared cosine of the principal angles between what the
                         leading directions make of the tokens: 1: one lies in the
                         other */
    mls_mean angle;   /* median angle, degrees */
    mls_mean largest; /* the largest of them */
    mls_mean inputs;  /* mean cosine of the tokens' inputs to both layers */
} mls_neighbours_row;

typedef struct mls_neighbours {
    size_t n;
    mls_neighbours_row *row; /* by pair, then k, k_rot, v */
    size_t tokens;           /* that angles are taken over: overlap by chance is rank of
                                them */
} mls_neighbours;

/**
 * @param draws     of windows, for intervals; 0: none
 * @param[out] out  release with mls_neighbours_free(); {0} on error
 * @return MLS_OK, MLS_E_INPUT (a capture without windows), MLS_E_NUMERIC,
 *         MLS_E_STOPPED or MLS_E_NOMEM
 */
mls_status mls_neighbours_run(mls_neighbours *out, mls_capture *capture, size_t draws,
                              uint64_t seed, mls_pool *pool,
                              const mls_progress *progress, mls_err *err);
void mls_neighbours_free(mls_neighbours *n); /* {0} is accepted */

#endif
