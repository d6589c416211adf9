/*
 * [B; C; x'] = W_in x,  y = W_out (C * conv(B * x')): modeling_lfm2.py of Hugging Face
 * transformers, Lfm2ShortConv. There is no activation; the state are the convolution's
 * last inputs.
 */
#include "analysis/recurrent/short_conv.h"

#include "analysis/numeric/kernels.h"
#include "analysis/recurrent/causal_conv.h"

size_t mls_short_conv_scratch(const mls_short_conv *w)
{
    return 5 * w->E;
}

void mls_short_conv_run(const mls_short_conv *w, const float *x, size_t T, float *out,
                        float *scratch)
{
    const size_t E = w->E;
    float *made = scratch, *gated = made + 3 * T * E, *mixed = gated + T * E;

    mls_linear(made, x, w->in, w->in_bias, T, 3 * E, E);
    for (size_t t = 0; t < T; t++)
        for (size_t e = 0; e < E; e++)
            gated[t * E + e] = made[t * 3 * E + e] * made[t * 3 * E + 2 * E + e];
    mls_causal_conv(mixed, gated, w->conv, w->conv_bias, T, E, w->taps);
    for (size_t t = 0; t < T; t++)
        for (size_t e = 0; e < E; e++)
            mixed[t * E + e] *= made[t * 3 * E + E + e];
    mls_linear(out, mixed, w->out, w->out_bias, T, E, E);
}
