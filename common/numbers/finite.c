/*
 * A loop that leaves at the first bad number cannot be made wide; a test of bits over a
 * known count can, and the number itself is sought in its block afterwards.
 */
#include "common/numbers/finite.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { BLOCK = 256 }; /* a known count, so that the compiler makes the loop wide */

/* NaN and infinity are the numbers whose eight exponent bits are all set. */
static bool block_is_finite(const float *x)
{
    uint32_t bits[BLOCK], bad = 0;

    memcpy(bits, x, sizeof bits);
    for (size_t i = 0; i < BLOCK; i++)
        bad |= (bits[i] & 0x7f800000U) == 0x7f800000U;
    return !bad;
}

size_t mls_first_not_finite(const float *x, size_t n)
{
    size_t i = 0;

    while (n - i >= BLOCK && block_is_finite(x + i))
        i += BLOCK;
    while (i < n && isfinite(x[i]))
        i++;
    return i;
}
