/*
 * Depthwise causal convolution, as linear attention, Mamba and LFM2 have it: a channel
 * mixes its own last taps, with the oldest tap first (torch.nn.Conv1d with
 * groups = channels, cut to the first T outputs).
 */
#include "analysis/recurrent/causal_conv.h"

void mls_causal_conv(float *y, const float *x, const float *w, const float *bias,
                     size_t T, size_t n, size_t taps)
{
    for (size_t t = 0; t < T; t++)
        for (size_t c = 0; c < n; c++) {
            double sum = bias ? (double)bias[c] : 0;

            for (size_t j = t + 1 < taps ? taps - 1 - t : 0; j < taps; j++)
                sum += (double)w[c * taps + j] * (double)x[(t + 1 + j - taps) * n + c];
            y[t * n + c] = (float)sum;
        }
}
