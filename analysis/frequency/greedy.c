/*
 * Nothing turns at first; every round keeps in each head the chunk that leaves the
 * least loss, over all windows: C rounds of (window, head) jobs. Float sums cannot tell
 * near ties apart, and one decided by rounding would differ from machine to machine:
 * candidates within the objective's tolerance of the best are summed anew in double.
 */
#include "analysis/frequency/greedy.h"

#include <math.h>
#include <string.h>

#include "common/base/checked.h"
#include "common/base/shape.h"

size_t mls_chunk_choosers(const mls_chunk_windows *ws)
{
    return ws->per_query_head ? ws->window[0].H : ws->window[0].G;
}

void mls_chunk_query_heads(const mls_chunk_windows *ws, size_t chooser, size_t *first,
                           size_t *n)
{
    *n = ws->per_query_head ? 1 : ws->window[0].H / ws->window[0].G;
    *first = chooser * *n;
}

void mls_greedy_free(mls_greedy *g)
{
    mls_free_all(g->order, g->loss, g->trace);
    *g = (mls_greedy){0};
}

/* One round. */
typedef struct {
    mls_greedy *g;
    const mls_chunk_windows *ws;
    const mls_greedy_objective *objective;
    size_t r;
    double *sums;   /* (W, n, C + 1): loss of candidate k = 0..C-r-1, of none at C-r */
    double *exact;  /* (W, n, C): the near ties' losses in full precision */
    uint16_t *tie;  /* (n, C): candidates within the tolerance of the best */
    size_t *n_ties; /* (n) */
    double *totals; /* (n, C): over windows */
} round_state;

/* What the losses of a window are sums over. */
static double pairs_of(const round_state *s, size_t window)
{
    size_t first, n;

    mls_chunk_query_heads(s->ws, 0, &first, &n);
    return (s->objective->per_query ? (double)s->ws->window[window].T
                                    : mls_chunk_pairs(s->ws->window + window)) *
           (double)n;
}

static mls_status job_losses(void *arg, size_t job, size_t worker, mls_err *err)
{
    const round_state *s = arg;
    const size_t n = s->g->n, C = s->g->C, window = job / n, head = job % n;
    double *sum = s->sums + job * (C + 1);
    size_t first, n_query;
    double loss[MLS_DIM_MAX / 2 + 1];

    memset(sum, 0, (C + 1) * sizeof *sum);
    mls_chunk_query_heads(s->ws, head, &first, &n_query);
    for (size_t h = first; h < first + n_query; h++) {
        const mls_status st =
            s->objective->losses(s->objective->arg, s->ws->window + window, h,
                                 s->g->order + head * C, s->r, loss, worker, err);

        if (st)
            return st;
        for (size_t k = 0; k <= C - s->r; k++)
            sum[k] += loss[k];
    }
    return MLS_OK;
}

static mls_status job_exact(void *arg, size_t job, size_t worker, mls_err *err)
{
    const round_state *s = arg;
    const size_t n = s->g->n, C = s->g->C, window = job / n, head = job % n;
    double *sum = s->exact + job * C;
    size_t first, n_query;
    double loss[MLS_DIM_MAX / 2];

    memset(sum, 0, C * sizeof *sum);
    if (s->n_ties[head] < 2)
        return MLS_OK;
    mls_chunk_query_heads(s->ws, head, &first, &n_query);
    for (size_t h = first; h < first + n_query; h++) {
        const mls_status st = s->objective->exact(
            s->objective->arg, s->ws->window + window, h, s->g->order + head * C, s->r,
            s->tie + head * C, s->n_ties[head], loss, worker, err);

        if (st)
            return st;
        for (size_t k = 0; k < s->n_ties[head]; k++)
            sum[k] += loss[k];
    }
    return MLS_OK;
}

/* Place of the smallest, the first of equals. */
static size_t smallest(const double *total, size_t n)
{
    size_t best = 0;

    for (size_t k = 1; k < n; k++)
        if (total[k] < total[best])
            best = k;
    return best;
}

/* Totals of candidates that float sums cannot tell apart are made anew. */
static mls_status settle_ties(round_state *s, mls_pool *pool, mls_err *err)
{
    const mls_greedy *g = s->g;
    const size_t C = g->C, n_left = C - s->r;
    bool any = false;

    for (size_t head = 0; head < g->n; head++) {
        const double *total = s->totals + head * C;
        const double least = total[smallest(total, n_left)];

        s->n_ties[head] = 0;
        for (size_t k = 0; k < n_left; k++)
            if (total[k] <= least * (1.0 + s->objective->tolerance))
                s->tie[head * C + s->n_ties[head]++] = (uint16_t)k;
        any = any || s->n_ties[head] > 1;
    }
    if (!any)
        return MLS_OK;

    const mls_status st = mls_pool_run(pool, g->W * g->n, job_exact, s, err);

    for (size_t head = 0; head < g->n && !st; head++)
        for (size_t k = 0; k < s->n_ties[head] && s->n_ties[head] > 1; k++) {
            double total = 0.0;

            for (size_t w = 0; w < g->W; w++)
                total += s->exact[(w * g->n + head) * C + k];
            s->totals[head * C + s->tie[head * C + k]] = total;
        }
    return st;
}

/* Keep the best chunk of every head and write down the round. */
static void finish_round(round_state *s, double pairs)
{
    mls_greedy *g = s->g;
    const size_t C = g->C, n_left = C - s->r;

    for (size_t head = 0; head < g->n; head++) {
        uint16_t *order = g->order + head * C;
        const size_t best = smallest(s->totals + head * C, n_left);
        const uint16_t chosen = order[s->r + best];

        for (size_t k = 0; k < n_left; k++)
            for (size_t w = 0; w < g->W; w++)
                g->trace[((head * C + s->r) * C + order[s->r + k]) * g->W + w] =
                    s->sums[(w * g->n + head) * (C + 1) + k] / pairs_of(s, w);
        g->loss[head * (C + 1) + s->r + 1] = s->totals[head * C + best] / pairs;
        memmove(order + s->r + 1, order + s->r, best * sizeof *order);
        order[s->r] = chosen; /* the others stay ascending */
    }
}

static mls_status one_round(round_state *s, double pairs, mls_pool *pool, mls_err *err)
{
    const mls_greedy *g = s->g;
    const size_t C = g->C;
    mls_status st = mls_pool_run(pool, g->W * g->n, job_losses, s, err);

    if (st)
        return st;
    for (size_t head = 0; head < g->n; head++)
        for (size_t k = 0; k < C - s->r; k++) {
            double total = 0.0;

            for (size_t w = 0; w < g->W; w++)
                total += s->sums[(w * g->n + head) * (C + 1) + k];
            s->totals[head * C + k] = total;
        }
    for (size_t head = 0; head < g->n && s->r == 0; head++) {
        double total = 0.0;

        for (size_t w = 0; w < g->W; w++)
            total += s->sums[(w * g->n + head) * (C + 1) + C];
        g->loss[head * (C + 1)] = total / pairs;
    }
    if (s->objective->exact)
        st = settle_ties(s, pool, err);
    if (!st)
        finish_round(s, pairs);
    return st;
}

mls_status mls_greedy_search(mls_greedy *out, const mls_chunk_windows *ws,
                             const mls_greedy_objective *objective, mls_pool *pool,
                             const mls_progress *progress, mls_err *err)
{
    const size_t n = mls_chunk_choosers(ws), W = ws->n, C = ws->window[0].D / 2;
    mls_greedy g = {.n = n, .W = W, .C = C};
    round_state s = {.g = &g, .ws = ws, .objective = objective};
    double pairs = 0.0;
    mls_status st = MLS_OK;

    g.order = mls_calloc3(n, C, 1, sizeof *g.order);
    g.loss = mls_calloc3(n, C + 1, 1, sizeof *g.loss);
    g.trace = mls_calloc3(n * C, C, W, sizeof *g.trace);
    s.sums = mls_calloc3(W, n, C + 1, sizeof *s.sums);
    s.exact = mls_calloc3(W, n, C, sizeof *s.exact);
    s.tie = mls_calloc3(n, C, 1, sizeof *s.tie);
    s.n_ties = mls_calloc3(n, 1, 1, sizeof *s.n_ties);
    s.totals = mls_calloc3(n, C, 1, sizeof *s.totals);
    if (!g.order || !g.loss || !g.trace || !s.sums || !s.exact || !s.tie || !s.n_ties ||
        !s.totals) {
        st = mls_fail(err, MLS_E_NOMEM,
                      "no memory for a search over %zu heads, %zu windows", n, W);
        goto done;
    }
    for (size_t head = 0; head < n; head++)
        for (size_t c = 0; c < C; c++)
            g.order[head * C + c] = (uint16_t)c;
    for (size_t i = 0; i < n * C * C * W; i++)
        g.trace[i] = NAN;
    for (size_t w = 0; w < W; w++)
        pairs += pairs_of(&s, w);
    for (s.r = 0; s.r < C && !st; s.r++) {
        st = mls_progress_step(progress, "greedy rounds", (double)s.r, (double)C, err);
        if (!st)
            st = one_round(&s, pairs, pool, err);
    }

done:
    mls_free_all(s.sums, s.exact, s.tie, s.n_ties, s.totals);
    if (st)
        mls_greedy_free(&g);
    *out = g;
    return st;
}
