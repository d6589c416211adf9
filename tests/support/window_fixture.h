/*
 * A window of queries, keys and values made from integers, the same bit for bit here
 * and in tests/reference/frequency.py; and scores straight from the definition.
 */
#ifndef MLS_WINDOW_FIXTURE_H
#define MLS_WINDOW_FIXTURE_H

#include <stdbool.h>

#include "tests/support/expect.h"

#include "analysis/frequency/chunk_window.h"

/* A well mixed 32-bit number (Wellons' lowbias32). */
uint32_t fixture_hash(uint32_t x);

typedef struct fixture {
    mls_chunk_window w;
    float *q, *k, *v;
    double *inv_freq, *turns;
} fixture;

void fixture_free(fixture *f);

/* salt makes another window of the same heads. */
fixture fixture_new(size_t T, size_t H, size_t G, size_t D, double theta, size_t salt);

/* Score of (i, j) with only the chunks in `rotated` rotated, from the definition. */
double naive_score(const mls_chunk_window *w, size_t h, size_t i, size_t j,
                   const bool *rotated);

#endif
