/*
 * How sure a ranking of chunks is: intervals, chances, and whether more text would
 * help.
 */
#ifndef MLS_BOOTSTRAP_H
#define MLS_BOOTSTRAP_H

#include <stddef.h>
#include <stdint.h>

#include "analysis/frequency/rule_scores.h"

/** Of one layer under one rule. */
typedef struct mls_bootstrap {
    double *low, *high; /* (G, C): 95 % percentile interval of the score */
    double *in_top; /* (n_chunks, G, C): share of resamples that have the chunk among
                           the first chunks[i] of its head */
} mls_bootstrap;

/**
 * Draw the units (sequences or windows) B times with replacement (Efron's percentile
 * bootstrap), rank anew each time. Heads share the draws, and so do layers for one
 * seed.
 *
 * @param s         mls_rule_scores_resampled()
 * @param chunks    (n_chunks) budgets
 * @param[out] out  release with mls_bootstrap_free(); {0} on error
 */
mls_status mls_bootstrap_make(mls_bootstrap *out, const mls_rule_scores *s,
                              const size_t *chunks, size_t n_chunks, size_t B,
                              uint64_t seed, mls_pool *pool, mls_err *err);
void mls_bootstrap_free(mls_bootstrap *b); /* {0} is accepted */

enum { MLS_STABILITY_SIZES = 24, MLS_STABILITY_DRAWS = 20 };

/** Agreement of two samples that share nothing, by their size. */
typedef struct mls_stability {
    size_t n;                          /* sizes: 1, 2, 4, ... and half of all units */
    size_t units[MLS_STABILITY_SIZES]; /* in each of the two samples */
    double
        *overlap; /* (n, n_chunks): mean share of the first chunks[i] that both have */
    double correlation[MLS_STABILITY_SIZES]; /* Spearman's, mean over heads */
} mls_stability;

/**
 * For each size draw MLS_STABILITY_DRAWS times two disjoint samples of units, rank by
 * each, and compare, mean over heads. The last size is the agreement of two halves;
 * where the curve no longer rises more text does not help. At least two units.
 *
 * @param[out] out  release with mls_stability_free(); {0} on error
 */
mls_status mls_stability_make(mls_stability *out, const mls_rule_scores *s,
                              const size_t *chunks, size_t n_chunks, uint64_t seed,
                              mls_err *err);
void mls_stability_free(mls_stability *s); /* {0} is accepted */

#endif
