/* The gated delta rule: Qwen3-Next's and Qwen3.5's linear attention. */
#ifndef MLS_GATED_DELTA_H
#define MLS_GATED_DELTA_H

#include <stddef.h>

typedef struct mls_gated_delta {
    size_t E, groups, heads, K, V, taps; /* key heads, value heads, their dims */
    double eps;
    const float *in;         /* (2 groups K + heads V, E): q, k, v */
    const float *z;          /* (heads V, E) */
    const float *b, *a;      /* (heads, E) each */
    const float *conv;       /* (2 groups K + heads V, taps) */
    const float *dt_bias;    /* (heads) */
    const float *a_log;      /* (heads) */
    const float *norm, *out; /* (V), (E, heads V) */
} mls_gated_delta;

/** Floats of scratch for T tokens; it is aligned for doubles. */
size_t mls_gated_delta_scratch(const mls_gated_delta *w, size_t T);
/** out (T, E) of the normed input x (T, E). */
void mls_gated_delta_run(const mls_gated_delta *w, const float *x, size_t T, float *out,
                         float *scratch);

#endif
