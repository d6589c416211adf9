/* Mamba-2: a state space of one decay per head. */
#ifndef MLS_MAMBA2_H
#define MLS_MAMBA2_H

#include <stdbool.h>
#include <stddef.h>

typedef struct mls_mamba2 {
    size_t E, heads, P, groups, N, taps; /* head dim, groups of B and C, state */
    size_t norm_groups;                  /* the norm runs over heads P / norm_groups */
    double eps, dt_min, dt_max;          /* dt_max 0: no limit */
    const float *in, *in_bias;     /* (2 heads P + 2 groups N + heads, E): z, xBC, dt */
    const float *conv, *conv_bias; /* (heads P + 2 groups N, taps), () or NULL */
    const float *dt_bias, *a_log, *d; /* (heads) each */
    const float *norm;                /* (heads P), or NULL */
    bool norm_first;                  /* it stands before the gate */
    const float *out, *out_bias;      /* (E, heads P), (E) or NULL */
} mls_mamba2;

/** Floats of scratch for T tokens; it is aligned for doubles. */
size_t mls_mamba2_scratch(const mls_mamba2 *w, size_t T);
/** out (T, E) of the normed input x (T, E). */
void mls_mamba2_run(const mls_mamba2 *w, const float *x, size_t T, float *out,
                    float *scratch);

#endif
