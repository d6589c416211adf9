/* Coordinates in which a layer's inputs are white, for training (layer.c). */
#ifndef MLS_WHITENING_H
#define MLS_WHITENING_H

#include <stddef.h>

#include "analysis/heal/parameters.h"
#include "common/base/status.h"

/**
 * C^1/2 and C^-1/2, (E, E) each, of the second moment C of rows x (tokens, E) plus
 * damping times its mean eigenvalue.
 *
 * @return MLS_OK, MLS_E_NOMEM or MLS_E_NUMERIC
 */
mls_status mls_whitening(double *root, double *inverse, const float *x, size_t tokens,
                         size_t E, double damping, mls_err *err);

/** y (rows, E) = x a, a symmetric; y may be x; room (2, rows, E). */
void mls_turn_rows(float *y, const float *x, const double *a, size_t rows, size_t E,
                   double *room);

/** Every matrix in theta that acts on the layer's input is multiplied by a (E, E). */
mls_status mls_turn_inputs(const mls_parameters *p, float *theta, const double *a,
                           size_t E, mls_err *err);

#endif
