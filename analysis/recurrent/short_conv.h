/* LFM2's short convolution between two gates. */
#ifndef MLS_SHORT_CONV_H
#define MLS_SHORT_CONV_H

#include <stddef.h>

typedef struct mls_short_conv {
    size_t E, taps;
    const float *in, *in_bias;     /* (3 E, E), (3 E) or NULL: gates B and C, then x */
    const float *conv, *conv_bias; /* (E, taps), (E) or NULL */
    const float *out, *out_bias;   /* (E, E), (E) or NULL */
} mls_short_conv;

/** Floats of scratch per token. */
size_t mls_short_conv_scratch(const mls_short_conv *w);
/** out (T, E) of the normed input x (T, E). */
void mls_short_conv_run(const mls_short_conv *w, const float *x, size_t T, float *out,
                        float *scratch);

#endif
