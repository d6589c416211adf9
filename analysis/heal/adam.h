/* Adam over one vector of parameters, each array at a rate that fits its numbers. */
#ifndef MLS_ADAM_H
#define MLS_ADAM_H

#include <stddef.h>

#include "analysis/heal/parameters.h"
#include "common/base/status.h"

typedef struct mls_adam {
    size_t n, steps;
    float *mean, *square; /* (n) running moments of the gradient */
    float *scale;         /* (n) size of the numbers about this one at the start */
} mls_adam;

/**
 * @param theta     (n) numbers at the start: steps are in units of their size, by row
 *                  and column of their array
 * @param[out] out  release with mls_adam_free(); {0} on error
 */
mls_status mls_adam_new(mls_adam *out, const mls_parameters *p, const float *theta,
                        mls_err *err);
void mls_adam_free(mls_adam *a); /* {0} is accepted */

/** Forget the gradients seen; the sizes stay. */
void mls_adam_restart(mls_adam *a);

/** One step of at most about rate times the size of the numbers. */
void mls_adam_step(mls_adam *a, float *theta, const float *gradient, double rate);

#endif
