/* Random numbers that are the same on every machine: splitmix64 seeds xoshiro256**. */
#ifndef MLS_RNG_H
#define MLS_RNG_H

#include <stddef.h>
#include <stdint.h>

/** A generator; copy it to fork it. Blackman and Vigna, "Scrambled linear PRNGs". */
typedef struct mls_rng {
    uint64_t s[4];
} mls_rng;

/** Start from a seed and a stream number: each (seed, stream) is its own sequence. */
void mls_rng_seed(mls_rng *rng, uint64_t seed, uint64_t stream);
/** The next 64 random bits. */
uint64_t mls_rng_u64(mls_rng *rng);
/** Uniform in [0, 1), 53 bits. */
double mls_rng_uniform(mls_rng *rng);
/** Uniform in 0..n-1 without bias; n > 0. */
size_t mls_rng_below(mls_rng *rng, size_t n);
/** Standard normal, by the polar method. */
double mls_rng_normal(mls_rng *rng);

#endif
