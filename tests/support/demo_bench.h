/* The demo model with a capture of its own, for tests that put it through methods. */
#ifndef TESTS_SUPPORT_DEMO_BENCH_H
#define TESTS_SUPPORT_DEMO_BENCH_H

#include "tests/support/expect.h"

#include "analysis/numeric/blas.h"
#include "bench/evaluate/evaluate.h"
#include "bench/evaluate/isolated.h"
#include "common/numbers/rng.h"

enum { T = 64, CALIBRATION = 4, MEASURED = 2 };

/* A model with everything that methods look at. */
typedef struct {
    mls_method_input in;
    mls_model *model;
    mls_corpus calibration, measured;
} bench;

void bench_corpus(mls_corpus *c, mls_rng *rng, size_t N, size_t V);
/* Opens the model of a folder and captures b->calibration. */
void bench_open(bench *b, const char *folder, const char *capture);
void bench_close(bench *b);
/* The demo model is captured once for all tests, which change nothing of it. */
int bench_open_demo(void **state);
int bench_close_demo(void **state);

#endif
