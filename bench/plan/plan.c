/*
 * Candidates, refusal of what cannot be, losses, allocation, and then measuring what
 * was chosen: the sum of losses is a model and large losses need not obey it, so that
 * the plan runs against the largest uniform setting of every family on the windows that
 * it was made of, the best is taken, and other windows verify. A bound on KL instead of
 * a budget is met by bisection over budgets with predicted losses, a measurement, a new
 * scale, and again.
 */
#include "bench/plan/plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/frame/fit.h"
#include "bench/plan/allocate.h"
#include "bench/plan/plan_costs.h"
#include "bench/plan/plan_heads.h"
#include "bench/plan/plan_healed.h"
#include "common/base/checked.h"
#include "common/system/hash.h"
#include "common/system/progress_part.h"
#include "datasets/files/parts.h"

/* What the model refuses is left out of what is measured beside the plan. */
static const mls_evaluate_options keep_going = {.keep_going = true};

enum { UNDER_ROUNDS = 8, VERIFIED_MAX = 32, FITS_EACH = 2 };

/* Candidates as choices of the allocation: those that the constraints allow. */
typedef struct {
    const mls_plan_costs *costs;
    mls_choice *item;
    size_t *candidate; /* of each item */
    size_t *first;     /* (L + 1) */
    mls_choices c;
    size_t *chosen; /* (L) items */
    bool uniform;   /* one candidate for all layers: the code that serves takes one */
} problem;

static void problem_free(problem *p)
{
    mls_free_all(p->item, p->candidate, p->first, p->chosen);
}

static mls_status problem_new(problem *p, const mls_plan_costs *costs,
                              const mls_plan_request *r, mls_err *err)
{
    const size_t L = costs->L;
    size_t n = 0;

    *p = (problem){.costs = costs,
                   .item = mls_calloc3(costs->n, L, 1, sizeof *p->item),
                   .candidate = mls_calloc3(costs->n, L, 1, sizeof *p->candidate),
                   .first = mls_calloc3(L + 1, 1, 1, sizeof *p->first),
                   .chosen = mls_calloc3(L, 1, 1, sizeof *p->chosen)};
    if (!p->item || !p->candidate || !p->first || !p->chosen)
        return mls_fail(err, MLS_E_NOMEM, "no memory to allocate %zu layers", L);
    for (size_t l = 0; l < L; l++) {
        for (size_t i = 0; i < costs->n; i++) {
            if (!costs->allowed[i * L + l])
                continue;
            p->item[n] = (mls_choice){.bytes = costs->bytes[i * L + l],
                                      .loss = costs->loss[i * L + l]};
            p->candidate[n++] = i;
        }
        p->first[l + 1] = n;
    }
    p->uniform = r->serve && mls_serve_uniform(*r->serve);
    p->c = (mls_choices){.L = L, .first = p->first, .item = p->item};
    return MLS_OK;
}

static double loss_of(const problem *p)
{
    double sum = 0;

    for (size_t l = 0; l < p->costs->L; l++)
        sum += p->item[p->chosen[l]].loss;
    return sum;
}

static size_t bytes_of(const problem *p)
{
    size_t sum = 0;

    for (size_t l = 0; l < p->costs->L; l++)
        sum += p->item[p->chosen[l]].bytes;
    return sum;
}

static mls_status scheme_of(mls_scheme *s, const problem *p, mls_err *err)
{
    mls_setting *setting = mls_calloc3(p->costs->L, 1, 1, sizeof *setting);
    mls_status st = MLS_OK;

    *s = (mls_scheme){0};
    if (!setting)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a plan");
    for (size_t l = 0; !st && l < p->costs->L; l++)
        st =
            mls_plan_setting(&setting[l], p->costs, p->candidate[p->chosen[l]], l, err);
    if (!st)
        st = mls_scheme_per_layer(s, "plan", setting, p->costs->L, err);
    free(setting);
    return st;
}

static double own_bytes(const mls_plan_request *r)
{
    mls_size_result size = {0};

    mls_size_own(&size, r->in.config, r->tokens, NULL);
    return size.bytes_per_token;
}

/* --- The allocation --- */

/* Items of candidate i in every layer; false when a constraint forbids it somewhere. */
static bool choose_uniform(size_t *chosen, const problem *p, size_t i)
{
    for (size_t l = 0; l < p->costs->L; l++) {
        size_t k = p->first[l];

        while (k < p->first[l + 1] && p->candidate[k] != i)
            k++;
        if (k == p->first[l + 1])
            return false;
        chosen[l] = k;
    }
    return true;
}

/*
 * The candidate with the least summed loss that fits, of equal ones the smallest; where
 * losses are not known, the last and largest.
 */
static mls_status allocate_uniform(problem *p, size_t budget, mls_err *err)
{
    const size_t L = p->costs->L;
    size_t *chosen = p->chosen, *best = mls_calloc3(L, 1, 1, sizeof *best);
    double least = INFINITY;
    size_t bytes = SIZE_MAX;
    bool any = false;

    if (!best)
        return mls_fail(err, MLS_E_NOMEM, "no memory to allocate %zu layers", L);
    for (size_t i = 0; i < p->costs->n; i++) {
        if (!choose_uniform(chosen, p, i) || bytes_of(p) > budget ||
            loss_of(p) > least || (loss_of(p) == least && bytes_of(p) >= bytes))
            continue;
        memcpy(best, chosen, L * sizeof *best);
        least = loss_of(p);
        bytes = bytes_of(p);
        any = true;
    }
    if (any)
        memcpy(chosen, best, L * sizeof *best);
    free(best);
    return any ? MLS_OK
               : mls_fail(err, MLS_E_INPUT,
                          "no setting fits %zu bytes when all layers have the same",
                          budget);
}

static mls_status allocate(problem *p, size_t budget, mls_err *err)
{
    return p->uniform ? allocate_uniform(p, budget, err)
                      : mls_allocate_exact(p->chosen, &p->c, budget, err);
}

/* --- The smallest cache under a KL --- */

/* The allocation with the fewest bytes whose scaled loss is at most `limit`. */
static mls_status smallest_under(problem *p, double limit, double scale, mls_err *err)
{
    size_t low = mls_choices_least(&p->c), high = low;
    mls_status st;

    for (size_t l = 0; l < p->costs->L; l++) {
        size_t most = 0;

        for (size_t i = p->first[l]; i < p->first[l + 1]; i++)
            most = p->item[i].bytes > most ? p->item[i].bytes : most;
        high += most;
    }
    st = allocate(p, high, err);
    if (!st && scale * loss_of(p) > limit)
        return MLS_OK; /* the best there is; the caller measures it */
    while (!st && low < high) {
        const size_t middle = low + (high - low) / 2;

        st = allocate(p, middle, err);
        if (!st && scale * loss_of(p) <= limit)
            high = middle;
        else
            low = middle + 1;
    }
    return st ? st : allocate(p, low, err);
}

static mls_status measure_plan(double *kl, const problem *p, const mls_plan_request *r,
                               const mls_progress *progress, mls_err *err)
{
    mls_scheme scheme;
    mls_evaluation e = {0};
    mls_status st = scheme_of(&scheme, p, err);
    const mls_variant variant = {.scheme = &scheme, .only_layer = MLS_NONE};

    if (!st)
        st = mls_plan_evaluate(&e, r, r->search, &variant, 1, NULL, progress, err);
    if (!st)
        *kl = e.variant[0].kl.mean;
    mls_evaluation_free(&e);
    mls_scheme_free(&scheme);
    return st;
}

/*
 * Predict, measure, correct the scale where the plan is now, and again; the smallest
 * plan measured under the limit is kept in p->chosen.
 */
static mls_status stay_under(problem *p, double *scale, const mls_plan_request *r,
                             const mls_progress *progress, mls_err *err)
{
    const size_t L = p->costs->L;
    size_t *best = mls_calloc3(L, 1, 1, sizeof *best), best_bytes = SIZE_MAX;
    double limit = r->max_kl, least = INFINITY, best_scale = *scale;
    size_t before = 0;
    mls_status st = MLS_OK;

    if (!best)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a plan");
    for (size_t round = 0; !st && round < UNDER_ROUNDS; round++) {
        double kl = NAN;

        st = smallest_under(p, limit, *scale, err);
        if (st)
            break;
        if (bytes_of(p) == before) { /* nothing new: done, or a little more caution */
            if (best_bytes < SIZE_MAX)
                break;
            limit *= 0.9;
            continue;
        }
        before = bytes_of(p);
        st = measure_plan(&kl, p, r, progress, err);
        if (!st && loss_of(p) > 0 && kl > 0)
            *scale = kl / loss_of(p);
        if (!st && kl <= r->max_kl && before < best_bytes) {
            memcpy(best, p->chosen, L * sizeof *best);
            best_bytes = before;
            best_scale = *scale;
        }
        least = fmin(least, kl);
    }
    if (!st && best_bytes == SIZE_MAX)
        st =
            mls_fail(err, MLS_E_INPUT,
                     "no plan found whose KL stays under %g; the least measured was %g",
                     r->max_kl, least);
    memcpy(p->chosen, best, L * sizeof *best);
    *scale = best_scale;
    free(best);
    return st;
}

/* --- Never worse than one setting for all layers --- */

/*
 * Losses of layers are summed, which large losses need not obey: measure the plan and
 * the largest uniform setting of each family on the search windows, and take the best.
 */
static mls_status keep_the_best(problem *p, const mls_plan_request *r, size_t budget,
                                const mls_progress *progress, mls_err *err)
{
    const size_t L = p->costs->L;
    size_t *all = mls_calloc3(VERIFIED_MAX, L, 1, sizeof *all), n = 1, best = 0;
    mls_scheme scheme[VERIFIED_MAX] = {0};
    mls_variant variant[VERIFIED_MAX];
    mls_evaluation e = {0};
    problem one = *p;
    mls_status st = all ? MLS_OK : mls_fail(err, MLS_E_NOMEM, "no memory for a plan");

    if (!st)
        memcpy(all, p->chosen, L * sizeof *all);
    for (size_t k = 0; !st && k < r->n_methods * r->n_bits && n < VERIFIED_MAX; k++) {
        const size_t i =
            mls_plan_uniform(p->costs, k / r->n_bits, k % r->n_bits, budget);

        n += i < p->costs->n && choose_uniform(all + n * L, p, i);
    }
    for (size_t i = 0; !st && i < n; i++) {
        one.chosen = all + i * L;
        st = scheme_of(&scheme[i], &one, err);
        variant[i] = (mls_variant){.scheme = &scheme[i], .only_layer = MLS_NONE};
    }
    if (!st && n > 1)
        st =
            mls_plan_evaluate(&e, r, r->search, variant, n, &keep_going, progress, err);
    if (!st)
        st = mls_evaluation_possible(&e, err);
    for (size_t i = 1; !st && i < e.n; i++)
        if (e.variant[best].refused || e.variant[i].kl.mean < e.variant[best].kl.mean)
            best = i;
    if (!st)
        memcpy(p->chosen, all + best * L, L * sizeof *all);
    mls_evaluation_free(&e);
    for (size_t i = 0; i < n; i++)
        mls_scheme_free(&scheme[i]);
    free(all);
    return st;
}

/* --- Verification --- */

/* What is measured beside the plan: names, schemes, predictions. */
typedef struct {
    mls_scheme scheme[VERIFIED_MAX];
    double predicted[VERIFIED_MAX];
    size_t n;
} verified;

static mls_status add_uniform(verified *v, const mls_setting *s, double predicted,
                              size_t L, mls_err *err)
{
    const mls_status st =
        v->n < VERIFIED_MAX ? mls_scheme_uniform(&v->scheme[v->n], s, L, err) : MLS_OK;

    if (!st && v->n < VERIFIED_MAX)
        v->predicted[v->n++] = predicted;
    return st;
}

/* Every family's largest uniform setting that fits what the plan takes. */
static mls_status add_families(verified *v, const problem *p, const mls_plan_request *r,
                               double scale, size_t budget, mls_err *err)
{
    const mls_plan_costs *c = p->costs;
    mls_status st = MLS_OK;

    for (size_t k = 0; !st && k < r->n_methods * r->n_bits; k++) {
        const size_t i = mls_plan_uniform(c, k / r->n_bits, k % r->n_bits, budget);
        double loss = 0;

        /* A method that was refused where losses were measured has none. */
        if (i == c->n || (!isnan(scale) && isnan(c->loss[i * c->L])))
            continue;
        for (size_t l = 0; l < c->L; l++)
            loss += c->loss[i * c->L + l];
        /* Losses are of ranks split over the heads; this setting does not split. */
        if (c->heads && c->heads->usable[k / r->n_bits] && c->candidate[i].rank)
            loss = NAN;
        st = add_uniform(v, &c->candidate[i].setting, scale * loss, c->L, err);
    }
    return st;
}

static mls_status add_projects(verified *v, const mls_plan_request *r, double fraction,
                               mls_err *err)
{
    static const mls_method *const project[] = {
        &mls_method_mha2mla, &mls_method_elitekv, &mls_method_x_ecomla,
        &mls_method_transmla};
    mls_status st = MLS_OK;

    for (size_t m = 0; !st && m < sizeof project / sizeof project[0]; m++) {
        mls_fits fits;

        st = mls_method_fit(project[m], r->in.config, fraction, &fits, err);
        for (size_t i = 0; !st && i < fits.n && i < FITS_EACH; i++)
            st = add_uniform(v, &fits.setting[i], NAN, r->in.config->L, err);
        mls_fits_free(&fits);
    }
    return st;
}

static mls_status verify(mls_plan *out, const problem *p, const mls_plan_request *r,
                         const mls_progress *progress, mls_err *err)
{
    const size_t budget = (size_t)(out->budget * (double)r->tokens + 0.5);
    const double base = own_bytes(r);
    const mls_size_request request = mls_size_one(r->tokens);
    verified v = {.n = 1, .predicted = {out->scale * loss_of(p)}};
    mls_variant variant[VERIFIED_MAX];
    mls_evaluation e = {0};
    mls_status st = scheme_of(&v.scheme[0], p, err);

    if (!st)
        st = add_families(&v, p, r, out->scale, budget, err);
    if (!st && r->projects)
        st = add_projects(&v, r, out->budget / base, err);
    for (size_t i = 0; i < v.n; i++)
        variant[i] = (mls_variant){.scheme = &v.scheme[i], .only_layer = MLS_NONE};
    if (!st)
        st = mls_plan_evaluate(&e, r, r->verify, variant, v.n, &keep_going, progress,
                               err);
    if (!st && e.variant[0].refused) /* without a plan there is nothing to say */
        st = mls_fail(err, MLS_E_INPUT, "%s", e.variant[0].refused);
    if (!st && !(out->measured = mls_calloc3(v.n, 1, 1, sizeof *out->measured)))
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the results");
    for (size_t i = 0; !st && i < v.n; i++) {
        const mls_quality *q = &e.variant[i], *plan = &e.variant[0];
        mls_size_result size;

        if (q->refused) {
            mls_progress_note(progress, "left out: %s", q->refused);
            st = mls_plan_refuse(&out->refused, v.scheme[i].name, q->refused, err);
            continue;
        }
        mls_plan_quality *m = &out->measured[out->n_measured++];

        mls_size(&size, q->layout, &request);
        *m = (mls_plan_quality){
            .serve = q->serve,
            .bytes = size.bytes_per_token,
            .growing = size.growing_bytes_per_token,
            .fixed = size.fixed_bytes,
            .kept = size.bytes_per_token / base,
            .predicted = v.predicted[i],
            .kl = q->kl,
            .nll = q->nll,
            .top1 = q->top1.mean,
            .reduction = i ? 1 - plan->kl.mean / q->kl.mean : (double)NAN,
            .difference = i ? mls_mean_of_difference(q->seq_kl, plan->seq_kl, q->N)
                            : (mls_mean){NAN, NAN}};
        snprintf(m->name, sizeof m->name, "%s", v.scheme[i].name);
        if (r->heal) /* healed forms know no class */
            st =
                mls_scheme_serve(&m->serve, &v.scheme[i], r->in.config, q->layout, err);
    }
    mls_evaluation_free(&e);
    for (size_t i = 0; i < v.n; i++)
        mls_scheme_free(&v.scheme[i]);
    return st;
}

/* --- All of it --- */

static mls_status refuse_budget(const mls_plan_request *r, const problem *p,
                                mls_err *err)
{
    const double least = (double)mls_choices_least(&p->c) / (double)r->tokens;

    char with[64] = "";

    if (least <= r->budget * (1 + 1e-12))
        return MLS_OK;
    if (r->multiple > 1)
        snprintf(with, sizeof with, " with ranks in multiples of %zu", r->multiple);
    return mls_fail(
        err, MLS_E_INPUT,
        "a budget of %.6g bytes per token (%.4g %% of the model's own cache) "
        "is impossible; the smallest possible%s is %.6g (%.4g %%)",
        r->budget, 100 * r->budget / own_bytes(r), with, least,
        100 * least / own_bytes(r));
}

static mls_status take(mls_plan *out, const problem *p, const mls_plan_request *r,
                       mls_err *err)
{
    const mls_plan_costs *c = p->costs;
    const double T = (double)r->tokens;
    mls_status st = MLS_OK;

    out->L = c->L;
    out->layer = mls_calloc3(c->L, 1, 1, sizeof *out->layer);
    if (!out->layer)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a plan");
    for (size_t l = 0; !st && l < c->L; l++) {
        const mls_choice *item = &p->item[p->chosen[l]];

        out->layer[l].bytes = (double)item->bytes / T;
        out->layer[l].loss = out->scale * item->loss;
        st = mls_plan_setting(&out->layer[l].setting, c, p->candidate[p->chosen[l]], l,
                              err);
    }
    return st;
}

/* What a layer's own cache or form adds to a sequence, and what does not grow. */
static mls_status tell_growth(mls_plan *p, const mls_plan_request *r, mls_err *err)
{
    const mls_size_request request = mls_size_one(r->tokens);
    mls_cache_layout *layout = mls_calloc3(2, 1, 1, sizeof *layout);
    mls_cache_layout *single = layout + 1;
    mls_status st =
        layout ? MLS_OK : mls_fail(err, MLS_E_NOMEM, "no memory for a cache layout");

    p->has_fixed = mls_size_has_fixed(r->in.config);
    for (size_t l = 0; !st && l < p->L; l++) {
        mls_plan_layer *layer = &p->layer[l];
        mls_size_result size;

        st = mls_method_layout(layout, r->in.config, &layer->setting, err);
        if (st)
            break;
        single->L = 1;
        single->layer[0] = layout->layer[l];
        mls_size(&size, single, &request);
        layer->growing = size.growing_bytes_per_token;
        layer->fixed = size.fixed_bytes;
        layer->stays = !mls_common_can_convert(r->in.config, l);
    }
    free(layout);
    return st;
}

/* What each head of a form caches by itself; NULL when all are alike. */
static mls_status heads_of(mls_plan_layer *out, const mls_latent_form *f, mls_err *err)
{
    mls_plan_head *head = mls_calloc3(f->G, 1, 1, sizeof *head);
    size_t *readers = mls_calloc3(f->n_latents + f->n_rope_keys, 1, 1, sizeof *readers);
    bool alike = true;

    if (!head || !readers) {
        mls_free_all(head, readers);
        return mls_fail(err, MLS_E_NOMEM, "no memory for the heads of a plan");
    }
    for (size_t g = 0; g < f->G; g++) {
        const mls_read_head *h = &f->head[g];

        readers[h->value_latent]++;
        if (h->key_latent >= 0)
            readers[h->key_latent]++;
        if (h->rope_key >= 0)
            readers[f->n_latents + (size_t)h->rope_key]++;
    }
    for (size_t g = 0; g < f->G; g++) {
        const mls_read_head *h = &f->head[g];
        const size_t rope = f->n_latents + (size_t)(h->rope_key >= 0 ? h->rope_key : 0);

        if (h->rope_key >= 0 && readers[rope] == 1)
            head[g].chunks = f->rope_key[h->rope_key].n / 2;
        if (h->key_latent >= 0 && readers[h->key_latent] == 1)
            head[g].key_rank = f->latent[h->key_latent].r;
        if (readers[h->value_latent] == 1)
            head[g].value_rank = f->latent[h->value_latent].r;
        alike = alike && memcmp(&head[g], &head[0], sizeof *head) == 0;
    }
    free(readers);
    if (alike) {
        free(head);
        head = NULL;
    }
    out->head = head;
    out->G = head ? f->G : 0;
    return MLS_OK;
}

/*
 * Where heads of a layer differ, what each of them gets; no form is made to see that
 * they cannot.
 */
static mls_status describe_heads(mls_plan *out, const problem *p,
                                 const mls_plan_request *r, mls_err *err)
{
    mls_scheme scheme;
    mls_ready_scheme *ready = NULL;
    bool any = false;
    mls_status st = MLS_OK;

    for (size_t l = 0; l < out->L; l++)
        any = any || mls_method_by_head(r->in.config, &out->layer[l].setting);
    if (!any)
        return MLS_OK;
    st = scheme_of(&scheme, p, err);
    if (!st)
        st = mls_scheme_prepare(&ready, &scheme, &r->in, err);
    for (size_t l = 0; !st && l < out->L; l++) {
        if (out->layer[l].stays ||
            !mls_method_by_head(r->in.config, &out->layer[l].setting))
            continue;
        mls_latent_form form;

        st = mls_scheme_form(ready, l, &form, err);
        if (!st)
            st = heads_of(&out->layer[l], &form, err);
        mls_latent_free(&form);
    }
    mls_ready_scheme_free(ready);
    mls_scheme_free(&scheme);
    return st;
}

mls_status mls_plan_make(mls_plan *out, const mls_plan_request *r,
                         const mls_progress *progress, mls_err *err)
{
    mls_progress_part part[3];
    const double T = (double)r->tokens;
    double budget = r->max_kl > 0 ? own_bytes(r) / 4 : r->budget;
    mls_plan_costs costs = {0};
    problem p = {0};
    size_t *chosen = NULL;
    mls_status st = mls_plan_candidates(&costs, r, err);

    *out = (mls_plan){.tokens = r->tokens,
                      .search_windows = r->search->N,
                      .verify_windows = r->verify->N,
                      .length = mls_corpus_length(r->search)};
    snprintf(out->model_sha256, sizeof out->model_sha256, "%s", r->model_sha256);
    snprintf(out->text_sha256, sizeof out->text_sha256, "%s", r->search->sha256);
    snprintf(out->doubt, sizeof out->doubt, "%s", r->in.config->doubt);
    if (!st && r->in.capture)
        st = mls_sha256_file(mls_capture_path(r->in.capture), out->capture_sha256, err);
    if (!st)
        st = problem_new(&p, &costs, r, err);
    /* Impossible budgets are refused before anything is measured. */
    if (!st && !(r->max_kl > 0))
        st = refuse_budget(r, &p, err);
    /* One setting for all layers is measured whole: layers alone say nothing more. */
    const bool by_layers = !p.uniform || r->max_kl > 0;
    const double measured = by_layers ? 0.6 : 0, chosen_at = by_layers ? 0.8 : 0.5;
    const mls_progress *costs_told =
        mls_progress_part_of(&part[0], progress, 0, measured);
    const mls_progress *choice_told =
        mls_progress_part_of(&part[1], progress, measured, chosen_at);
    const mls_progress *verified_told =
        mls_progress_part_of(&part[2], progress, chosen_at, 1);

    if (!st && by_layers)
        st = mls_plan_measure(&costs, r, (size_t)(budget * T), costs_told, err);
    if (!st && by_layers && mls_parts_making(r->in.parts))
        goto done;
    if (!by_layers)
        costs.scale = NAN;
    problem_free(&p);
    p = (problem){0};
    if (!st)
        st = problem_new(&p, &costs, r, err); /* now with losses */
    if (!st && !(r->max_kl > 0))
        st =
            refuse_budget(r, &p, err); /* what was refused may have been the smallest */
    out->scale = costs.scale;
    if (!st && r->max_kl > 0) {
        st = stay_under(&p, &out->scale, r, choice_told, err);
        budget = st ? 0 : (double)bytes_of(&p) / T;
    } else if (!st) {
        st = allocate(&p, (size_t)(budget * T * (1 + 1e-12)), err);
        if (!st)
            st = keep_the_best(&p, r, (size_t)(budget * T * (1 + 1e-12)), choice_told,
                               err);
    }
    if (!st && mls_parts_making(r->in.parts))
        goto done;
    out->budget = budget;
    if (!st && !(chosen = mls_calloc3(costs.L, 1, 1, sizeof *chosen)))
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a plan");
    out->price = out->bound = NAN;
    if (!st && by_layers)
        st = mls_allocate_water(chosen, &out->price, &out->bound, &p.c,
                                (size_t)(budget * T * (1 + 1e-12)), err);
    out->price *= out->scale * T;
    if (by_layers)
        out->bound = fmax(out->bound * out->scale, 0);
    if (!st)
        st = take(out, &p, r, err);
    if (!st)
        st = tell_growth(out, r, err);
    if (!st)
        st = describe_heads(out, &p, r, err);
    out->refused = costs.refused;
    costs.refused = (mls_plan_refused){0};
    if (!st)
        st = verify(out, &p, r, verified_told, err);

done:
    free(chosen);
    problem_free(&p);
    mls_plan_costs_free(&costs);
    if (st)
        mls_plan_free(out);
    return st;
}
