/* A convolution over the last tokens, for each channel by itself. */
#ifndef MLS_CAUSAL_CONV_H
#define MLS_CAUSAL_CONV_H

#include <stddef.h>

/**
 * y_t,c = bias_c + sum_j w_c,j x_(t - taps + 1 + j),c; nothing stands before token 0.
 *
 * @param y     (T, n) out, not x
 * @param w     (n, taps)
 * @param bias  (n) or NULL
 */
void mls_causal_conv(float *y, const float *x, const float *w, const float *bias,
                     size_t T, size_t n, size_t taps);

#endif
