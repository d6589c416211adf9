/*
 * IQ1, IQ2 and IQ3: entries of a codebook, scales of sub-blocks, signs beside (where
 * seven are stored, the eighth makes their number even). ggml-quants.c,
 * dequantize_row_iq*; the products are in its order, so the floats are the same.
 */
#include "datasets/files/ggml_grids.h"
#include "datasets/files/ggml_types.h"

static unsigned word16(const uint8_t *at)
{
    return at[0] | (unsigned)at[1] << 8;
}

static uint32_t word32(const uint8_t *at)
{
    return word16(at) | (uint32_t)word16(at + 2) << 16;
}

static unsigned even_signs(unsigned seven)
{
    return seven | (unsigned)__builtin_parity(seven) << 7;
}

/* 8 numbers of an iq2 codebook. */
static void put_eight(float *x, float scale, unsigned entry, unsigned signs)
{
    static const float magnitude[4] = {8, 25, 43, 0};

    for (unsigned j = 0; j < 8; j++)
        x[j] = scale * magnitude[entry >> 2 * j & 3] * (signs >> j & 1 ? -1.0f : 1.0f);
}

/* 4 numbers of an iq3 codebook. */
static void put_four(float *x, float scale, const float magnitude[8], unsigned entry,
                     unsigned signs)
{
    for (unsigned j = 0; j < 4; j++)
        x[j] = scale * magnitude[entry >> 3 * j & 7] * (signs >> j & 1 ? -1.0f : 1.0f);
}

/* d; 8 x (4 bytes of entries, then 4 x 7 signs and 4 bits of scale). */
void mls_ggml_decode_iq2_xxs(const uint8_t *block, float *x)
{
    const float d = mls_ggml_half(block);

    for (size_t i = 0; i < 8; i++) {
        const uint8_t *q = block + 2 + 8 * i;
        const uint32_t rest = word32(q + 4);
        const float scale = d * (0.5f + (float)(rest >> 28)) * 0.25f;

        for (unsigned k = 0; k < 4; k++)
            put_eight(x + 32 * i + 8 * k, scale, mls_ggml_grid_iq2_xxs[q[k]],
                      even_signs(rest >> 7 * k & 127));
    }
}

/* d; 32 words of 9 bits of entry and 7 signs; 16 scales of 4 bits. */
void mls_ggml_decode_iq2_xs(const uint8_t *block, float *x)
{
    const float d = mls_ggml_half(block);

    for (size_t i = 0; i < 32; i++) {
        const unsigned word = word16(block + 2 + 2 * i);
        const unsigned s = block[66 + i / 4] >> 4 * (i / 2 % 2) & 15;

        put_eight(x + 8 * i, d * (0.5f + (float)s) * 0.25f,
                  mls_ggml_grid_iq2_xs[word & 511], even_signs(word >> 9));
    }
}

/* d; 32 low bytes of entries; 32 of signs; 32 x 2 high bits; 16 scales of 4 bits. */
void mls_ggml_decode_iq2_s(const uint8_t *block, float *x)
{
    const float d = mls_ggml_half(block);
    const uint8_t *high = block + 66;

    for (size_t i = 0; i < 32; i++) {
        const unsigned entry = block[2 + i] | (unsigned)(high[i / 4] >> 2 * (i % 4) & 3)
                                                  << 8;
        const unsigned s = block[74 + i / 4] >> 4 * (i / 2 % 2) & 15;

        put_eight(x + 8 * i, d * (0.5f + (float)s) * 0.25f, mls_ggml_grid_iq2_s[entry],
                  block[34 + i]);
    }
}

/* d; 64 entries; 8 x (4 x 7 signs and 4 bits of scale). */
void mls_ggml_decode_iq3_xxs(const uint8_t *block, float *x)
{
    static const float magnitude[8] = {4, 12, 20, 28, 36, 44, 52, 62};
    const float d = mls_ggml_half(block);

    for (size_t i = 0; i < 64; i++) {
        const uint32_t rest = word32(block + 66 + 4 * (i / 8));
        const unsigned signs = even_signs(rest >> 7 * (i / 2 % 4) & 127);

        put_four(x + 4 * i, d * (0.5f + (float)(rest >> 28)) * 0.5f, magnitude,
                 mls_ggml_grid_iq3_xxs[block[2 + i]], signs >> 4 * (i % 2));
    }
}

/* d; 64 low bytes of entries; 64 high bits; 32 bytes of signs; 8 scales of 4 bits. */
void mls_ggml_decode_iq3_s(const uint8_t *block, float *x)
{
    static const float magnitude[8] = {1, 3, 5, 7, 9, 11, 13, 15};
    const float d = mls_ggml_half(block);

    for (size_t i = 0; i < 64; i++) {
        const unsigned entry =
            block[2 + i] | ((unsigned)block[66 + i / 8] >> i % 8 & 1U) << 8;
        const unsigned s = block[106 + i / 16] >> 4 * (i / 8 % 2) & 15;

        put_four(x + 4 * i, d * (float)(1 + 2 * s), magnitude,
                 mls_ggml_grid_iq3_s[entry],
                 (unsigned)block[74 + i / 2] >> 4 * (i % 2));
    }
}

/* 8 numbers of the iq1 codebook, all moved by an eighth. */
static void put_ternary(float *x, float scale, unsigned entry, bool below)
{
    const float shift = below ? -0.125f : 0.125f;

    for (unsigned j = 0; j < 8; j++)
        x[j] = scale * ((float)(int)(entry >> 2 * j & 3) - 1.0f + shift);
}

/* d; 32 low bytes of entries; 8 words of 4 x 3 high bits, 3 of scale, 1 of shift. */
void mls_ggml_decode_iq1_s(const uint8_t *block, float *x)
{
    const float d = mls_ggml_half(block);

    for (size_t i = 0; i < 32; i++) {
        const unsigned word = word16(block + 34 + 2 * (i / 4));
        const unsigned entry = block[2 + i] | (word >> 3 * (i % 4) & 7) << 8;

        put_ternary(x + 8 * i, d * (float)(2 * (word >> 12 & 7) + 1),
                    mls_ggml_grid_iq1[entry], word >> 15);
    }
}

/* 32 low bytes; 32 x (3 high bits, 1 of shift); 4 words of 4 x 3 bits of scale, whose
   upper nibbles are d. */
void mls_ggml_decode_iq1_m(const uint8_t *block, float *x)
{
    const uint8_t *scales = block + 48;
    uint8_t half[2] = {0, 0};

    for (size_t k = 0; k < 4; k++)
        half[k / 2] |= (uint8_t)(scales[2 * k + 1] >> 4 << 4 * (k % 2));
    const float d = mls_ggml_half(half);

    for (size_t i = 0; i < 32; i++) {
        const unsigned nibble = block[32 + i / 2] >> 4 * (i % 2) & 15;
        const unsigned s = word16(scales + 2 * (i / 8)) >> 3 * (i / 2 % 4) & 7;

        put_ternary(x + 8 * i, d * (float)(2 * s + 1),
                    mls_ggml_grid_iq1[block[i] | (nibble & 7) << 8], nibble >> 3);
    }
}

/* 5 (last: 4) ternary digits a byte, as a fraction of 256; d. */
void mls_ggml_decode_tq1_0(const uint8_t *block, float *x)
{
    static const struct {
        size_t at, bytes, digits;
    } part[] = {{0, 32, 5}, {32, 16, 5}, {48, 4, 4}};
    const float d = mls_ggml_half(block + 52);

    for (size_t p = 0; p < 3; p++)
        for (size_t k = 0, power = 1; k < part[p].digits; k++, power *= 3)
            for (size_t j = 0; j < part[p].bytes; j++) {
                const unsigned q = (uint8_t)(block[part[p].at + j] * power);

                *x++ = d * ((float)(q * 3 >> 8) - 1.0f);
            }
}

/* 64 bytes of 4 codes of 2 bits, each the number minus one; d. */
void mls_ggml_decode_tq2_0(const uint8_t *block, float *x)
{
    const float d = mls_ggml_half(block + 64);

    for (size_t i = 0; i < 256; i++)
        x[i] =
            d * ((float)(block[i / 128 * 32 + i % 32] >> 2 * (i / 32 % 4) & 3) - 1.0f);
}
