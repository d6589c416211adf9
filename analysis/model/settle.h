/* A layer's weights, from the form of its family into the one form that is computed. */
#ifndef MLS_SETTLE_H
#define MLS_SETTLE_H

#include <stdbool.h>

#include "analysis/model/model.h"

/**
 * @param ready  norms of 1 + w are stored as such (GGUF)
 * @return MLS_OK or MLS_E_NOMEM
 */
mls_status mls_layer_settle(const mls_config *config, bool ready, mls_layer *layer,
                            mls_err *err);

/** Gains of n numbers: 1 + w where the family means that. */
void mls_gain_settle(const mls_config *config, bool ready, float *gain, size_t n);

#endif
