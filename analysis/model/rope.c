/*
 * Frequencies are theta^(-2c/dims), stretched as Hugging Face's modeling_rope_utils.py
 * does it, one function for each type with the name of theirs. Angles are made in
 * double and only their cosines and sines are rounded: in float the angle of a late
 * token has no digits left behind the point. Chunks that do not turn have frequency 0,
 * so that no later code treats partial rotation apart.
 */
#include "analysis/model/rope.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

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

/* The chunk, counted in fractions, that turns n times in the original length. */
static double chunk_of_turns(const mls_rope_config *rope, double n, size_t dims)
{
    return (double)dims * log(rope->original_max_position / (n * two_pi)) /
           (2 * log(rope->theta));
}

/*
 * YaRN: chunks faster than beta_fast turns stay, those slower than beta_slow are
 * divided by the factor, a ramp lies between. _compute_yarn_parameters.
 */
static double yarn_frequency(double f, const mls_rope_config *rope, size_t c,
                             size_t dims)
{
    double low = chunk_of_turns(rope, rope->beta_fast, dims);
    double high = chunk_of_turns(rope, rope->beta_slow, dims);

    if (rope->whole_chunks) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0);
    high = fmin(high, (double)dims - 1);
    if (low == high)
        high += 0.001;

    const double ramp = fmin(fmax(((double)c - low) / (high - low), 0), 1);
    return f / rope->factor * ramp + f * (1 - ramp);
}

/* A longer sequence turns with a larger base: _compute_dynamic_ntk_parameters. */
static double dynamic_base(const mls_rope_config *rope, size_t dims)
{
    const double T = fmax((double)rope->length, rope->max_position);
    const double by = rope->factor * T / rope->max_position - (rope->factor - 1);

    return rope->theta * pow(by, (double)dims / ((double)dims - 2));
}

static double frequency(const mls_rope_config *rope, size_t c, size_t dims)
{
    const double base =
        rope->type == MLS_ROPE_DYNAMIC ? dynamic_base(rope, dims) : rope->theta;
    const double f = pow(base, -2.0 * (double)c / (double)dims);
    const bool beyond = (double)rope->length > rope->original_max_position;

    switch (rope->type) {
    case MLS_ROPE_LLAMA3:
        return llama3_frequency(f, rope);
    case MLS_ROPE_LINEAR:
        return f / rope->factor;
    case MLS_ROPE_YARN:
        return yarn_frequency(f, rope, c, dims);
    case MLS_ROPE_LONGROPE:
        return f / (double)(beyond ? rope->long_factor : rope->short_factor)[c];
    case MLS_ROPE_PROPORTIONAL:
        return c < (size_t)(rope->partial * (double)dims / 2) ? f / rope->factor : 0;
    case MLS_ROPE_DEFAULT:
    case MLS_ROPE_DYNAMIC:
    case MLS_ROPE_OTHER:
        break;
    }
    return f;
}

void mls_rope_frequencies(double *inv_freq, const mls_rope_config *rope, size_t D)
{
    const size_t dims = rope->dims && rope->dims < D ? rope->dims : D;

    for (size_t c = 0; c < D / 2; c++)
        inv_freq[c] = c < dims / 2 ? frequency(rope, c, dims) : 0;
}

void mls_layer_frequencies(double *inv_freq, const mls_config *config, size_t layer)
{
    mls_rope_frequencies(inv_freq, mls_config_layer_rope(config, layer), config->D);
}

bool mls_layers_turn_alike(const mls_config *config)
{
    bool model = false, local = false;

    double theirs[MLS_DIM_MAX / 2], own[MLS_DIM_MAX / 2];

    for (size_t l = 0; l < config->L; l++) {
        const mls_layer_shape *s = &config->layer[l];

        model |= !s->no_rope && !s->local_rope;
        local |= !s->no_rope && s->local_rope;
    }
    if (!(model && local))
        return true;
    mls_rope_frequencies(theirs, &config->rope, config->D);
    mls_rope_frequencies(own, &config->rope_local, config->D);
    return memcmp(theirs, own, config->D / 2 * sizeof *own) == 0;
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
