/* Scores of every chunk of one layer under one rule that looks at data. */
#ifndef MLS_RULE_SCORES_H
#define MLS_RULE_SCORES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analysis/frequency/greedy.h"
#include "analysis/frequency/rules.h"
#include "common/base/status.h"

/** What the rules look at. Borrowed; parts a rule does not need may be NULL. */
typedef struct mls_rule_data {
    size_t H, G, C;
    const double *q_norm, *k_norm; /* (N, H, C), (N, G, C): mean 2-norms per sequence */
    size_t N;
    const mls_chunk_windows *windows;
    uint64_t seed; /* of contribution-sampled */
} mls_rule_data;

/**
 * Scores and order per KV head (a group's query heads are summed). A unit is what is
 * drawn again by a bootstrap: a sequence for the norms, a window for the others.
 */
typedef struct mls_rule_scores {
    const mls_rule *rule;
    size_t H, G, C, units;
    /*
     * (G, C). Norms, contribution, ablation, kl: the score, ranked by it. Greedy rules:
     * what the loss fell by when the chunk was kept.
     */
    double *score;
    uint16_t *order; /* (G, C), most important first */
    double *loss;    /* (G, C + 1) of greedy rules: loss with the first r chunks; else
                        NULL */

    /* Per unit; all but one are NULL. */
    double *q_norm, *k_norm; /* (units, H, C), (units, G, C) */
    double *mean;            /* (units, G, C): means over pairs or queries */
    double *gram;            /* (units, G, C, C): mean of rho_c rho_c' over pairs */
    double *trace;           /* (G, C, C, units): mls_greedy */
} mls_rule_scores;

/**
 * @param rule      needs data (not MLS_NEEDS_CONFIG)
 * @param[out] out  release with mls_rule_scores_free(); {0} on error
 * @return MLS_OK, MLS_E_ARG (a rule of the shape), MLS_E_INPUT (data missing),
 *         MLS_E_STOPPED or MLS_E_NOMEM
 */
mls_status mls_rule_scores_make(mls_rule_scores *out, const mls_rule *rule,
                                const mls_rule_data *data, mls_pool *pool,
                                const mls_progress *progress, mls_err *err);
void mls_rule_scores_free(mls_rule_scores *s); /* {0} is accepted */

/**
 * False for searches whose order does not follow from sums over units (L1, greedy KL).
 */
bool mls_rule_scores_resampled(const mls_rule_scores *s);

/**
 * The scores and orders that some units give (a unit may come several times).
 * Only where mls_rule_scores_resampled().
 *
 * @param pick         (n) numbers of units
 * @param[out] score   (G, C)
 * @param[out] order   (G, C)
 * @param work         mls_rule_scores_work() doubles of scratch
 */
void mls_rule_scores_resample(const mls_rule_scores *s, const size_t *pick, size_t n,
                              double *score, uint16_t *order, double *work);
/** Doubles of scratch that mls_rule_scores_resample() needs. */
size_t mls_rule_scores_work(const mls_rule_scores *s);

#endif
