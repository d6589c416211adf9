/*
 * Decoders alone, written from the layout in ggml-common.h: 256 numbers in sub-blocks
 * of 16 or 32 whose scales are numbers of few bits themselves, times one number for
 * all. The traps are where bits lie: the low and high parts of a scale or code are
 * bytes apart, and codes of neighbouring sub-blocks share a byte.
 */
#include <string.h>

#include "datasets/files/ggml_types.h"

/* 16 sub-blocks of 16: 16 bytes of scale and minimum, 64 of 2-bit codes, d, m. */
void mls_ggml_decode_q2_k(const uint8_t *block, float *x)
{
    const uint8_t *scales = block, *q = block + 16;
    const float d = mls_ggml_half(block + 80), m = mls_ggml_half(block + 82);

    for (size_t j = 0; j < 16; j++) {
        const float dl = d * (float)(scales[j] & 15), ml = m * (float)(scales[j] >> 4);
        const uint8_t *codes = q + j / 8 * 32 + j % 2 * 16;

        for (size_t l = 0; l < 16; l++)
            x[16 * j + l] = dl * (float)(codes[l] >> 2 * (j / 2 % 4) & 3) - ml;
    }
}

/* 32 bytes of high bits, 64 of 2-bit codes, 12 of 6-bit scales, d. */
void mls_ggml_decode_q3_k(const uint8_t *block, float *x)
{
    const uint8_t *high = block, *q = block + 32, *s = block + 96;
    const float d = mls_ggml_half(block + 108);

    for (size_t j = 0; j < 16; j++) {
        const int low = j < 8 ? s[j] & 15 : s[j - 8] >> 4;
        const int scale = low | (s[8 + j % 4] >> 2 * (j / 4) & 3) << 4;
        const float dl = d * (float)(scale - 32);
        const uint8_t *codes = q + j / 8 * 32 + j % 2 * 16;

        for (size_t l = 0; l < 16; l++) {
            const int top = high[j % 2 * 16 + l] >> j / 2 & 1;

            x[16 * j + l] =
                dl * (float)((codes[l] >> 2 * (j / 2 % 4) & 3) - (top ? 0 : 4));
        }
    }
}

/* Scale and minimum of sub-block j of 8, 6 bits each, out of 12 bytes. */
static void scale_and_minimum(const uint8_t *s, size_t j, float *scale, float *minimum)
{
    if (j < 4) {
        *scale = (float)(s[j] & 63);
        *minimum = (float)(s[j + 4] & 63);
    } else {
        *scale = (float)((s[j + 4] & 15) | (s[j - 4] >> 6) << 4);
        *minimum = (float)((s[j + 4] >> 4) | (s[j] >> 6) << 4);
    }
}

/* d, m, 12 bytes of scales, (32 of fifth bits,) 128 of nibbles. */
static void decode_k(const uint8_t *block, const uint8_t *fifth, const uint8_t *nibbles,
                     float *x)
{
    const float d = mls_ggml_half(block), m = mls_ggml_half(block + 2);

    for (size_t j = 0; j < 8; j++) {
        const uint8_t *codes = nibbles + j / 2 * 32;
        float scale, minimum;

        scale_and_minimum(block + 4, j, &scale, &minimum);
        const float dl = d * scale, ml = m * minimum;
        for (size_t l = 0; l < 32; l++) {
            const int q = j % 2 ? codes[l] >> 4 : codes[l] & 15;
            const int top = fifth ? (fifth[l] >> j & 1) << 4 : 0;

            x[32 * j + l] = dl * (float)(q + top) - ml;
        }
    }
}

void mls_ggml_decode_q4_k(const uint8_t *block, float *x)
{
    decode_k(block, NULL, block + 16, x);
}

void mls_ggml_decode_q5_k(const uint8_t *block, float *x)
{
    decode_k(block, block + 16, block + 48, x);
}

/* 128 bytes of nibbles, 64 of the two high bits, 16 int8 scales, d. */
void mls_ggml_decode_q6_k(const uint8_t *block, float *x)
{
    const float d = mls_ggml_half(block + 208);

    for (size_t j = 0; j < 16; j++) { /* sub-blocks of 16 */
        const size_t half = j / 8, quarter = j % 8 / 2, at = j % 2 * 16;
        const uint8_t *low = block + half * 64 + quarter % 2 * 32 + at;
        const uint8_t *high = block + 128 + half * 32 + at;
        const float dl = d * (float)(int8_t)block[192 + j];

        for (size_t l = 0; l < 16; l++) {
            const int nibble = quarter < 2 ? low[l] & 15 : low[l] >> 4;
            const int q = nibble | (high[l] >> 2 * quarter & 3) << 4;

            x[16 * j + l] = dl * (float)(q - 32);
        }
    }
}

/* float d, 256 int8, 16 sums that decoding does not need. */
void mls_ggml_decode_q8_k(const uint8_t *block, float *x)
{
    float d;

    memcpy(&d, block, sizeof d);
    for (size_t l = 0; l < MLS_GGML_SUPER; l++)
        x[l] = d * (float)(int8_t)block[4 + l];
}

/* d, 8 x 2 high bits of scales, 8 x 4 low bits, 128 bytes of nibbles. */
void mls_ggml_decode_iq4_xs(const uint8_t *block, float *x)
{
    const float d = mls_ggml_half(block);
    const unsigned high = block[2] | (unsigned)block[3] << 8;

    for (size_t j = 0; j < 8; j++) {
        const int low = block[4 + j / 2] >> 4 * (j % 2) & 15;
        const int scale = low | (int)(high >> 2 * j & 3) << 4;
        const float dl = d * (float)(scale - 32);
        const uint8_t *codes = block + 8 + 16 * j;

        for (size_t l = 0; l < 16; l++) {
            x[32 * j + l] = dl * (float)mls_ggml_iq4_values[codes[l] & 15];
            x[32 * j + 16 + l] = dl * (float)mls_ggml_iq4_values[codes[l] >> 4];
        }
    }
}
