/* Second moments of one layer's attention: all that most methods need of the data. */
#ifndef MLS_STATS_H
#define MLS_STATS_H

#include <stddef.h>

#include "common/base/status.h"
#include "datasets/checkpoint/config.h"

/**
 * Means over all calibration tokens, in double. "second" is the uncentred second moment
 * E[u u^T], symmetric; centre it with the mean where a formula wants a covariance.
 * q, k, v include the bias and QK-norm; before RoPE unless the name says rot.
 */
typedef struct mls_layer_stats {
    size_t E, H, G, D, C;
    double n_tokens;
    double *x_second; /* (E, E), the input of the projections (after the norm) */
    double *x_mean;   /* (E) */
    double *x_abs;    /* (E), mean of |x| */
    double *q_second, *q_mean;         /* (H, D, D), (H, D) */
    double *k_second, *k_mean;         /* (G, D, D), (G, D) */
    double *v_second, *v_mean;         /* (G, D, D), (G, D) */
    double *kv_cross;                  /* (G, D, D): E[k v^T] */
    double *q_rot_second, *q_rot_mean; /* (H, D, D), (H, D): after RoPE */
    double *k_rot_second, *k_rot_mean; /* (G, D, D), (G, D): after RoPE */
    double *q_norm, *k_norm;           /* (H, C), (G, C): mean 2-norm of each chunk */

    double *block; /* all of the above in this order, n_block values */
    size_t n_block;
} mls_layer_stats;

/** Zeroed arrays of the right sizes; release with mls_layer_stats_free(). */
mls_status mls_layer_stats_new(mls_layer_stats *s, const mls_config *config,
                               mls_err *err);
/** The same without the large x_second, which is NULL: what one job sums up. */
mls_status mls_layer_stats_new_small(mls_layer_stats *s, const mls_config *config,
                                     mls_err *err);
void mls_layer_stats_free(mls_layer_stats *s); /* {0} is accepted */
/** n_block of mls_layer_stats_new(), without taking memory. */
size_t mls_layer_stats_size(const mls_config *config);

/**
 * Second moment of y = W x + b from that of x: E[y y^T]. W (n, E), b (n) or NULL.
 * With S = E[x x^T] and m = E[x]: W S W^T + W m b^T + b (W m)^T + b b^T.
 * @param[out] second  (n, n)
 * @return MLS_OK, MLS_E_ARG (s has no x_second) or MLS_E_NOMEM
 */
mls_status mls_second_of_outputs(double *second, const mls_layer_stats *s,
                                 const float *w, const float *b, size_t n,
                                 mls_err *err);

#endif
