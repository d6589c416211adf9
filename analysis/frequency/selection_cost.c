/*
 * Differences of all chunks of a block of queries are made once, and every selection
 * adds up those that it leaves unturned: many selections cost little more than one.
 * What is measured: mean |change of a score|, KL of attention in nat, and the squared
 * change of attention's output relative to itself, before W_O. Jobs are (window, query
 * head).
 */
#include "analysis/frequency/selection_cost.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/frequency/score_rows.h"
#include "analysis/numeric/linalg.h"
#include "analysis/numeric/vector.h"
#include "common/base/checked.h"

/* Sums over the queries of one window. */
typedef struct {
    double magnitude, kl, change, output, queries, pairs;
} sums;

typedef struct {
    mls_score_rows rows;
    float *rho;      /* (MLS_SCORE_ROWS, C, T) of a block */
    float *x;        /* (T) */
    double *changed; /* (MLS_SCORE_ROWS, T): p' of a block */
    double *v;       /* (T, D) values of the KV head */
    double *out;     /* (2, MLS_SCORE_ROWS, D): attention output with p, with p' */
} scratch;

typedef struct {
    const mls_chunk_windows *ws;
    const mls_selection *selection;
    size_t n, every;
    scratch *worker;
    sums *sum; /* (windows, H, n) */
} cost_state;

static void scratch_free(scratch *s)
{
    mls_score_rows_free(&s->rows);
    mls_free_all(s->rho, s->x, s->changed, s->v, s->out);
}

static mls_status scratch_new(scratch *s, const mls_chunk_window *w, mls_err *err)
{
    const mls_status st = mls_score_rows_new(&s->rows, w, err);

    if (st)
        return st;
    s->rho = mls_calloc3(MLS_SCORE_ROWS * w->D / 2, w->T, 1, sizeof *s->rho);
    s->x = mls_calloc3(w->T, 1, 1, sizeof *s->x);
    s->changed = mls_calloc3(MLS_SCORE_ROWS, w->T, 1, sizeof *s->changed);
    s->v = mls_calloc3(w->T, w->D, 1, sizeof *s->v);
    s->out = mls_calloc3(2 * MLS_SCORE_ROWS, w->D, 1, sizeof *s->out);
    if (!s->rho || !s->x || !s->changed || !s->v || !s->out)
        return mls_fail(err, MLS_E_NOMEM, "no memory for windows of %zu tokens", w->T);
    return MLS_OK;
}

MLS_WIDE
static void add(float *restrict y, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

static double sum_of_squares(const double *a, const double *b, size_t n)
{
    double sum = 0.0;

    for (size_t i = 0; i < n; i++) {
        const double d = a[i] - (b ? b[i] : 0.0);

        sum += d * d;
    }
    return sum;
}

/*
 * Score errors and probabilities p' of the block when chunks left[0..n-1] do not turn.
 */
static void change_rows(scratch *s, const uint16_t *left, size_t n, sums *sum)
{
    const mls_score_rows *r = &s->rows;
    const size_t T = r->w->T;

    for (size_t row = 0; row < r->n; row++) {
        const size_t i = r->first + row, from = mls_chunk_first_key(r->w, i);
        const size_t n_keys = i + 1 - from;
        const double *p = r->p + row * T + from;
        double *changed = s->changed + row * T, total;

        memset(s->x, 0, n_keys * sizeof *s->x);
        for (size_t k = 0; k < n; k++)
            add(s->x, s->rho + (row * r->C + left[k]) * T, n_keys);
        sum->queries++;
        sum->pairs += (double)n_keys;
        for (size_t j = 0; j < n_keys; j++)
            sum->magnitude += (double)fabsf(s->x[j]);
        memset(changed, 0, T * sizeof *changed);
        sum->kl += mls_score_rows_kl(r->score + row * T + from, p, r->lse[row], s->x,
                                     n_keys, changed + from, &total);
        for (size_t j = from; j <= i; j++)
            changed[j] /= total;
    }
}

static mls_status job_cost(void *arg, size_t job, size_t worker, mls_err *err)
{
    const cost_state *state = arg;
    const mls_chunk_window *w = state->ws->window;
    const size_t H = w->H, D = w->D, C = D / 2, T = w->T, h = job % H;
    const size_t g = h / (H / w->G);
    scratch *s = state->worker + worker;
    double *plain = s->out, *changed = s->out + MLS_SCORE_ROWS * D;

    (void)err;
    w += job / H;
    mls_score_rows_set(&s->rows, w, state->ws->turns, h);
    for (size_t t = 0; t < T; t++)
        for (size_t d = 0; d < D; d++)
            s->v[t * D + d] = (double)w->v[(t * w->G + g) * D + d];
    const size_t blocks = (T + MLS_SCORE_ROWS - 1) / MLS_SCORE_ROWS;
    const size_t every = state->every < blocks ? state->every : blocks;

    for (size_t block = job % every; block < blocks; block += every) {
        const size_t first = block * MLS_SCORE_ROWS;

        mls_score_rows_block(&s->rows, first);
        for (size_t row = 0; row < s->rows.n; row++)
            for (size_t c = 0; c < C; c++)
                mls_score_rows_difference(&s->rows, first + row, c,
                                          s->rho + (row * C + c) * T);
        mls_matmul(plain, s->rows.p, false, s->v, false, s->rows.n, D, T);
        for (size_t i = 0; i < state->n; i++) {
            const mls_selection *selection = state->selection + i;
            const size_t chooser = h / (H / selection->G);
            const size_t kept = selection->count[chooser];
            sums *sum = state->sum + job * state->n + i;

            change_rows(s, selection->order + chooser * C + kept, C - kept, sum);
            mls_matmul(changed, s->changed, false, s->v, false, s->rows.n, D, T);
            sum->change += sum_of_squares(changed, plain, s->rows.n * D);
            sum->output += sum_of_squares(plain, NULL, s->rows.n * D);
        }
    }
    return MLS_OK;
}

mls_status mls_selection_cost(mls_cost *cost, const mls_chunk_windows *ws,
                              const mls_selection *selection, size_t n, size_t every,
                              mls_pool *pool, mls_err *err)
{
    const size_t H = ws->window[0].H, n_workers = mls_pool_threads(pool);
    cost_state s = {.ws = ws, .selection = selection, .n = n, .every = every};
    mls_status st = MLS_OK;

    s.worker = calloc(n_workers, sizeof *s.worker);
    s.sum = mls_calloc3(ws->n, H, n, sizeof *s.sum);
    if (!s.worker || !s.sum)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the costs of %zu selections", n);
    for (size_t i = 0; i < n_workers && !st; i++)
        st = scratch_new(s.worker + i, ws->window, err);
    if (!st)
        st = mls_pool_run(pool, ws->n * H, job_cost, &s, err);
    for (size_t i = 0; i < ws->n * H * n && !st; i++) {
        const sums *sum = s.sum + i;

        cost[i] = (mls_cost){
            .score_error = sum->magnitude / sum->pairs,
            .kl = sum->kl / sum->queries,
            .output_error = sum->output > 0.0 ? sum->change / sum->output : 0.0,
        };
    }
    for (size_t i = 0; s.worker && i < n_workers; i++)
        scratch_free(s.worker + i);
    mls_free_all(s.worker, s.sum);
    return st;
}
