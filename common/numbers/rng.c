/*
 * A stream is a second number beside the seed: jobs take their own number as stream,
 * and results do not depend on who ran them. Both go through splitmix64, as its authors
 * advise: a state of few bits would show for long. below() refuses the last incomplete
 * range instead of favouring small numbers; normal() is Marsaglia's polar method, its
 * second number thrown away so that a generator has no hidden state.
 */
#include "common/numbers/rng.h"

#include <math.h>

static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

void mls_rng_seed(mls_rng *rng, uint64_t seed, uint64_t stream)
{
    uint64_t mixed = stream;
    uint64_t state = seed ^ splitmix64(&mixed);

    for (size_t i = 0; i < 4; i++)
        rng->s[i] = splitmix64(&state);
}

static uint64_t rotate_left(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

uint64_t mls_rng_u64(mls_rng *rng)
{
    uint64_t *s = rng->s;
    const uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    const uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

double mls_rng_uniform(mls_rng *rng)
{
    return (double)(mls_rng_u64(rng) >> 11) * 0x1p-53;
}

size_t mls_rng_below(mls_rng *rng, size_t n)
{
    const uint64_t limit = UINT64_MAX - UINT64_MAX % n; /* a multiple of n */
    uint64_t x;

    do
        x = mls_rng_u64(rng);
    while (x >= limit);
    return (size_t)(x % n);
}

double mls_rng_normal(mls_rng *rng)
{
    double u, v, r;

    do {
        u = 2.0 * mls_rng_uniform(rng) - 1.0;
        v = 2.0 * mls_rng_uniform(rng) - 1.0;
        r = u * u + v * v;
    } while (r >= 1.0 || r == 0.0);
    return u * sqrt(-2.0 * log(r) / r);
}
