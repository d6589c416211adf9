/*
 * Errors of a latent form predicted from second moments alone: no forward pass, no
 * stored keys (docs/METHODS.md, "Predicted errors").
 *
 * Tokens are taken as independent draws with the captured second moment, the query at
 * distance delta behind its key, all causal distances of a window weighted as they
 * occur. Every error is free of the basis that a method chose for its keys.
 */
#ifndef MLS_PREDICT_H
#define MLS_PREDICT_H

#include <stddef.h>

#include "analysis/latent/latent.h"
#include "analysis/latent/own_moments.h"
#include "analysis/model/model.h"
#include "analysis/model/stats.h"
#include "common/base/status.h"
#include "common/system/pool.h"

/** NaN where a quantity does not exist for the form (norms, shared layers). */
typedef struct mls_predicted {
    /** E|k - best linear read-back from the cache|^2 / E|k|^2, of its KV head. */
    double key;
    /** E|v_hat - v|^2 / E|v|^2, of its KV head; needs n_value = D. */
    double value;
    /**
     * Root mean square of (s_hat - s) around its mean over the keys of a query, in nat:
     * what a softmax can see of a logit error. RoPE that was removed counts.
     */
    double logit;
    /** The same divided by that of s itself. */
    double logit_relative;
    /** E|W_O,h (v_hat - v)|^2 / E|W_O,h v|^2 with the form's own W_O. */
    double output;
    /**
     * sum |o_hat - o|^2 / sum |o|^2 of the layer's attention output on captured
     * windows: no prediction, but of this layer alone (output_error.h, which
     * fills it in).
     */
    double attention;
} mls_predicted;

/**
 * @param[in,out] own  of the layer and its statistics, or {0}: filled where needed;
 *                    released by the caller with mls_own_moments_free()
 * @param T           window length whose causal distances are weighted
 * @param pool        KV heads are its jobs
 * @param[out] head   (H) per query head; may be NULL
 * @param[out] layer  over all heads: sums of numerators over sums of denominators; for
 *                    `logit` the root mean square over heads
 * @return MLS_OK, MLS_E_NOMEM or MLS_E_NUMERIC
 */
mls_status mls_predict(const mls_latent_form *f, const mls_config *config,
                       const mls_layer *w, const mls_layer_stats *stats,
                       mls_own_moments *own, size_t T, mls_pool *pool,
                       mls_predicted *head, mls_predicted *layer, mls_err *err);

/**
 * Mean over layers of each error; NaN where a layer has none.
 * @param each  (L); NULL: all NaN
 */
mls_predicted mls_predicted_mean(const mls_predicted *each, size_t L);

#endif
