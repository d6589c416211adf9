/* Exponentials that loops can be made wide with: the same bits on every CPU. */
#ifndef MLS_EXPONENTIAL_H
#define MLS_EXPONENTIAL_H

#include <stdint.h>
#include <string.h>

/*
 * exp(x) for -87 <= x <= 88, relative error below 1.2e-7 (test_kernels.c); 0 below -87,
 * exp(88) above 88, NaN for NaN. Cody-Waite reduction by ln 2 in two parts and the
 * polynomial of Cephes expf (Moshier).
 */
static inline float mls_exp_f32(float x)
{
    const float rounding = 12582912.0f; /* 1.5 * 2^23: adding it rounds to integer */
    const float clamped = x < -87.0f ? -87.0f : x > 88.0f ? 88.0f : x;
    const float shifted = clamped * 1.44269504f + rounding;
    const float n = shifted - rounding;
    const float r = (clamped - n * 0.693359375f) - n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    uint32_t bits;
    float power;

    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;

    /* The low bits of `shifted` are the integer n: move n + 127 into the exponent. */
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127) << 23;
    memcpy(&power, &bits, sizeof power);
    return x < -87.0f ? 0.0f : p * power;
}

/*
 * exp(x) for -708 <= x <= 709, relative error below 1e-14 (test_kernels.c); 0 below,
 * exp(709) above, NaN for NaN. Taylor series to r^11 / 11!, |r| <= ln(2) / 2.
 */
static inline double mls_exp_f64(double x)
{
    const double rounding = 6755399441055744.0; /* 1.5 * 2^52 */
    const double clamped = x < -708.0 ? -708.0 : x > 709.0 ? 709.0 : x;
    const double shifted = clamped * 1.4426950408889634 + rounding;
    const double n = shifted - rounding;
    const double r = (clamped - n * 0x1.62e42fee00000p-1) - n * 0x1.a39ef35793c76p-33;
    double p = 1.0 / 39916800;
    uint64_t bits;
    double power;

    p = p * r + 1.0 / 3628800;
    p = p * r + 1.0 / 362880;
    p = p * r + 1.0 / 40320;
    p = p * r + 1.0 / 5040;
    p = p * r + 1.0 / 720;
    p = p * r + 1.0 / 120;
    p = p * r + 1.0 / 24;
    p = p * r + 1.0 / 6;
    p = p * r + 1.0 / 2;
    p = p * r + 1.0;
    p = p * r + 1.0;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 1023) << 52;
    memcpy(&power, &bits, sizeof power);
    return x < -708.0 ? 0.0 : p * power;
}

#endif
