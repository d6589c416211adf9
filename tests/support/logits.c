/* All logits of small models on short sequences. */
#include "tests/support/logits.h"

enum { ROWS = 64 };

typedef struct {
    logits_shown see;
    void *arg;
} single;

static mls_status see_single(void *arg, const mls_logits_view *view, mls_err *e)
{
    const single *one = arg;

    return one->see(one->arg, view->sequence, view->worker, view->first, view->n,
                    view->logits, e);
}

mls_status logits_show(const mls_model *m, const mls_states *s, logits_shown see,
                       void *arg, mls_pool *pool, mls_err *e)
{
    single one = {.see = see, .arg = arg};
    mls_head head = {0};
    const mls_head_variants v = {
        .config = mls_model_config(m), .n = 1, .s = &s, .head = &head, .rows = ROWS};
    mls_status st = mls_model_head(m, &head, e);

    if (!st)
        st = mls_head_forward_variants(&v, see_single, &one, pool, e);
    mls_head_free(&head);
    return st;
}

static mls_status logits_keep(void *arg, size_t sequence, size_t worker, size_t first,
                              size_t n, const float *logits, mls_err *err)
{
    const logits_seen *s = arg;

    (void)worker;
    (void)err;
    memcpy(s->logits + (s->start[sequence] + first) * s->V, logits,
           n * s->V * sizeof *logits);
    return MLS_OK;
}

float *logits_of(const mls_model *m, const mls_corpus *corpus, size_t threads,
                 size_t per_job)
{
    const mls_config *c = mls_model_config(m);
    logits_seen s = {.start = corpus->start, .V = c->V};
    mls_states states;
    mls_own_attention plain;
    mls_pool *pool;

    s.logits = malloc((corpus->n_ids + 1) * c->V * sizeof *s.logits);
    assert_non_null(s.logits);
    assert_ok(mls_pool_new(&pool, threads, &err));
    assert_ok(mls_states_embed(&states, m, corpus, &err));
    states.per_job = per_job;
    assert_ok(mls_own_attention_new(&plain, c, states.T_max, threads, &err));
    for (size_t l = 0; l < c->L; l++) {
        mls_layer layer;

        assert_ok(mls_model_layer(m, l, &layer, &err));
        plain.layer = &layer;
        assert_ok(mls_layer_forward(c, &layer, &states, mls_own_attention_run, &plain,
                                    pool, &err));
        mls_layer_free(&layer);
    }
    assert_ok(logits_show(m, &states, logits_keep, &s, pool, &err));
    mls_own_attention_free(&plain);
    mls_states_free(&states);
    mls_pool_free(pool);
    return s.logits;
}

size_t largest(const float *x, size_t n)
{
    size_t best = 0;

    for (size_t i = 1; i < n; i++)
        if (x[i] > x[best])
            best = i;
    return best;
}

double mean_nll(const float *logits, size_t V, const int32_t *ids, size_t T)
{
    double sum = 0;

    for (size_t t = 0; t + 1 < T; t++)
        sum += mls_nll(logits + t * V, V, ids[t + 1]);
    return T > 1 ? sum / (double)(T - 1) : 0;
}
