/* The demo model with a capture, on made-up tokens or on its own text. */
#ifndef MLS_DEMO_H
#define MLS_DEMO_H

#include "tests/support/expect.h"

#include "analysis/capture/capture.h"
#include "analysis/numeric/blas.h"
#include "datasets/text/corpus.h"

enum { DEMO_V = 2048 };

/* N sequences of T tokens, those of tests/reference/capture.py; mls_corpus_free(). */
mls_corpus demo_tokens(size_t N, size_t T);

/*
 * The first N sequences of T tokens of the demo's evaluation text; mls_corpus_free().
 */
mls_corpus demo_text(size_t N, size_t T);

typedef struct demo {
    mls_model *model;
    mls_pool *pool;
    mls_capture *capture;
} demo;

/* Opens the model and captures the corpus; windows are n_windows of its sequences. */
demo demo_open(const mls_corpus *corpus, size_t n_windows);
void demo_close(demo *d);

#endif
