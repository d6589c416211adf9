/*
 * Who finds nothing works it out under the pool's claim, and others help instead of
 * doing the same. Of a rule only scores, order and loss are kept; norms, Gram matrices
 * and traces, which only `frequency` reads, are dropped. Sensitivities are three
 * matrices for each KV head and layer; where those of all layers exceed 256 MiB the
 * last one's stay.
 */
#include "analysis/frequency/shared_results.h"

#include <stdlib.h>

#include "common/base/checked.h"

enum { KEPT_BYTES = 256 << 20 /* sensitivities of all layers */ };

typedef struct entry {
    size_t layer;
    mls_rule_scores scores;
    struct entry *next;
} entry;

struct mls_shared_results {
    entry *first;
    mls_sensitivity *sensitivity; /* (L) {0}: not asked for yet, or dropped */
    size_t L;
};

static void release(void *kept)
{
    mls_shared_results *r = kept;

    while (r->first) {
        entry *e = r->first;

        r->first = e->next;
        mls_rule_scores_free(&e->scores);
        free(e);
    }
    for (size_t l = 0; r->sensitivity && l < r->L; l++)
        mls_sensitivity_free(&r->sensitivity[l]);
    mls_free_all(r->sensitivity, r);
}

mls_shared_results *mls_shared_results_of(mls_capture *c)
{
    void **kept = mls_capture_kept(c, release);

    if (!*kept)
        *kept = calloc(1, sizeof(mls_shared_results));
    return *kept;
}

const mls_rule_scores *mls_shared_rule(const mls_shared_results *r, size_t layer,
                                       const mls_rule *rule)
{
    for (const entry *e = r->first; e; e = e->next)
        if (e->layer == layer && e->scores.rule == rule)
            return &e->scores;
    return NULL;
}

mls_status mls_shared_rule_add(mls_shared_results *r, size_t layer, mls_rule_scores *s,
                               mls_err *err)
{
    entry *e = calloc(1, sizeof *e);

    if (!e) {
        mls_rule_scores_free(s);
        return mls_fail(err, MLS_E_NOMEM, "no memory for the scores of a layer");
    }
    e->layer = layer;
    e->scores = (mls_rule_scores){.rule = s->rule,
                                  .H = s->H,
                                  .G = s->G,
                                  .C = s->C,
                                  .units = s->units,
                                  .score = s->score,
                                  .order = s->order,
                                  .loss = s->loss};
    s->score = NULL;
    s->order = NULL;
    s->loss = NULL;
    mls_rule_scores_free(s);
    e->next = r->first;
    r->first = e;
    return MLS_OK;
}

static size_t bytes_of_all(const mls_capture *capture)
{
    const mls_config *c = mls_capture_config(capture);

    return 3 * c->L * c->G * c->D * c->D * sizeof(double);
}

static mls_status find_sensitivity(const mls_sensitivity **out, mls_capture *capture,
                                   const mls_layer *layer, mls_pool *pool, mls_err *err)
{
    mls_shared_results *r = mls_shared_results_of(capture);
    mls_sensitivity *own;
    mls_status st = MLS_OK;

    *out = NULL;
    if (!r)
        return mls_fail(err, MLS_E_NOMEM, "no memory for what a capture is asked");
    if (!r->sensitivity) {
        r->L = mls_capture_config(capture)->L;
        r->sensitivity = mls_calloc3(r->L, 1, 1, sizeof *r->sensitivity);
        if (!r->sensitivity)
            return mls_fail(err, MLS_E_NOMEM, "no memory for what a capture is asked");
    }
    own = &r->sensitivity[layer->index];
    if (!own->key) {
        /* Matrices of all layers may take much memory: then the last one's stay. */
        for (size_t l = 0; l < r->L && bytes_of_all(capture) > KEPT_BYTES; l++)
            mls_sensitivity_free(&r->sensitivity[l]);
        st = mls_sensitivity_measure(own, capture, layer, 0, pool, err);
    }
    *out = st ? NULL : own;
    return st;
}

mls_status mls_shared_sensitivity(const mls_sensitivity **out, mls_capture *capture,
                                  const mls_layer *layer, mls_pool *pool, mls_err *err)
{
    mls_status st;

    mls_pool_claim(pool);
    st = find_sensitivity(out, capture, layer, pool, err);
    mls_pool_release(pool);
    return st;
}
