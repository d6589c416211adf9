#include "analysis/model/rope.h"

#include <math.h>

#include "analysis/numeric/vector.h"

static const double two_pi = 6.283185307179586476925;

/* Hugging Face modeling_rope_utils, _compute_llama3_parameters. */
static double llama3_frequency(double f, const mls_rope_config *rope)
{
    const double turns = rope->original_max_position * f / two_pi;
    const double low = rope->low_freq_factor, high = rope->high_freq_factor;

    if (turns > high)
        return f;
    if (turns < low || high <= low)
        return f / rope->factor;
    const double smooth = (turns - low) / (high - low);
    return (1.0 - smooth) * f / rope->factor + smooth * f;
}

void mls_rope_frequencies(double *inv_freq, const mls_rope_config *rope, size_t D)
{
    for (size_t c = 0; c < D / 2; c++) {
        const double f = pow(rope->theta, -2.0 * (double)c / (double)D);

        inv_freq[c] = rope->type == MLS_ROPE_LLAMA3   ? llama3_frequency(f, rope)
                      : rope->type == MLS_ROPE_LINEAR ? f / rope->factor
                                                      : f;
    }
}

void mls_rope_table(float *cs, const double *inv_freq, size_t n_chunks, size_t T)
{
    for (size_t t = 0; t < T; t++)
        for (size_t c = 0; c < n_chunks; c++) {
            const double angle = (double)t * inv_freq[c];

            cs[2 * (t * n_chunks + c)] = (float)cos(angle);
            cs[2 * (t * n_chunks + c) + 1] = (float)sin(angle);
        }
}

/* One row: (a, b) becomes (a cos - b sin, b cos + a sin). */
MLS_WIDE
static void turn(float *restrict a, float *restrict b, const float *restrict cs,
                 float sign, size_t n_chunks)
{
    for (size_t c = 0; c < n_chunks; c++) {
        const float cos_c = cs[2 * c], sin_c = sign * cs[2 * c + 1];
        const float a_c = a[c], b_c = b[c];

        a[c] = a_c * cos_c - b_c * sin_c;
        b[c] = b_c * cos_c + a_c * sin_c;
    }
}

void mls_rope_apply(float *x, size_t stride, const float *cs, size_t n_chunks, size_t T,
                    int sign)
{
    for (size_t t = 0; t < T; t++)
        turn(x + t * stride, x + t * stride + n_chunks, cs + 2 * t * n_chunks,
             sign < 0 ? -1.0f : 1.0f, n_chunks);
}
