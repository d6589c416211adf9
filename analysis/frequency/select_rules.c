/*
 * Orders come from the shape alone (select_fixed.c), from scores of data
 * (rule_scores.c) or from a search (greedy.c). Over the heads of a layer a budget goes
 * to the largest scores or, where a rule has losses, by spread.c. Over layers it always
 * goes by losses, because scores of two layers have no common unit; for orders without
 * losses those of RoPElite's squared distance are taken. What a search finds depends on
 * no budget and is kept with the open capture (shared_results.h).
 */
#include "analysis/frequency/select_rules.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/frequency/layer_windows.h"
#include "analysis/frequency/ropelite_l2.h"
#include "analysis/frequency/select_fixed.h"
#include "analysis/frequency/shared_results.h"
#include "analysis/frequency/spread.h"
#include "common/base/checked.h"
#include "common/base/words.h"

static const char *const scope_names[] = {"head", "layer", "global", "query", NULL};

const char *mls_scope_name(mls_scope scope)
{
    return scope_names[scope];
}

mls_status mls_scope_parse(mls_scope *scope, const char *text, mls_err *err)
{
    for (size_t i = 0; scope_names[i]; i++)
        if (strcmp(text, scope_names[i]) == 0) {
            *scope = (mls_scope)i;
            return MLS_OK;
        }
    return mls_fail(err, MLS_E_ARG, "scope %s is none of head, layer, global, query",
                    text);
}

mls_status mls_rule_order(uint16_t *order, const char *rule, size_t C, size_t r,
                          mls_err *err)
{
    const char *argument = strchr(rule, ':');
    const mls_rule *found;
    const mls_status st = mls_rule_find(&found, rule, err);
    size_t number = 0;

    if (st)
        return st;
    if (argument && !mls_parse_size(argument + 1, &number))
        return mls_fail(err, MLS_E_ARG, "%s: the argument is not a whole number", rule);
    switch (found->id) {
    case MLS_RULE_HIGH:
        mls_order_high(order, C);
        return MLS_OK;
    case MLS_RULE_LOW:
    case MLS_RULE_XECOMLA:
        mls_order_low(order, C);
        return MLS_OK;
    case MLS_RULE_UNIFORM:
        return mls_order_uniform(order, C, r, number, err);
    case MLS_RULE_UNIFORM_ELITE:
        mls_order_uniform_elite(order, C, r);
        return MLS_OK;
    case MLS_RULE_HIGH_LOW:
        if (number > r)
            return mls_fail(err, MLS_E_ARG, "%s: %zu high chunks of a budget of %zu",
                            rule, number, r);
        mls_order_high_low(order, C, r, argument ? number : (r + 1) / 2);
        return MLS_OK;
    default:
        return mls_fail(err, MLS_E_ARG, "rule %s does not follow from the shape alone",
                        found->name);
    }
}

/* The G * chunks best of all (head, chunk) pairs; ties to the smaller head. */
static void keep_largest(mls_selection *s, const double *score, size_t chunks)
{
    const size_t G = s->G, C = s->C;

    for (size_t n = 0; n < G * chunks; n++) {
        size_t best = G;

        /* order[g, :] is sorted, so the next of a head is the best it has left. */
        for (size_t g = 0; g < G; g++) {
            if (s->count[g] == C)
                continue;
            if (best == G || score[g * C + s->order[g * C + s->count[g]]] >
                                 score[best * C + s->order[best * C + s->count[best]]])
                best = g;
        }
        s->count[best]++;
    }
}

mls_status mls_selection_spread(mls_selection *s, const double *score,
                                const double *loss, size_t chunks, mls_err *err)
{
    if (loss)
        return mls_spread_budget(s->count, loss, s->G, s->C, s->G * chunks, err);
    keep_largest(s, score, chunks);
    return MLS_OK;
}

static mls_status check(const mls_rule **found, const char *rule,
                        const mls_config *config, size_t chunks, mls_err *err)
{
    const size_t C = config->D / 2;
    const mls_status st = mls_rule_find(found, rule, err);

    if (st)
        return st;
    if (chunks > C)
        return mls_fail(err, MLS_E_INPUT,
                        "rule %s: %zu chunks per head asked for, the model has %zu "
                        "(%zu dims)",
                        rule, chunks, C, config->D);
    return MLS_OK;
}

/* Scores of a rule of the data for one layer. */
static mls_status layer_scores(mls_rule_scores *scores, const mls_rule *rule,
                               const mls_rule_input *in,
                               const mls_layer_windows *windows, mls_pool *pool,
                               const mls_progress *progress, mls_err *err)
{
    const mls_layer_stats *stats = in->stats;
    const mls_rule_data data = {
        .H = in->config->H,
        .G = in->config->G,
        .C = in->config->D / 2,
        .q_norm = stats ? stats->q_norm : NULL,
        .k_norm = stats ? stats->k_norm : NULL,
        .N = 1,
        .windows = windows->window ? &windows->set : NULL,
    };

    return mls_rule_scores_make(scores, rule, &data, pool, progress, err);
}

/*
 * The same, from the capture's cache, under the pool's claim, where the rule looks at
 * windows:
 * what it finds in all of them is searched for once. `found` borrows from the cache or
 * from `own`, which the caller releases.
 */
static mls_status cached_scores(const mls_rule_scores **found, mls_rule_scores *own,
                                const mls_rule *rule, const mls_rule_input *in,
                                mls_pool *pool, const mls_progress *progress,
                                mls_err *err)
{
    const bool keep = rule->needs == MLS_NEEDS_WINDOWS && in->capture;
    mls_shared_results *cache = keep ? mls_shared_results_of(in->capture) : NULL;
    mls_layer_windows windows = {0};
    mls_status st = MLS_OK;

    if (keep && !cache)
        st = mls_fail(err, MLS_E_NOMEM, "no memory to keep the scores of a layer");
    *found = cache ? mls_shared_rule(cache, in->layer, rule) : NULL;
    if (*found || st)
        return st;
    if (cache)
        st = mls_layer_windows_load(&windows, in->capture, in->layer, NULL,
                                    mls_capture_windows(in->capture), false, 0, err);
    if (!st)
        st = layer_scores(own, rule, in, &windows, pool, progress, err);
    if (!st && cache)
        st = mls_shared_rule_add(cache, in->layer, own, err);
    if (!st)
        *found = cache ? mls_shared_rule(cache, in->layer, rule) : own;
    mls_layer_windows_free(&windows);
    return st;
}

static mls_status select_by_data(mls_selection *out, const mls_rule *rule,
                                 const mls_rule_input *in, size_t chunks,
                                 mls_scope scope, mls_pool *pool, mls_err *err)
{
    mls_rule_scores own = {0};
    const mls_rule_scores *scores;
    mls_status st;

    mls_pool_claim(pool);
    st = cached_scores(&scores, &own, rule, in, pool, NULL, err);
    mls_pool_release(pool);

    if (!st) {
        memcpy(out->order, scores->order, out->G * out->C * sizeof *out->order);
        for (size_t g = 0; g < out->G; g++)
            out->count[g] = scope == MLS_SCOPE_HEAD ? chunks : 0;
        if (scope == MLS_SCOPE_LAYER)
            st = mls_selection_spread(out, scores->score, scores->loss, chunks, err);
    }
    mls_rule_scores_free(&own);
    return st;
}

mls_status mls_selection_by_rule(mls_selection *out, const char *rule,
                                 const mls_rule_input *in, size_t chunks,
                                 mls_scope scope, mls_err *err)
{
    const size_t G = in->config->G, C = in->config->D / 2;
    const mls_rule *found;
    mls_pool *own = NULL;
    mls_status st;

    *out = (mls_selection){0};
    st = check(&found, rule, in->config, chunks, err);
    if (!st && scope == MLS_SCOPE_GLOBAL)
        st = mls_fail(err, MLS_E_ARG, "a global budget needs all layers at once");
    if (!st && scope == MLS_SCOPE_QUERY)
        st = mls_fail(err, MLS_E_ARG,
                      "keys are shared: query heads cannot keep chunks of their own");
    if (!st)
        st = mls_selection_new(out, G, C, err);
    if (st || in->config->layer[in->layer].no_rope)
        return st;
    if (found->needs == MLS_NEEDS_CONFIG) {
        st = mls_rule_order(out->order, rule, C, chunks, err);
        for (size_t g = 0; g < G; g++) {
            if (g > 0)
                memcpy(out->order + g * C, out->order, C * sizeof *out->order);
            out->count[g] = chunks;
        }
    } else {
        if (!in->pool)
            st = mls_pool_new(&own, 1, err);
        if (!st)
            st = select_by_data(out, found, in, chunks, scope,
                                in->pool ? in->pool : own, err);
        mls_pool_free(own);
    }
    if (st)
        mls_selection_free(out);
    return st;
}

mls_status mls_rule_square_losses(double *loss, const char *rule,
                                  const mls_rule_scores *grams, const uint16_t *order,
                                  mls_err *err)
{
    const size_t G = grams->G, C = grams->C, CC = C * C;
    double *gram = mls_calloc3(C, C, 1, sizeof *gram);
    double *one = mls_calloc3(C + 1, 1, 1, sizeof *one);
    uint16_t *shaped = mls_calloc3(C, 1, 1, sizeof *shaped);
    mls_status st = MLS_OK;

    if (!gram || !one || !shaped)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the losses of a layer");
    for (size_t g = 0; g < G && !st; g++) {
        memset(gram, 0, CC * sizeof *gram);
        for (size_t u = 0; u < grams->units; u++)
            for (size_t i = 0; i < CC; i++)
                gram[i] += grams->gram[(u * G + g) * CC + i] / (double)grams->units;
        if (order) {
            mls_ropelite_l2_loss(loss + g * (C + 1), gram, order + g * C, C);
            continue;
        }
        /* A rule of the shape may keep other chunks for every budget. */
        for (size_t r = 0; r <= C && !st; r++) {
            st = mls_rule_order(shaped, rule, C, r, err);
            if (!st) {
                mls_ropelite_l2_loss(one, gram, shaped, C);
                loss[g * (C + 1) + r] = one[r];
            }
        }
    }
    mls_free_all(gram, one, shaped);
    return st;
}

/*
 * Order of layer l into out, and the losses (G, C + 1) that a global budget looks at.
 */
static mls_status layer_losses(mls_selection *out, double *loss, const char *rule,
                               const mls_rule *found, const mls_rule_input *in,
                               mls_pool *pool, const mls_progress *progress,
                               mls_err *err)
{
    const mls_rule *l2;
    mls_layer_windows windows = {0};
    mls_rule_scores own = {0}, grams = {0};
    const mls_rule_scores *scores = NULL;
    mls_status st = MLS_OK;

    if (found->needs != MLS_NEEDS_CONFIG) {
        mls_pool_claim(pool);
        st = cached_scores(&scores, &own, found, in, pool, progress, err);
        mls_pool_release(pool);
    }
    if (!st && scores)
        memcpy(out->order, scores->order, out->G * out->C * sizeof *out->order);
    if (!st && scores && scores->loss) {
        memcpy(loss, scores->loss, out->G * (out->C + 1) * sizeof *loss);
    } else if (!st) {
        st = mls_layer_windows_load(&windows, in->capture, in->layer, NULL,
                                    mls_capture_windows(in->capture), false, 0, err);
        if (!st)
            st = mls_rule_find(&l2, "ropelite-l2", err);
        if (!st)
            st = layer_scores(&grams, l2, in, &windows, pool, progress, err);
        if (!st)
            st = mls_rule_square_losses(loss, rule, &grams,
                                        scores ? scores->order : NULL, err);
    }
    mls_rule_scores_free(&own);
    mls_rule_scores_free(&grams);
    mls_layer_windows_free(&windows);
    return st;
}

mls_status mls_selections_spread(mls_selection *out, const char *rule,
                                 const mls_config *config, const double *loss,
                                 size_t chunks, mls_err *err)
{
    const size_t G = config->G, C = config->D / 2;
    size_t *count = mls_calloc3(config->L, G, 1, sizeof *count), n = 0;
    const mls_rule *found;
    mls_status st = mls_rule_find(&found, rule, err);

    if (!st && !count)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a budget");
    for (size_t l = 0; l < config->L; l++)
        n += config->layer[l].no_rope ? 0 : G;
    if (!st)
        st = mls_spread_budget(count, loss, n, C, n * chunks, err);
    for (size_t l = 0, i = 0; l < config->L && !st; l++)
        for (size_t g = 0; g < G && !config->layer[l].no_rope && !st; g++) {
            out[l].count[g] = count[i++];
            if (found->needs == MLS_NEEDS_CONFIG)
                st =
                    mls_rule_order(out[l].order + g * C, rule, C, out[l].count[g], err);
        }
    free(count);
    return st;
}

static mls_status select_globally(mls_selection *out, const char *rule,
                                  const mls_rule *found, const mls_config *config,
                                  mls_capture *capture, size_t chunks, mls_pool *pool,
                                  const mls_progress *progress, mls_err *err)
{
    const size_t G = config->G, C = config->D / 2;
    double *loss = mls_calloc3(config->L, G, C + 1, sizeof *loss), *next = loss;
    mls_status st = MLS_OK;

    if (!loss)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the losses of %zu layers",
                        config->L);
    for (size_t l = 0; l < config->L && !st; l++) {
        mls_layer_stats stats = {0};
        const mls_rule_input in = {
            .config = config, .layer = l, .stats = &stats, .capture = capture};

        st = mls_selection_new(&out[l], G, C, err);
        if (st || config->layer[l].no_rope)
            continue;
        st = mls_capture_stats(capture, l, &stats, err);
        if (!st)
            st = layer_losses(&out[l], next, rule, found, &in, pool, progress, err);
        next += G * (C + 1);
        mls_layer_stats_free(&stats);
    }
    if (!st)
        st = mls_selections_spread(out, rule, config, loss, chunks, err);
    free(loss);
    return st;
}

mls_status mls_selections_by_rule(mls_selection *out, const char *rule,
                                  const mls_config *config, mls_capture *capture,
                                  size_t chunks, mls_scope scope, mls_pool *pool,
                                  const mls_progress *progress, mls_err *err)
{
    const mls_rule *found;
    mls_status st = check(&found, rule, config, chunks, err);

    for (size_t l = 0; l < config->L; l++)
        out[l] = (mls_selection){0};
    if (!st && !capture &&
        (scope == MLS_SCOPE_GLOBAL || found->needs != MLS_NEEDS_CONFIG))
        st = mls_fail(err, MLS_E_INPUT,
                      "rule %s needs --capture RUN.h5, written by mlascope capture",
                      rule);
    if (!st && scope == MLS_SCOPE_GLOBAL)
        st = select_globally(out, rule, found, config, capture, chunks, pool, progress,
                             err);
    for (size_t l = 0; l < config->L && !st && scope != MLS_SCOPE_GLOBAL; l++) {
        mls_layer_stats stats = {0};
        mls_rule_input in = {
            .config = config, .layer = l, .capture = capture, .pool = pool};

        if (found->needs == MLS_NEEDS_STATS) {
            st = mls_capture_stats(capture, l, &stats, err);
            in.stats = &stats;
        }
        if (!st)
            st = mls_selection_by_rule(&out[l], rule, &in, chunks, scope, err);
        mls_layer_stats_free(&stats);
    }
    for (size_t l = 0; l < config->L && st; l++)
        mls_selection_free(&out[l]);
    return st;
}
