/*
 * Results of a capture that many settings ask for: the order of a layer's chunks does
 * not depend on the budget, nor a layer's sensitivity on the rank, so that each is
 * worked out once. They belong to the open capture file.
 */
#ifndef MLS_SHARED_RESULTS_H
#define MLS_SHARED_RESULTS_H

#include <stddef.h>

#include "analysis/frequency/rule_scores.h"
#include "analysis/latent/sensitivity.h"
#include "common/base/status.h"

typedef struct mls_shared_results mls_shared_results;

/**
 * Who looks for a result, works it out and adds it holds the pool's claim meanwhile
 * (mls_pool_claim(); mls_shared_sensitivity() does by itself); what was found may be
 * read without.
 *
 * @return those of this capture, which owns them; NULL when memory is short
 */
mls_shared_results *mls_shared_results_of(mls_capture *c);

/**
 * What was added for this layer and rule, borrowed until the capture is closed; NULL:
 * nothing. Its parts per unit are all NULL.
 */
const mls_rule_scores *mls_shared_rule(const mls_shared_results *r, size_t layer,
                                       const mls_rule *rule);

/**
 * Keep score, order and loss; what a bootstrap needs is freed.
 *
 * @param[in,out] s  taken over: {0} afterwards, whether this fails or not
 */
mls_status mls_shared_rule_add(mls_shared_results *r, size_t layer, mls_rule_scores *s,
                               mls_err *err);

/**
 * mls_sensitivity_measure() over all windows, once for each layer where those of all
 * layers take at most 256 MiB; else for the layer asked for last, because a pass over
 * the model asks layer by layer.
 *
 * @param layer     of the captured model
 * @param[out] out  borrowed until another layer is asked for
 */
mls_status mls_shared_sensitivity(const mls_sensitivity **out, mls_capture *capture,
                                  const mls_layer *layer, mls_pool *pool, mls_err *err);

#endif
