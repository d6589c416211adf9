/* What a model's tokens lose: KL of the original's next tokens to a student's. */
#ifndef MLS_DIVERGENCE_H
#define MLS_DIVERGENCE_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/heal/real.h"
#include "analysis/model/model.h"

/** From hidden states to logits; all borrowed, NULL where the model has none. */
typedef struct mls_logits {
    size_t E, V;
    mls_norm_kind norm;
    bool norm_free;
    double eps, scale, cap; /* scale of the logits, 0: 1; cap tanh(. / cap), 0: none */
    const mls_real *gain, *gain_bias; /* (E) */
    const mls_real *w, *bias;         /* (V, E), (V) */
    mls_packed *packed;               /* float only: w in bfloat16, or NULL */
} mls_logits;

/** Numbers of scratch for mls_divergence(). */
size_t mls_divergence_scratch(const mls_logits *to);

/**
 * Sum over T tokens of KL(p || q), p the distribution of the next token after the
 * original's hidden states h, q that after the student's.
 *
 * @param h, student  (T, E) before the model's last norm
 * @param weight      of the sum in the loss whose gradient is wanted
 * @param[out] d      (T, E) gradient by student; NULL: not wanted
 * @return nat; not finite when a number is not
 */
double mls_divergence(const mls_logits *to, const mls_real *h, const mls_real *student,
                      size_t T, double weight, mls_real *d, mls_real *scratch);

#endif
