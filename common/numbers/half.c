/*
 * Rounding is to nearest, ties to even, as hardware does it: half of the last place and
 * the kept bit are added to the bits, and a carry runs into the exponent by itself.
 * Small halves are rounded by the addition of 0.5, whose last place is 2^-24. NaN stays
 * one.
 */
#include "common/numbers/half.h"

#include <string.h>

static float from_bits(uint32_t u)
{
    float f;

    memcpy(&f, &u, sizeof f);
    return f;
}

static uint32_t to_bits(float f)
{
    uint32_t u;

    memcpy(&u, &f, sizeof u);
    return u;
}

float mls_bf16_to_float(uint16_t bits)
{
    return from_bits((uint32_t)bits << 16);
}

float mls_f16_to_float(uint16_t bits)
{
    const uint32_t sign = (uint32_t)(bits & 0x8000) << 16;
    const uint32_t exponent = (bits >> 10) & 0x1f;
    const uint32_t fraction = bits & 0x3ff;

    if (exponent == 0) { /* zero or subnormal: fraction * 2^-24, exact in float */
        const float x = (float)fraction * 0x1p-24f;

        return sign ? -x : x;
    }
    if (exponent == 31)
        return from_bits(sign | 0x7f800000 | fraction << 13);
    return from_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

uint16_t mls_float_to_bf16(float x)
{
    const uint32_t u = to_bits(x);

    if ((u & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

uint16_t mls_float_to_f16(float x)
{
    const uint32_t u = to_bits(x);
    const uint16_t sign = (uint16_t)(u >> 16 & 0x8000);
    const uint32_t magnitude = u & 0x7fffffff;

    if (magnitude > 0x7f800000)
        return sign | 0x7e00;
    if (magnitude >= 0x477ff000) /* 65520 and above round to infinity */
        return sign | 0x7c00;
    if (magnitude < 0x38800000) {
        /* Below 2^-14: adding 2^-1 leaves the multiple of 2^-24 in the low bits. */
        const float shifted = from_bits(magnitude) + 0.5f;

        return (uint16_t)(sign | (to_bits(shifted) - 0x3f000000));
    }
    const uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
    return (uint16_t)(sign | ((rounded - 0x38000000) >> 13));
}

float mls_round_f16(float x)
{
    return mls_f16_to_float(mls_float_to_f16(x));
}
