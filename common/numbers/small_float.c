/*
 * One routine for three layouts: magnitudes of these formats are in the order of their
 * codes, so that rounding to units of the last place and counting up is all. What is
 * too large becomes the largest number, as quantizers want it, and not an infinity.
 */
#include "common/numbers/small_float.h"

#include <math.h>

/*
 * Sign, then exponent, then `fraction` bits; the magnitudes are in order of their
 * codes.
 */
typedef struct layout {
    int fraction, bias;
    uint8_t sign, largest; /* bit of the sign; code of the largest finite number */
    uint8_t nan;           /* magnitude of the NaN that is written */
} layout;

static const layout e4m3 = {3, 7, 0x80, 0x7e, 0x7f};
static const layout e5m2 = {2, 15, 0x80, 0x7b, 0x7e};
static const layout e2m1 = {1, 1, 0x8, 0x7, 0};

static uint8_t encode(float x, const layout *l)
{
    const uint8_t sign = signbit(x) ? l->sign : 0;
    const int least = 1 - l->bias; /* exponent of the smallest normal number */
    int exponent;

    if (isnan(x))
        return sign | l->nan;
    if (x == 0.0f)
        return sign;
    if (isinf(x))
        return sign | l->largest;
    frexpf(x, &exponent); /* |x| = 0.5..1 * 2^exponent */
    exponent = exponent - 1 < least ? least : exponent - 1;

    /*
     * In units of the last place: subnormals count from 0, a binade of normals starts
     * at 2^fraction, and a carry into the next binade gives its first code by itself.
     */
    const float units = rintf(ldexpf(fabsf(x), l->fraction - exponent));
    const long code = ((long)(exponent - least) << l->fraction) + (long)units;
    return sign | (uint8_t)(code < l->largest ? code : l->largest);
}

static float decode(uint8_t code, const layout *l)
{
    const int magnitude = code & (l->sign - 1);
    const int exponent = magnitude >> l->fraction;
    const int fraction = magnitude & ((1 << l->fraction) - 1);
    const int normal = exponent > 0;
    const float x = ldexpf((float)(fraction + (normal << l->fraction)),
                           (normal ? exponent : 1) - l->bias - l->fraction);

    return code & l->sign ? -x : x;
}

uint8_t mls_float_to_e4m3(float x)
{
    return encode(x, &e4m3);
}

uint8_t mls_float_to_e5m2(float x)
{
    return encode(x, &e5m2);
}

uint8_t mls_float_to_e2m1(float x)
{
    return isnan(x) ? 0 : encode(x, &e2m1);
}

float mls_e4m3_to_float(uint8_t code)
{
    return (code & 0x7f) == 0x7f ? NAN : decode(code, &e4m3);
}

float mls_e5m2_to_float(uint8_t code)
{
    if ((code & 0x7c) != 0x7c)
        return decode(code, &e5m2);
    if (code & 3)
        return NAN;
    return code & 0x80 ? -INFINITY : INFINITY;
}

float mls_e2m1_to_float(uint8_t code)
{
    return decode(code, &e2m1);
}

float mls_e8m0_to_float(uint8_t code)
{
    return code == 255 ? NAN : ldexpf(1.0f, code - 127);
}
