/*
 * Layer by layer: load what the most demanding rule needs, score, choose, then measure.
 * With costs, windows 0, 2, 4 ... choose and the others measure, and norms of the
 * sequences that measure are left out: a choice looks better on its own text than it
 * is. A budget over all layers waits for the losses of all of them. A layer is a unit
 * of a run that processes share; pass_choice() is its writer and its reader.
 */
#include "analysis/frequency/frequency.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/frequency/agreement.h"
#include "analysis/frequency/layer_windows.h"
#include "analysis/model/rope.h"
#include "common/base/checked.h"
#include "common/system/progress_part.h"
#include "datasets/files/parts.h"

static const double two_pi = 6.283185307179586476925;

double mls_frequency_wavelength(const mls_frequency *f, size_t l, size_t c)
{
    return two_pi / f->inv_freq[l * f->C + c];
}

double mls_frequency_wavelength_of_all(const mls_frequency *f, size_t c)
{
    size_t l = 0;

    if (!mls_layers_turn_alike(&f->config))
        return (double)NAN;
    while (f->config.layer[l].no_rope) /* one turns: f->n_layers > 0 */
        l++;
    return mls_frequency_wavelength(f, l, c);
}

const mls_selection *mls_frequency_selection(const mls_frequency *f, size_t i, size_t b,
                                             size_t l)
{
    return &f->rule[i].selection[b * f->L + l];
}

void mls_frequency_free(mls_frequency *f)
{
    for (size_t i = 0; f->rule && i < f->n_rules; i++) {
        mls_frequency_rule *r = f->rule + i;

        for (size_t s = 0; r->selection && s < f->n_chunks * f->L; s++)
            mls_selection_free(&r->selection[s]);
        mls_free_all(r->score, r->low, r->high, r->in_top, r->loss, r->selection,
                     r->cost, r->overlap);
        for (size_t l = 0; r->agreement && l < f->L; l++)
            free(r->agreement[l].overlap);
        free(r->agreement);
    }
    mls_free_all(f->rule, f->chunks, f->inv_freq, f->work);
    *f = (mls_frequency){0};
}

static double *nans(size_t a, size_t b, size_t c)
{
    double *x = mls_calloc3(a, b, c, sizeof *x);

    for (size_t i = 0; x && i < a * b * c; i++)
        x[i] = NAN;
    return x;
}

static mls_status rule_new(mls_frequency *f, mls_frequency_rule *r, const char *name,
                           bool costs, mls_err *err)
{
    const size_t LG = f->L * f->G, n_selections = f->n_chunks * f->L;
    mls_status st = mls_rule_find(&r->rule, name, err);

    if (st)
        return st;
    if (strlen(name) >= sizeof r->name)
        return mls_fail(err, MLS_E_ARG, "rule %.60s: its argument is too long", name);
    memcpy(r->name, name, strlen(name) + 1);
    r->score = nans(LG, f->C, 1);
    r->low = nans(LG, f->C, 1);
    r->high = nans(LG, f->C, 1);
    r->in_top = nans(f->n_chunks, LG, f->C);
    r->loss = nans(LG, f->C + 1, 1);
    r->selection = mls_calloc3(n_selections, 1, 1, sizeof *r->selection);
    if (costs)
        r->cost = mls_calloc3(n_selections, f->n_held, f->H, sizeof *r->cost);
    r->overlap = mls_calloc3(MLS_STABILITY_SIZES, f->n_chunks, 1, sizeof *r->overlap);
    r->agreement = mls_calloc3(f->L, 1, 1, sizeof *r->agreement);
    for (size_t l = 0; r->agreement && l < f->L && !st; l++) {
        r->agreement[l].overlap =
            mls_calloc3(MLS_STABILITY_SIZES, f->n_chunks, 1, sizeof *r->overlap);
        if (!r->agreement[l].overlap)
            st = mls_fail(err, MLS_E_NOMEM, "no memory for the results of rule %s",
                          name);
    }
    if (st)
        return st;
    if (!r->score || !r->low || !r->high || !r->in_top || !r->loss || !r->selection ||
        (costs && !r->cost) || !r->overlap || !r->agreement)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the results of rule %s", name);
    for (size_t i = 0; i < n_selections && !st; i++)
        st = mls_selection_new(&r->selection[i], f->G, f->C, err);
    return st;
}

/* Which windows choose and which measure. */
static void split_windows(mls_frequency *f, const mls_capture *capture,
                          const mls_frequency_request *q)
{
    const size_t all = mls_capture_windows(capture);

    f->step = q->windows && q->windows < all ? all / q->windows : 1;
    const size_t W = f->step > 1 ? q->windows : all;

    f->n_held = q->costs ? W / 2 : 0;
    f->n_windows = W - f->n_held;
    f->T = mls_capture_window_length(capture);
    if (q->tokens && q->tokens < f->T)
        f->T = q->tokens;
}

static mls_status frequency_new(mls_frequency *f, mls_capture *capture,
                                const mls_frequency_request *q, mls_err *err)
{
    const mls_config *config = mls_capture_config(capture);
    mls_status st = MLS_OK;

    *f = (mls_frequency){
        .config = *config,
        .L = config->L,
        .H = config->H,
        .G = q->scope == MLS_SCOPE_QUERY ? config->H : config->G,
        .C = config->D / 2,
        .n_rules = q->n_rules,
        .n_chunks = q->n_chunks,
        .scope = q->scope,
        .bootstrap = q->bootstrap,
        .seed = q->seed,
    };
    split_windows(f, capture, q);
    for (size_t l = 0; l < f->L; l++)
        f->n_layers += !config->layer[l].no_rope;
    if (f->n_layers == 0)
        return mls_fail(err, MLS_E_INPUT, "no layer of this model turns its keys");
    if (q->costs && f->n_held == 0)
        return mls_fail(err, MLS_E_INPUT,
                        "to measure costs one window must choose and another measure; "
                        "the capture holds %zu",
                        f->n_windows);
    for (size_t i = 0; i < q->n_chunks; i++)
        if (q->chunks[i] > f->C)
            return mls_fail(err, MLS_E_INPUT,
                            "%zu chunks per head asked for, the model has %zu (%zu "
                            "dims)",
                            q->chunks[i], f->C, config->D);
    f->rule = mls_calloc3(q->n_rules, 1, 1, sizeof *f->rule);
    f->chunks = mls_calloc3(q->n_chunks, 1, 1, sizeof *f->chunks);
    f->inv_freq = mls_calloc3(f->L, f->C, 1, sizeof *f->inv_freq);
    f->work = mls_calloc3(3, f->n_held, 1, sizeof *f->work);
    if (!f->rule || !f->chunks || !f->inv_freq || !f->work)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu rules", q->n_rules);
    memcpy(f->chunks, q->chunks, q->n_chunks * sizeof *f->chunks);
    for (size_t l = 0; l < f->L; l++)
        mls_layer_frequencies(f->inv_freq + l * f->C, config, l);
    for (size_t i = 0; i < q->n_rules && !st; i++)
        st = rule_new(f, f->rule + i, q->rules[i], q->costs, err);
    return st;
}

/* Norms of the sequences that may choose. */
typedef struct {
    double *q, *k; /* (n, H, C), (n, G, C) */
    size_t n;
    double tokens; /* of all of them */
} norms;

/* k (n, H, C) from (n, G, C): every query head with the norms of its keys. */
static mls_status norms_for_queries(norms *out, const mls_frequency *f, mls_err *err)
{
    const size_t G = f->config.G, C = f->C;
    double *k = mls_calloc3(out->n, f->H, C, sizeof *k);

    if (!k)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the norms of %zu heads", f->H);
    for (size_t i = 0; i < out->n * f->H; i++) {
        const size_t g = i % f->H / (f->H / G);

        memcpy(k + i * C, out->k + (i / f->H * G + g) * C, C * sizeof *k);
    }
    free(out->k);
    out->k = k;
    return MLS_OK;
}

static mls_status norms_load(norms *out, const mls_frequency *f, mls_capture *capture,
                             size_t l, mls_err *err)
{
    const size_t n_q = f->H * f->C, n_k = f->config.G * f->C;
    const size_t *start = mls_capture_start(capture);
    mls_status st;

    *out = (norms){0};
    st = mls_capture_norms(capture, l, &out->q, &out->k, err);
    for (size_t n = 0; n < mls_capture_sequences(capture) && !st; n++) {
        bool held = false;

        for (size_t w = 0; w < f->n_held; w++)
            held |= mls_capture_window_sequence(capture, f->step * (2 * w + 1)) == n;
        if (held)
            continue;
        memmove(out->q + out->n * n_q, out->q + n * n_q, n_q * sizeof *out->q);
        memmove(out->k + out->n * n_k, out->k + n * n_k, n_k * sizeof *out->k);
        out->tokens += (double)(start[n + 1] - start[n]);
        out->n++;
    }
    if (!st && out->n == 0)
        st = mls_fail(err, MLS_E_INPUT,
                      "every sequence is a held-out window; capture more text");
    if (!st && f->G != f->config.G)
        st = norms_for_queries(out, f, err);
    return st;
}

/*
 * Windows 0, 2, 4, ... (first = 0) or 1, 3, 5, ... (first = 1); all without held ones.
 */
static mls_status windows_load(mls_layer_windows *out, const mls_frequency *f,
                               mls_capture *capture, size_t l, bool held, mls_err *err)
{
    const size_t n = held ? f->n_held : f->n_windows;
    size_t *which = mls_calloc3(n, 1, 1, sizeof *which);
    mls_status st;

    *out = (mls_layer_windows){0};
    if (!which)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu windows", n);
    for (size_t i = 0; i < n; i++)
        which[i] = f->step * (f->n_held ? 2 * i + held : i);
    st = mls_layer_windows_load(out, capture, l, which, n, held, f->T, err);
    out->set.per_query_head = f->scope == MLS_SCOPE_QUERY;
    free(which);
    return st;
}

/* Agreement of a search on the first half of the windows with one on the second. */
static mls_status stability_of_search(mls_frequency *f, mls_agreement *r,
                                      const mls_rule *rule, const mls_rule_data *data,
                                      mls_pool *pool, const mls_progress *progress,
                                      mls_err *err)
{
    const size_t half = data->windows->n / 2;
    mls_rule_scores s[2] = {{0}};
    mls_status st = MLS_OK;

    for (size_t i = 0; i < 2 && !st && half > 0; i++) {
        mls_chunk_windows windows = *data->windows;
        mls_rule_data part = *data;

        windows.window += i * half;
        windows.n = half;
        part.windows = &windows;
        st = mls_rule_scores_make(&s[i], rule, &part, pool, progress, err);
    }
    if (!st && half > 0) {
        r->n_sizes = 1;
        r->units[0] = half;
        mls_order_agreement(s[0].order, s[1].order, f->G, f->C, f->chunks, f->n_chunks,
                            1.0 / (double)f->n_layers, r->overlap, &r->correlation[0]);
    }
    mls_rule_scores_free(&s[0]);
    mls_rule_scores_free(&s[1]);
    return st;
}

static mls_status add_stability(mls_frequency *f, mls_agreement *r,
                                const mls_rule_scores *s, mls_err *err)
{
    const double share = 1.0 / (double)f->n_layers;
    mls_stability y;
    mls_status st;

    if (s->units < 2)
        return MLS_OK;
    st = mls_stability_make(&y, s, f->chunks, f->n_chunks, f->seed, err);
    if (st)
        return st;
    r->n_sizes = y.n;
    for (size_t i = 0; i < y.n; i++) {
        r->units[i] = y.units[i];
        r->correlation[i] += share * y.correlation[i];
        for (size_t b = 0; b < f->n_chunks; b++)
            r->overlap[i * f->n_chunks + b] += share * y.overlap[i * f->n_chunks + b];
    }
    mls_stability_free(&y);
    return MLS_OK;
}

static mls_status add_bootstrap(mls_frequency *f, mls_frequency_rule *r,
                                const mls_rule_scores *s, size_t l, mls_pool *pool,
                                mls_err *err)
{
    const size_t n = f->G * f->C;
    mls_bootstrap b;
    mls_status st = mls_bootstrap_make(&b, s, f->chunks, f->n_chunks, f->bootstrap,
                                       f->seed, pool, err);

    if (st)
        return st;
    memcpy(r->low + l * n, b.low, n * sizeof *b.low);
    memcpy(r->high + l * n, b.high, n * sizeof *b.high);
    for (size_t i = 0; i < f->n_chunks; i++)
        memcpy(r->in_top + (i * f->L + l) * n, b.in_top + i * n, n * sizeof *b.in_top);
    mls_bootstrap_free(&b);
    return MLS_OK;
}

/* Scores, certainty and, but for a global budget, selections of one layer. */
static mls_status score_layer(mls_frequency *f, mls_frequency_rule *r, size_t l,
                              const mls_rule_data *data, bool stability, mls_pool *pool,
                              const mls_progress *progress, mls_err *err)
{
    const size_t n = f->G * f->C;
    mls_rule_scores s;
    mls_status st = mls_rule_scores_make(&s, r->rule, data, pool, progress, err);

    if (st)
        return st;
    memcpy(r->score + l * n, s.score, n * sizeof *s.score);
    if (s.loss)
        memcpy(r->loss + l * (n + f->G), s.loss, (n + f->G) * sizeof *s.loss);
    for (size_t b = 0; b < f->n_chunks && !st; b++) {
        mls_selection *selection = &r->selection[b * f->L + l];

        memcpy(selection->order, s.order, n * sizeof *s.order);
        for (size_t g = 0; g < f->G; g++)
            selection->count[g] = f->scope == MLS_SCOPE_LAYER ? 0 : f->chunks[b];
        if (f->scope == MLS_SCOPE_LAYER)
            st = mls_selection_spread(selection, s.score, s.loss, f->chunks[b], err);
    }
    if (!st && f->bootstrap && mls_rule_scores_resampled(&s))
        st = add_bootstrap(f, r, &s, l, pool, err);
    if (!st && stability && mls_rule_scores_resampled(&s))
        st = add_stability(f, &r->agreement[l], &s, err);
    else if (!st && stability)
        st = stability_of_search(f, &r->agreement[l], r->rule, data, pool, progress,
                                 err);
    mls_rule_scores_free(&s);
    return st;
}

static mls_status shape_layer(mls_frequency *f, mls_frequency_rule *r, size_t l,
                              mls_err *err)
{
    mls_status st = MLS_OK;

    for (size_t b = 0; b < f->n_chunks && !st; b++) {
        mls_selection *s = &r->selection[b * f->L + l];

        for (size_t g = 0; g < f->G && !st; g++) {
            s->count[g] = f->chunks[b];
            st = mls_rule_order(s->order + g * f->C, r->name, f->C, f->chunks[b], err);
        }
    }
    return st;
}

/* Losses of layer number `at` among those with RoPE that a global budget looks at. */
static mls_status add_losses(mls_frequency *f, double *loss, size_t l, size_t at,
                             const mls_rule_data *data, mls_pool *pool, mls_err *err)
{
    const size_t n = f->G * (f->C + 1);
    const mls_rule *l2;
    mls_rule_scores grams = {0};
    mls_status st = mls_rule_find(&l2, "ropelite-l2", err);

    if (!st)
        st = mls_rule_scores_make(&grams, l2, data, pool, NULL, err);
    for (size_t i = 0; i < f->n_rules && !st; i++) {
        const mls_frequency_rule *r = f->rule + i;
        double *to = loss + (i * f->n_layers + at) * n;

        if (!isnan(r->loss[l * n]))
            memcpy(to, r->loss + l * n, n * sizeof *to);
        else
            st = mls_rule_square_losses(
                to, r->name, &grams,
                r->rule->needs == MLS_NEEDS_CONFIG ? NULL : r->selection[l].order, err);
    }
    mls_rule_scores_free(&grams);
    return st;
}

/* What the layers of a run share. */
typedef struct {
    mls_frequency *f;
    mls_capture *capture;
    const mls_frequency_request *request;
    double *loss; /* (n_rules, n_layers, G, C + 1) of a global budget, else NULL */
    size_t l;     /* the layer that is number `at` of those with RoPE */
    mls_pool *pool;
    const mls_progress *progress;
} layers;

static mls_status choose_layer(void *arg, size_t at, mls_err *err)
{
    const layers *w = arg;
    mls_frequency *f = w->f;
    mls_capture *capture = w->capture;
    const size_t l = w->l;
    mls_layer_windows windows = {0};
    mls_rule_needs needs =
        f->scope == MLS_SCOPE_GLOBAL ? MLS_NEEDS_WINDOWS : MLS_NEEDS_CONFIG;
    norms norm = {0};
    char phrase[48];
    mls_status st = MLS_OK;

    snprintf(phrase, sizeof phrase, "layer %zu of %zu", at + 1, f->n_layers);
    for (size_t i = 0; i < f->n_rules; i++)
        if (f->rule[i].rule->needs > needs)
            needs = f->rule[i].rule->needs;
    if (needs >= MLS_NEEDS_STATS)
        st = norms_load(&norm, f, capture, l, err);
    if (!st && needs >= MLS_NEEDS_WINDOWS)
        st = windows_load(&windows, f, capture, l, false, err);

    const mls_rule_data data = {
        .H = f->H,
        .G = f->G,
        .C = f->C,
        .q_norm = norm.q,
        .k_norm = norm.k,
        .N = norm.n,
        .windows = windows.window ? &windows.set : NULL,
        .seed = f->seed,
    };
    f->n_sequences = norm.n;
    f->sequence_tokens = norm.n ? norm.tokens / (double)norm.n : 0.0;
    for (size_t i = 0; i < f->n_rules && !st; i++) {
        mls_frequency_rule *r = f->rule + i;

        st = mls_progress_step(w->progress, phrase,
                               (double)at + (double)i / (double)f->n_rules,
                               (double)f->n_layers, err);
        if (!st && r->rule->needs == MLS_NEEDS_CONFIG)
            st = shape_layer(f, r, l, err);
        else if (!st)
            st = score_layer(f, r, l, &data, w->request->stability, w->pool, NULL, err);
    }
    if (!st && w->loss)
        st = add_losses(f, w->loss, l, at, &data, w->pool, err);
    mls_layer_windows_free(&windows);
    mls_free_all(norm.q, norm.k);
    return st;
}

static mls_status spread_globally(mls_frequency *f, const double *loss, mls_err *err)
{
    const size_t n = f->n_layers * f->G * (f->C + 1);
    mls_status st = MLS_OK;

    for (size_t i = 0; i < f->n_rules && !st; i++)
        for (size_t b = 0; b < f->n_chunks && !st; b++)
            st = mls_selections_spread(&f->rule[i].selection[b * f->L], f->rule[i].name,
                                       &f->config, loss + i * n, f->chunks[b], err);
    return st;
}

/* Costs of all selections of a layer on the held windows. */
static mls_status cost_layer(void *arg, size_t at, mls_err *err)
{
    const layers *w = arg;
    mls_frequency *f = w->f;
    mls_capture *capture = w->capture;
    const size_t l = w->l;
    const size_t n = f->n_rules * f->n_chunks;
    const size_t every = w->request->every ? w->request->every : 1;
    mls_selection *all = mls_calloc3(n, 1, 1, sizeof *all); /* borrowed contents */
    mls_cost *cost = mls_calloc3(f->n_held, f->H, n, sizeof *cost);
    mls_layer_windows held = {0};
    mls_status st;

    (void)at;
    if (!all || !cost)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the costs of a layer");
    else
        st = windows_load(&held, f, capture, l, true, err);
    for (size_t i = 0; i < n && !st; i++)
        all[i] = *mls_frequency_selection(f, i / f->n_chunks, i % f->n_chunks, l);
    if (!st)
        st = mls_selection_cost(cost, &held.set, all, n, every, w->pool, err);
    for (size_t i = 0; i < n && !st; i++) {
        mls_cost *to = f->rule[i / f->n_chunks].cost +
                       (i % f->n_chunks * f->L + l) * f->n_held * f->H;

        for (size_t row = 0; row < f->n_held * f->H; row++)
            to[row] = cost[row * n + i];
    }
    mls_layer_windows_free(&held);
    mls_free_all(all, cost);
    return st;
}

/* --- What a part keeps of a layer --- */

static mls_status pass_choice(void *arg, size_t at, mls_unit *u, mls_err *err)
{
    const layers *w = arg;
    mls_frequency *f = w->f;
    const size_t n = f->G * f->C, l = w->l, size = sizeof(double);
    bool good = true;

    mls_unit_pass(u, &f->n_sequences, sizeof f->n_sequences);
    mls_unit_pass(u, &f->sequence_tokens, size);
    for (size_t i = 0; i < f->n_rules; i++) {
        mls_frequency_rule *r = f->rule + i;
        mls_agreement *y = &r->agreement[l];

        mls_unit_pass(u, r->score + l * n, n * size);
        mls_unit_pass(u, r->low + l * n, n * size);
        mls_unit_pass(u, r->high + l * n, n * size);
        mls_unit_pass(u, r->loss + l * (n + f->G), (n + f->G) * size);
        for (size_t b = 0; b < f->n_chunks; b++) {
            mls_selection *s = &r->selection[b * f->L + l];

            mls_unit_pass(u, r->in_top + (b * f->L + l) * n, n * size);
            mls_unit_pass(u, s->count, f->G * sizeof *s->count);
            mls_unit_pass(u, s->order, n * sizeof *s->order);
            for (size_t k = 0; k < n; k++)
                good = good && s->order[k] < f->C && s->count[k / f->C] <= f->C;
        }
        mls_unit_pass(u, &y->n_sizes, sizeof y->n_sizes);
        mls_unit_pass(u, y->units, sizeof y->units);
        mls_unit_pass(u, y->correlation, sizeof y->correlation);
        mls_unit_pass(u, y->overlap, MLS_STABILITY_SIZES * f->n_chunks * size);
        good = good && y->n_sizes <= MLS_STABILITY_SIZES;
        if (w->loss)
            mls_unit_pass(u, w->loss + (i * f->n_layers + at) * (n + f->G),
                          (n + f->G) * size);
    }
    return good ? MLS_OK
                : mls_fail(err, MLS_E_INPUT, "%s: %s keeps chunks that no head has",
                           u->path, u->name);
}

static mls_status pass_costs(void *arg, size_t at, mls_unit *u, mls_err *err)
{
    const layers *w = arg;
    mls_frequency *f = w->f;
    const size_t n = f->n_held * f->H;

    (void)at;
    (void)err;
    for (size_t i = 0; i < f->n_rules; i++)
        for (size_t b = 0; b < f->n_chunks; b++)
            mls_unit_pass(u, f->rule[i].cost + (b * f->L + w->l) * n,
                          n * sizeof *f->rule[i].cost);
    return MLS_OK;
}

/* From layers to the model, in their order. */
static void add_agreements(mls_frequency *f)
{
    for (size_t i = 0; i < f->n_rules; i++)
        for (size_t l = 0; l < f->L; l++) {
            mls_frequency_rule *r = f->rule + i;
            const mls_agreement *y = &r->agreement[l];

            if (y->n_sizes == 0)
                continue;
            r->n_sizes = y->n_sizes;
            for (size_t k = 0; k < y->n_sizes; k++) {
                r->units[k] = y->units[k];
                r->correlation[k] += y->correlation[k];
            }
            for (size_t k = 0; k < y->n_sizes * f->n_chunks; k++)
                r->overlap[k] += y->overlap[k];
        }
}

mls_status mls_frequency_run(mls_frequency *out, mls_capture *capture,
                             const mls_frequency_request *request, mls_pool *pool,
                             const mls_progress *progress, mls_err *err)
{
    mls_frequency f;
    size_t at = 0;
    mls_progress_part part[2];
    char name[64];
    const double chosen = request->costs ? 0.6 : 1; /* share of the time, about */
    const mls_progress *costs_told =
        mls_progress_part_of(&part[1], progress, chosen, 1);
    layers w = {.f = &f,
                .capture = capture,
                .request = request,
                .pool = pool,
                .progress = mls_progress_part_of(&part[0], progress, 0, chosen)};
    mls_status st = frequency_new(&f, capture, request, err);
    /*
     * A global budget is spread, and its costs are measured, when all layers are known.
     */
    const bool global = request->scope == MLS_SCOPE_GLOBAL;
    const bool whole = !mls_parts_making(request->parts);
    mls_parts *costs_of = global ? NULL : request->parts;

    *out = (mls_frequency){0};
    if (!st && global) {
        w.loss = mls_calloc3(f.n_rules * f.n_layers, f.G, f.C + 1, sizeof *w.loss);
        if (!w.loss)
            st = mls_fail(err, MLS_E_NOMEM, "no memory for the losses of all layers");
    }
    snprintf(name, sizeof name, "frequency of %zu tokens, layer", f.T);
    for (w.l = 0; w.l < f.L && !st; w.l++)
        if (!f.config.layer[w.l].no_rope)
            st = mls_parts_do(request->parts, name, at++, f.n_layers, choose_layer,
                              pass_choice, &w, NULL, err);
    if (!st && w.loss && whole)
        st = spread_globally(&f, w.loss, err);
    if (!st)
        add_agreements(&f);
    at = 0;
    snprintf(name, sizeof name, "costs of %zu tokens, layer", f.T);
    for (w.l = 0; w.l < f.L && !st && request->costs && (whole || !global); w.l++) {
        if (f.config.layer[w.l].no_rope)
            continue;
        st =
            mls_progress_step(costs_told, "costs", (double)at, (double)f.n_layers, err);
        if (!st)
            st = mls_parts_do(costs_of, name, at, f.n_layers, cost_layer, pass_costs,
                              &w, NULL, err);
        at++;
    }
    free(w.loss);
    if (st)
        mls_frequency_free(&f);
    *out = f;
    return st;
}

mls_cost_means mls_frequency_cost(const mls_frequency *f, size_t i, size_t b, size_t l,
                                  size_t n_layers, size_t h, size_t n_heads)
{
    double *window = f->work;
    const mls_cost *cost = f->rule[i].cost;
    mls_cost_means m = {{NAN, NAN}, {NAN, NAN}, {NAN, NAN}};
    size_t n = 0;

    for (size_t layer = l; layer < l + n_layers; layer++)
        n += f->config.layer[layer].no_rope ? 0 : n_heads;
    if (!cost || n == 0)
        return m;
    memset(window, 0, 3 * f->n_held * sizeof *window);
    for (size_t layer = l; layer < l + n_layers; layer++)
        for (size_t w = 0; w < f->n_held && !f->config.layer[layer].no_rope; w++)
            for (size_t head = h; head < h + n_heads; head++) {
                const mls_cost *one =
                    &cost[((b * f->L + layer) * f->n_held + w) * f->H + head];

                window[w] += one->score_error / (double)n;
                window[f->n_held + w] += one->kl / (double)n;
                window[2 * f->n_held + w] += one->output_error / (double)n;
            }
    m.score_error = mls_mean_of(window, f->n_held);
    m.kl = mls_mean_of(window + f->n_held, f->n_held);
    m.output_error = mls_mean_of(window + 2 * f->n_held, f->n_held);
    return m;
}

double mls_frequency_sureness(const mls_frequency *f, size_t i, size_t b)
{
    double sum = 0.0;
    size_t n = 0;

    for (size_t l = 0; l < f->L; l++) {
        const mls_selection *s = mls_frequency_selection(f, i, b, l);

        for (size_t g = 0; g < f->G; g++)
            for (size_t k = 0; k < s->count[g]; k++, n++)
                sum += f->rule[i].in_top[((b * f->L + l) * f->G + g) * f->C +
                                         s->order[g * f->C + k]];
    }
    return n ? sum / (double)n : (double)NAN;
}
