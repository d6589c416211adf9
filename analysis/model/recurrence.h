/* A recurrent layer of a model, by its kind. */
#ifndef MLS_RECURRENCE_H
#define MLS_RECURRENCE_H

#include "analysis/model/model.h"

/** Floats of scratch per token, and those of the state. */
size_t mls_recurrence_scratch(const mls_config *config);
size_t mls_recurrence_state(const mls_config *config);

/** out (T, E) of the normed input x (T, E). */
void mls_recurrence_run(const mls_config *config, const mls_layer *layer,
                        const float *x, size_t T, float *out, float *scratch);

#endif
