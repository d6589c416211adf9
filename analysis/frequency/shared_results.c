#include "analysis/frequency/shared_results.h"

#include <stdlib.h>

typedef struct entry {
    size_t layer;
    mls_rule_scores scores;
    struct entry *next;
} entry;

struct mls_shared_results {
    entry *first;
    mls_sensitivity sensitivity; /* of sensitivity_layer; {0}: of none */
    size_t sensitivity_layer;
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
    mls_sensitivity_free(&r->sensitivity);
    free(r);
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

mls_status mls_shared_sensitivity(const mls_sensitivity **out, mls_capture *capture,
                                  const mls_layer *layer, mls_pool *pool, mls_err *err)
{
    mls_shared_results *r = mls_shared_results_of(capture);
    mls_status st = MLS_OK;

    *out = NULL;
    if (!r)
        return mls_fail(err, MLS_E_NOMEM, "no memory for what a capture is asked");
    if (!r->sensitivity.key || r->sensitivity_layer != layer->index) {
        mls_sensitivity_free(&r->sensitivity);
        st = mls_sensitivity_measure(&r->sensitivity, capture, layer, 0, pool, err);
        r->sensitivity_layer = layer->index;
    }
    *out = st ? NULL : &r->sensitivity;
    return st;
}
