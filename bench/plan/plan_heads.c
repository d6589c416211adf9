/*
 * A form's discarded energy by rank (tail) does not depend on the rank it was built
 * with, so that one build of a method's smallest candidate is enough. Ranks go where
 * the next one saves most (mls_split_ranks), G times the candidate's in all. Only forms
 * with a latent for each head and side and without rope keys can be split so.
 */
#include "bench/plan/plan_heads.h"

#include <stdlib.h>
#include <string.h>

#include "bench/frame/head_ranks.h"
#include "common/base/checked.h"

void mls_plan_heads_free(mls_plan_heads *h)
{
    if (!h)
        return;
    mls_free_all(h->usable, h->tail, h);
}

static double *tail_of(const mls_plan_heads *h, size_t method, size_t l, mls_side side)
{
    return h->tail + ((method * h->L + l) * MLS_SIDES + side) * h->G * (h->most + 1);
}

/*
 * The spectra of one layer's form; false when it has no latent for each head and side.
 */
static bool keep_tails(mls_plan_heads *h, size_t method, size_t l,
                       const mls_latent_form *f)
{
    const size_t n = h->most + 1;

    if (f->n_latents != MLS_SIDES * h->G || f->n_rope_keys > 0)
        return false;
    for (size_t i = 0; i < f->n_latents; i++) {
        const mls_latent_vector *v = &f->latent[i];
        const mls_side side = i < h->G ? MLS_KEYS : MLS_VALUES;

        if (v->n_tail != n || v->holds_keys != (side == MLS_KEYS))
            return false;
        memcpy(tail_of(h, method, l, side) + i % h->G * n, v->tail,
               n * sizeof *v->tail);
    }
    return true;
}

/* Spectra of one method in all layers, from its smallest candidate. */
static mls_status read_method(mls_plan_heads *h, const mls_plan_costs *c,
                              const mls_plan_request *r, size_t method,
                              size_t candidate, mls_err *err)
{
    mls_scheme scheme;
    mls_ready_scheme *ready = NULL;
    mls_status st =
        mls_scheme_uniform(&scheme, &c->candidate[candidate].setting, c->L, err);

    if (!st)
        st = mls_scheme_prepare(&ready, &scheme, &r->in, err);
    h->usable[method] = !st;
    for (size_t l = 0; !st && l < c->L && h->usable[method]; l++) {
        if (!mls_layer_attends(&r->in.config->layer[l]))
            continue;
        mls_latent_form form;

        st = mls_scheme_form(ready, l, &form, err);
        h->usable[method] = !st && keep_tails(h, method, l, &form);
        mls_latent_free(&form);
    }
    mls_ready_scheme_free(ready);
    mls_scheme_free(&scheme);
    return st;
}

mls_status mls_plan_heads_new(mls_plan_heads **out, const mls_plan_costs *c,
                              const mls_plan_request *r, mls_err *err)
{
    const mls_config *config = r->in.config;
    mls_plan_heads *h = calloc(1, sizeof *h);
    bool any = false;
    mls_status st = MLS_OK;

    *out = NULL;
    if (h) {
        h->L = c->L;
        h->G = config->G;
        h->most = config->D;
        h->step = r->multiple;
        h->usable = mls_calloc3(r->n_methods, 1, 1, sizeof *h->usable);
        h->tail = mls_calloc3(r->n_methods * c->L * MLS_SIDES, config->G, config->D + 1,
                              sizeof *h->tail);
    }
    if (!h || !h->usable || !h->tail)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the spectra of %zu heads",
                      config->G);
    for (size_t i = 0; !st && i < c->n; i++) {
        const mls_candidate *one = &c->candidate[i];
        const bool first = i == 0 || c->candidate[i - 1].method != one->method;

        if (!one->rank || !first)
            continue;
        mls_err why = {0};

        st = read_method(h, c, r, one->method, i, &why);
        if (st == MLS_E_INPUT || st == MLS_E_NUMERIC)
            st = MLS_OK; /* not usable; measuring says why, or does without */
        else if (st)
            mls_fail(err, st, "%s", why.text);
    }
    for (size_t m = 0; !st && m < r->n_methods; m++)
        any = any || h->usable[m];
    if (!st && !any)
        st = mls_fail(err, MLS_E_INPUT,
                      "no method of this plan has a rank of its own for each head; "
                      "kqsvd and matryoshka have");
    if (st) {
        mls_plan_heads_free(h);
        return st;
    }
    *out = h;
    return MLS_OK;
}

/* All of a setting but its key `rank`. */
static mls_status without_rank(mls_setting *out, const mls_setting *s, mls_err *err)
{
    mls_status st = MLS_OK;

    *out = (mls_setting){0};
    memcpy(out->method, s->method, sizeof out->method);
    for (size_t i = 0; !st && i < s->n; i++)
        if (strcmp(s->key[i], "rank") != 0)
            st = mls_setting_set(out, s->key[i], s->value[i], err);
    return st;
}

mls_status mls_plan_setting(mls_setting *out, const mls_plan_costs *c, size_t i,
                            size_t l, mls_err *err)
{
    static const char *const keys[MLS_SIDES] = {"rank_k", "rank_v"};
    const mls_candidate *one = &c->candidate[i];
    const mls_plan_heads *h = c->heads;
    size_t rank[MLS_HEADS_MAX];
    mls_status st;

    *out = one->setting;
    if (!h || !h->usable[one->method] || one->rank == 0)
        return MLS_OK;
    st = without_rank(out, &one->setting, err);
    for (size_t side = 0; !st && side < MLS_SIDES; side++) {
        mls_split_ranks(rank, tail_of(h, one->method, l, (mls_side)side), h->G, h->most,
                        h->G * one->rank, h->step);
        st = mls_set_head_ranks(out, keys[side], rank, h->G, err);
    }
    return st;
}
