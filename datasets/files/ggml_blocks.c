/*
 * Rounding is ggml-quants.c's to the bit: codes are truncated after half is added,
 * scales go through a half on their way into the block, yet codes are made with the
 * scale before that. A block whose scale has no inverse in float decodes to its minimum
 * or to zeros.
 */
#include "datasets/files/ggml_blocks.h"

#include <math.h>
#include <stdbool.h>

#include "common/numbers/half.h"
#include "common/numbers/small_float.h"

enum { N = MLS_GGML_NUMBERS };

/* The number of largest magnitude, with its sign; the first of equals. */
static float peak(const float *x)
{
    float most = 0.0f, at = 0.0f;

    for (size_t j = 0; j < N; j++)
        if (fabsf(x[j]) > most) {
            most = fabsf(x[j]);
            at = x[j];
        }
    return at;
}

static void range(const float *x, float *min, float *max)
{
    *min = *max = x[0];
    for (size_t j = 1; j < N; j++) {
        *min = x[j] < *min ? x[j] : *min;
        *max = x[j] > *max ? x[j] : *max;
    }
}

/* 0 where there is none: such a block decodes to its minimum, or to zeros. */
static float inverse(float d)
{
    return d != 0.0f && isfinite(1.0f / d) ? 1.0f / d : 0.0f;
}

static void put_half(uint8_t *at, float x)
{
    const uint16_t bits = mls_float_to_f16(x);

    at[0] = (uint8_t)bits;
    at[1] = (uint8_t)(bits >> 8);
}

float mls_ggml_half(const uint8_t *at)
{
    return mls_f16_to_float((uint16_t)(at[0] | at[1] << 8));
}

/* 4-bit codes: j in the low, j + 16 in the high nibble of byte j. */
static void put_nibbles(uint8_t *at, const uint8_t *q)
{
    for (size_t j = 0; j < N / 2; j++)
        at[j] = (uint8_t)((q[j] & 15) | (q[j + N / 2] & 15) << 4);
}

static void get_nibbles(const uint8_t *at, uint8_t *q)
{
    for (size_t j = 0; j < N / 2; j++) {
        q[j] = at[j] & 15;
        q[j + N / 2] = at[j] >> 4;
    }
}

/* 5-bit codes: the fifth bits first, number j in bit j of a little-endian word. */
static void put_fives(uint8_t *at, const uint8_t *q)
{
    for (size_t i = 0; i < 4; i++) {
        at[i] = 0;
        for (size_t j = 0; j < 8; j++)
            at[i] |= (uint8_t)((q[8 * i + j] >> 4 & 1) << j);
    }
    put_nibbles(at + 4, q);
}

static void get_fives(const uint8_t *at, uint8_t *q)
{
    get_nibbles(at + 4, q);
    for (size_t j = 0; j < N; j++)
        q[j] |= (uint8_t)((at[j / 8] >> (j % 8) & 1) << 4);
}

/* q = x / d + levels / 2, half up, 0 .. levels - 1; the peak becomes -levels / 2. */
static float code_around_zero(const float *x, uint8_t *q, int levels)
{
    const float d = peak(x) / (float)(-levels / 2);
    const float id = inverse(d);

    for (size_t j = 0; j < N; j++) {
        const int code = (int)(x[j] * id + ((float)(levels / 2) + 0.5f));

        q[j] = (uint8_t)(code < levels ? code : levels - 1);
    }
    return d;
}

/* q = (x - min) / d, half up, 0 .. levels - 1. */
static float code_above_minimum(const float *x, uint8_t *q, int levels, float *min)
{
    float max;

    range(x, min, &max);
    const float d = (max - *min) / (float)(levels - 1);
    const float id = inverse(d);

    for (size_t j = 0; j < N; j++) {
        const int code = (int)((x[j] - *min) * id + 0.5f);

        q[j] = (uint8_t)(code < levels ? code : levels - 1);
    }
    return d;
}

static void encode_q8_0(const float *x, uint8_t *block)
{
    const float d = fabsf(peak(x)) / 127.0f;
    const float id = inverse(d);

    put_half(block, d);
    for (size_t j = 0; j < N; j++)
        block[2 + j] = (uint8_t)(int)roundf(x[j] * id);
}

static void decode_q8_0(const uint8_t *block, float *x)
{
    const float d = mls_ggml_half(block);

    for (size_t j = 0; j < N; j++)
        x[j] = (float)(int8_t)block[2 + j] * d;
}

static void encode_q5_1(const float *x, uint8_t *block)
{
    uint8_t q[N];
    float min;

    put_half(block, code_above_minimum(x, q, 32, &min));
    put_half(block + 2, min);
    put_fives(block + 4, q);
}

static void decode_q5_1(const uint8_t *block, float *x)
{
    const float d = mls_ggml_half(block), min = mls_ggml_half(block + 2);
    uint8_t q[N];

    get_fives(block + 4, q);
    for (size_t j = 0; j < N; j++)
        x[j] = (float)q[j] * d + min;
}

static void encode_q5_0(const float *x, uint8_t *block)
{
    uint8_t q[N];

    put_half(block, code_around_zero(x, q, 32));
    put_fives(block + 2, q);
}

static void decode_q5_0(const uint8_t *block, float *x)
{
    const float d = mls_ggml_half(block);
    uint8_t q[N];

    get_fives(block + 2, q);
    for (size_t j = 0; j < N; j++)
        x[j] = (float)(q[j] - 16) * d;
}

static void encode_q4_1(const float *x, uint8_t *block)
{
    uint8_t q[N];
    float min;

    put_half(block, code_above_minimum(x, q, 16, &min));
    put_half(block + 2, min);
    put_nibbles(block + 4, q);
}

static void decode_q4_1(const uint8_t *block, float *x)
{
    const float d = mls_ggml_half(block), min = mls_ggml_half(block + 2);
    uint8_t q[N];

    get_nibbles(block + 4, q);
    for (size_t j = 0; j < N; j++)
        x[j] = (float)q[j] * d + min;
}

static void encode_q4_0(const float *x, uint8_t *block)
{
    uint8_t q[N];

    put_half(block, code_around_zero(x, q, 16));
    put_nibbles(block + 2, q);
}

static void decode_q4_0(const uint8_t *block, float *x)
{
    const float d = mls_ggml_half(block);
    uint8_t q[N];

    get_nibbles(block + 2, q);
    for (size_t j = 0; j < N; j++)
        x[j] = (float)(q[j] - 8) * d;
}

const int8_t mls_ggml_iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                        1,    13,   25,  38,  53,  69,  89,  113};

/* Nearest entry; the upper one of two as near. */
static uint8_t nearest_iq4_nl(float x)
{
    uint8_t q = 0;

    while (q < 15 &&
           !(x - (float)mls_ggml_iq4_values[q] < (float)mls_ggml_iq4_values[q + 1] - x))
        q++;
    return q;
}

static void encode_iq4_nl(const float *x, uint8_t *block)
{
    const float most = peak(x);
    const float first = most / (float)mls_ggml_iq4_values[0];
    const bool nothing = fabsf(most) < 1e-15f;
    const float id = nothing ? 0.0f : inverse(first);
    float xq = 0.0f, qq = 0.0f; /* sums of w x q and w q q, w = x^2, in this order */
    uint8_t q[N];

    for (size_t j = 0; j < N; j++) {
        q[j] = nearest_iq4_nl(x[j] * id);
        const float value = (float)mls_ggml_iq4_values[q[j]];
        const float weight = x[j] * x[j];
        xq += weight * value * x[j];
        qq += weight * value * value;
    }
    put_half(block, nothing ? 0.0f : xq / qq);
    put_nibbles(block + 2, q);
}

static void decode_iq4_nl(const uint8_t *block, float *x)
{
    const float d = mls_ggml_half(block);
    uint8_t q[N];

    get_nibbles(block + 2, q);
    for (size_t j = 0; j < N; j++)
        x[j] = (float)mls_ggml_iq4_values[q[j]] * d;
}

/* The exponent of the largest number becomes that of 4, E2M1's largest power of two. */
static void encode_mxfp4(const float *x, uint8_t *block)
{
    const float most = fabsf(peak(x));
    int exponent = 0;
    uint8_t q[N];

    if (most > 0.0f) {
        frexpf(most, &exponent); /* floor(log2(most)) is exponent - 1 */
        exponent += -1 - 2 + 127;
        exponent = exponent < 0 ? 0 : exponent; /* 254 is never passed by a float */
    }
    for (size_t j = 0; j < N; j++)
        q[j] = mls_float_to_e2m1(ldexpf(x[j], 127 - exponent));
    block[0] = (uint8_t)exponent;
    put_nibbles(block + 1, q);
}

static void decode_mxfp4(const uint8_t *block, float *x)
{
    const float d = mls_e8m0_to_float(block[0]);
    uint8_t q[N];

    get_nibbles(block + 1, q);
    for (size_t j = 0; j < N; j++)
        x[j] = mls_e2m1_to_float(q[j]) * d;
}

const mls_ggml_block mls_ggml_q8_0 = {"q8_0", 8, 8, 34, encode_q8_0, decode_q8_0};
const mls_ggml_block mls_ggml_q5_1 = {"q5_1", 7, 5, 24, encode_q5_1, decode_q5_1};
const mls_ggml_block mls_ggml_q5_0 = {"q5_0", 6, 5, 22, encode_q5_0, decode_q5_0};
const mls_ggml_block mls_ggml_q4_1 = {"q4_1", 3, 4, 20, encode_q4_1, decode_q4_1};
const mls_ggml_block mls_ggml_q4_0 = {"q4_0", 2, 4, 18, encode_q4_0, decode_q4_0};
const mls_ggml_block mls_ggml_iq4_nl = {"iq4_nl",      20,           4, 18,
                                        encode_iq4_nl, decode_iq4_nl};
const mls_ggml_block mls_ggml_mxfp4 = {"mxfp4", 39, 4, 17, encode_mxfp4, decode_mxfp4};
