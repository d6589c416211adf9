/*
 * How much a layer's output minds errors in what it caches (docs/METHODS.md,
 * "Sensitivity"). To first order, with a the attention of query i on key j, o the
 * head's output and M = W_O,h^T W_O,h:
 *
 *   d(W_O o_i) = sum_j a_ij W_O (v_j - o_i) q_ij^T dk_j  +  sum_j a_ij W_O dv_j
 *
 * so that errors dk, dv independent from token to token with second moments S_dk, S_dv
 * cost tr(key S_dk) + tr(value S_dv), with
 *
 *   key   = sum_ijh a_ij^2 |v_j - o_i|_M^2 q_ij q_ij^T scale^2     (per query)
 *   value = sum_ijh a_ij^2 M
 *
 * where q_ij is the query turned into the frame of the unrotated key j.
 */
#ifndef MLS_SENSITIVITY_H
#define MLS_SENSITIVITY_H

#include <stddef.h>

#include "analysis/capture/capture.h"
#include "analysis/model/model.h"
#include "common/base/status.h"
#include "common/system/pool.h"

/** Sums over the query heads of each KV head, means over queries. */
typedef struct mls_sensitivity {
    size_t G, D;
    double *key;       /* (G, D, D) for keys that are rotated after reading */
    double *key_plain; /* (G, D, D) for dims that are never rotated: q as it is */
    double *value;     /* (G, D, D) */
} mls_sensitivity;

/**
 * From the capture's windows of layer l.
 *
 * @param n_windows   at most so many; 0: all
 * @param[out] s      release with mls_sensitivity_free(); {0} on error
 * @return MLS_OK, MLS_E_INPUT (the capture has no windows), MLS_E_NOMEM, MLS_E_IO
 */
mls_status mls_sensitivity_measure(mls_sensitivity *s, mls_capture *capture,
                                   const mls_layer *layer, size_t n_windows,
                                   mls_pool *pool, mls_err *err);
void mls_sensitivity_free(mls_sensitivity *s); /* {0} is accepted */

#endif
