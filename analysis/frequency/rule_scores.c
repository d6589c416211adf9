/*
 * A rule gives norms of each sequence, a number for each chunk and window, a Gram
 * matrix for each window, or is a search. The first three are linear in their units, so
 * that these are kept apart and a bootstrap only averages other picks of them; a search
 * is not, and is not resampled. Where an order comes first, a chunk's score is what the
 * loss fell by when it was kept.
 */
#include "analysis/frequency/rule_scores.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/frequency/contribution.h"
#include "analysis/frequency/ropelite_l1.h"
#include "analysis/frequency/ropelite_l2.h"
#include "analysis/frequency/scores_norm.h"
#include "analysis/frequency/softmax_score.h"
#include "common/base/checked.h"
#include "common/base/order.h"

void mls_rule_scores_free(mls_rule_scores *s)
{
    mls_free_all(s->score, s->order, s->loss, s->q_norm, s->k_norm, s->mean, s->gram,
                 s->trace);
    *s = (mls_rule_scores){0};
}

bool mls_rule_scores_resampled(const mls_rule_scores *s)
{
    return s->trace == NULL;
}

size_t mls_rule_scores_work(const mls_rule_scores *s)
{
    return (s->H + s->G) * s->C + s->C * (s->C + 1) + s->C + 1;
}

/* y (n) = mean of the picked rows of x (units, n). */
static void mean_of(double *y, const double *x, size_t n, const size_t *pick,
                    size_t n_pick)
{
    memset(y, 0, n * sizeof *y);
    for (size_t u = 0; u < n_pick; u++)
        for (size_t i = 0; i < n; i++)
            y[i] += x[pick[u] * n + i];
    for (size_t i = 0; i < n; i++)
        y[i] /= (double)n_pick;
}

/* What the loss (C + 1) of an order fell by with each of its chunks. */
static void gains(double *score, const uint16_t *order, const double *loss, size_t C)
{
    for (size_t r = 0; r < C; r++)
        score[order[r]] = loss[r] - loss[r + 1];
}

/* Mean Gram (C, C) of head g over the picked units. */
static void mean_gram(const mls_rule_scores *s, size_t g, const size_t *pick, size_t n,
                      double *gram)
{
    const size_t CC = s->C * s->C;

    memset(gram, 0, CC * sizeof *gram);
    for (size_t u = 0; u < n; u++)
        for (size_t i = 0; i < CC; i++)
            gram[i] += s->gram[(pick[u] * s->G + g) * CC + i];
    for (size_t i = 0; i < CC; i++)
        gram[i] /= (double)n;
}

void mls_rule_scores_resample(const mls_rule_scores *s, const size_t *pick, size_t n,
                              double *score, uint16_t *order, double *work)
{
    const size_t G = s->G, C = s->C;

    if (s->gram) {
        double *gram = work, *loss = work + C * C;

        for (size_t g = 0; g < G; g++) {
            mean_gram(s, g, pick, n, gram);
            mls_ropelite_l2_order(order + g * C, loss, gram, C);
            gains(score + g * C, order + g * C, loss, C);
        }
        return;
    }
    if (s->mean) {
        mean_of(score, s->mean, G * C, pick, n);
    } else {
        double *q = work, *k = work + s->H * C;

        mean_of(q, s->q_norm, s->H * C, pick, n);
        mean_of(k, s->k_norm, G * C, pick, n);
        mls_scores_norm(score, q, k, s->H, G, C,
                        s->rule->id == MLS_RULE_NORM ? MLS_NORM_PRODUCT : MLS_NORM_SUM);
    }
    for (size_t g = 0; g < G; g++)
        mls_order_by_score(order + g * C, score + g * C, C);
}

/* Jobs of rules that give a number per chunk, or a Gram, for each (window, KV head). */
typedef struct {
    mls_rule_scores *s;
    const mls_rule_data *data;
    mls_softmax_score *softmax;
} unit_jobs;

static mls_status score_query_head(const unit_jobs *j, const mls_chunk_window *w,
                                   size_t h, size_t worker, double *score, mls_err *err)
{
    const double *turns = j->data->windows->turns;

    switch (j->s->rule->id) {
    case MLS_RULE_CONTRIBUTION:
        return mls_contribution(score, w, turns, h, err);
    case MLS_RULE_CONTRIBUTION_SAMPLED:
        return mls_contribution_sampled(score, w, turns, h, 100 * w->T, j->data->seed,
                                        err);
    case MLS_RULE_ABLATION:
        return mls_ablation(score, w, turns, h, err);
    case MLS_RULE_KL:
        mls_softmax_score_single(j->softmax, w, h, score, worker);
        for (size_t c = 0; c < j->s->C; c++)
            score[c] /= (double)w->T;
        return MLS_OK;
    default: /* MLS_RULE_ROPELITE_L2: score is a Gram */
        return mls_ropelite_gram(score, w, turns, h, err);
    }
}

static mls_status job_unit(void *arg, size_t job, size_t worker, mls_err *err)
{
    const unit_jobs *j = arg;
    const mls_rule_scores *s = j->s;
    const mls_chunk_window *w = j->data->windows->window + job / s->G;
    const size_t n = s->gram ? s->C * s->C : s->C, group = s->H / s->G;
    const double over = (s->gram ? mls_chunk_pairs(w) : 1.0) * (double)group;
    double *sum = (s->gram ? s->gram : s->mean) + job * n;
    double *one = mls_calloc3(n, 1, 1, sizeof *one);
    mls_status st = MLS_OK;

    if (!one)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu scores", n);
    for (size_t h = job % s->G * group; h < (job % s->G + 1) * group && !st; h++) {
        st = score_query_head(j, w, h, worker, one, err);
        for (size_t i = 0; i < n && !st; i++)
            sum[i] += one[i] / over;
    }
    free(one);
    return st;
}

static mls_status score_units(mls_rule_scores *s, const mls_rule_data *data,
                              mls_pool *pool, mls_err *err)
{
    unit_jobs j = {.s = s, .data = data};
    mls_status st = MLS_OK;

    if (s->rule->id == MLS_RULE_ROPELITE_L2)
        s->gram = mls_calloc3(s->units * s->G, s->C, s->C, sizeof *s->gram);
    else
        s->mean = mls_calloc3(s->units, s->G, s->C, sizeof *s->mean);
    if (!s->gram && !s->mean)
        return mls_fail(err, MLS_E_NOMEM, "no memory for scores of %zu windows",
                        s->units);
    if (s->rule->id == MLS_RULE_KL)
        st = mls_softmax_score_new(&j.softmax, data->windows, mls_pool_threads(pool),
                                   err);
    if (!st)
        st = mls_pool_run(pool, s->units * s->G, job_unit, &j, err);
    mls_softmax_score_free(j.softmax);
    return st;
}

static mls_status search(mls_rule_scores *s, const mls_rule_data *data, mls_pool *pool,
                         const mls_progress *progress, mls_err *err)
{
    const size_t n_workers = mls_pool_threads(pool);
    mls_ropelite_l1 *l1 = NULL;
    mls_softmax_score *softmax = NULL;
    mls_greedy_objective objective;
    mls_greedy greedy = {0};
    mls_status st;

    if (s->rule->id == MLS_RULE_ROPELITE_L1) {
        st = mls_ropelite_l1_new(&l1, data->windows, n_workers, err);
        if (!st)
            objective = mls_ropelite_l1_objective(l1);
    } else {
        st = mls_softmax_score_new(&softmax, data->windows, n_workers, err);
        if (!st)
            objective = mls_softmax_score_objective(softmax);
    }
    if (!st)
        st = mls_greedy_search(&greedy, data->windows, &objective, pool, progress, err);
    if (!st) {
        free(s->order);
        s->order = greedy.order;
        s->loss = greedy.loss;
        s->trace = greedy.trace;
        for (size_t g = 0; g < s->G; g++)
            gains(s->score + g * s->C, s->order + g * s->C, s->loss + g * (s->C + 1),
                  s->C);
    }
    mls_ropelite_l1_free(l1);
    mls_softmax_score_free(softmax);
    return st;
}

static double *copy_of(const double *x, size_t n)
{
    double *y = mls_calloc3(n, 1, 1, sizeof *y);

    if (y)
        memcpy(y, x, n * sizeof *y);
    return y;
}

/* Scores, order and loss from all units. */
static mls_status combine_units(mls_rule_scores *s, mls_err *err)
{
    double *work = mls_calloc3(mls_rule_scores_work(s), 1, 1, sizeof *work);
    size_t *all = mls_calloc3(s->units, 1, 1, sizeof *all);
    mls_status st = MLS_OK;

    if (s->gram)
        s->loss = mls_calloc3(s->G, s->C + 1, 1, sizeof *s->loss);
    if (!work || !all || (s->gram && !s->loss)) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the scores of a layer");
        goto done;
    }
    for (size_t u = 0; u < s->units; u++)
        all[u] = u;
    mls_rule_scores_resample(s, all, s->units, s->score, s->order, work);
    for (size_t g = 0; g < s->G && s->gram; g++) {
        mean_gram(s, g, all, s->units, work);
        mls_ropelite_l2_loss(s->loss + g * (s->C + 1), work, s->order + g * s->C, s->C);
    }

done:
    mls_free_all(work, all);
    return st;
}

mls_status mls_rule_scores_make(mls_rule_scores *out, const mls_rule *rule,
                                const mls_rule_data *data, mls_pool *pool,
                                const mls_progress *progress, mls_err *err)
{
    mls_rule_scores s = {.rule = rule, .H = data->H, .G = data->G, .C = data->C};
    mls_status st = MLS_OK;

    *out = (mls_rule_scores){0};
    if (rule->needs == MLS_NEEDS_CONFIG)
        return mls_fail(err, MLS_E_ARG, "rule %s scores nothing", rule->name);
    if (rule->needs == MLS_NEEDS_STATS ? !data->q_norm : !data->windows)
        return mls_fail(err, MLS_E_INPUT,
                        "rule %s needs --capture RUN.h5, written by %s", rule->name,
                        rule->needs == MLS_NEEDS_STATS
                            ? "mlascope capture"
                            : "mlascope capture with whole windows");
    s.units = rule->needs == MLS_NEEDS_STATS ? data->N : data->windows->n;
    s.score = mls_calloc3(s.G, s.C, 1, sizeof *s.score);
    s.order = mls_calloc3(s.G, s.C, 1, sizeof *s.order);
    if (rule->needs == MLS_NEEDS_STATS) {
        s.q_norm = copy_of(data->q_norm, s.units * s.H * s.C);
        s.k_norm = copy_of(data->k_norm, s.units * s.G * s.C);
    }
    if (!s.score || !s.order ||
        (rule->needs == MLS_NEEDS_STATS && (!s.q_norm || !s.k_norm)))
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the scores of a layer");
    else if (rule->id == MLS_RULE_ROPELITE_L1 || rule->id == MLS_RULE_KL_GREEDY)
        st = search(&s, data, pool, progress, err);
    else if (rule->needs == MLS_NEEDS_WINDOWS)
        st = score_units(&s, data, pool, err);
    if (!st && !s.trace)
        st = combine_units(&s, err);
    if (st)
        mls_rule_scores_free(&s);
    *out = s;
    return st;
}
