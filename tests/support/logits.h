/* All logits of small models on short sequences. */
#ifndef MLS_TESTS_LOGITS_H
#define MLS_TESTS_LOGITS_H

#include "analysis/model/forward.h"
#include "analysis/numeric/kernels.h"
#include "tests/support/expect.h"

/* What the head showed. */
typedef struct logits_seen {
    const size_t *start;
    size_t V;
    float *logits; /* (tokens, V) */
} logits_seen;

/* Logits (tokens, V) of all sequences; released by the caller. */
float *logits_of(const mls_model *m, const mls_corpus *corpus, size_t threads,
                 size_t per_job);
size_t largest(const float *x, size_t n);

/* Is shown the logits (n, V) of positions first .. first+n-1 of a sequence. */
typedef mls_status (*logits_shown)(void *arg, size_t sequence, size_t worker,
                                   size_t first, size_t n, const float *logits,
                                   mls_err *err);

/* The output head over states that passed all layers. */
mls_status logits_show(const mls_model *m, const mls_states *s, logits_shown see,
                       void *arg, mls_pool *pool, mls_err *e);

/* Mean negative log-likelihood of ids[1..T-1]. */
double mean_nll(const float *logits, size_t V, const int32_t *ids, size_t T);

#endif
