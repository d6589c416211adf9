/*
 * For each query the differences of the chunks in question are summed, and a
 * candidate's loss is the KL with its own taken off, or with it alone. Searches use the
 * quick KL in float and settle near ties (5e-4) in double.
 */
#include "analysis/frequency/softmax_score.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/frequency/score_rows.h"
#include "analysis/numeric/vector.h"
#include "common/base/checked.h"
#include "common/base/shape.h"

typedef struct {
    mls_score_rows rows;
    float *rho;      /* (C, T) of one query */
    float *residual; /* (T) */
    float *x;        /* (T) */
    float *p;        /* (T) probabilities of one query */
    double *changed; /* (T) */
} scratch;

struct mls_softmax_score {
    const double *turns;
    size_t C, n_workers;
    scratch *worker;
};

mls_status mls_softmax_score_new(mls_softmax_score **out, const mls_chunk_windows *ws,
                                 size_t n_workers, mls_err *err)
{
    const mls_chunk_window *w = ws->window;
    mls_softmax_score *s = calloc(1, sizeof *s);
    mls_status st = MLS_OK;

    *out = NULL;
    if (s)
        *s = (mls_softmax_score){.turns = ws->turns,
                                 .C = w->D / 2,
                                 .n_workers = n_workers,
                                 .worker = calloc(n_workers, sizeof *s->worker)};
    if (!s || !s->worker)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for %zu workers", n_workers);
    for (size_t i = 0; i < n_workers && !st; i++) {
        scratch *worker = s->worker + i;

        st = mls_score_rows_new(&worker->rows, w, err);
        worker->rho = mls_calloc3(s->C, w->T, 1, sizeof *worker->rho);
        worker->residual = mls_calloc3(w->T, 1, 1, sizeof *worker->residual);
        worker->x = mls_calloc3(w->T, 1, 1, sizeof *worker->x);
        worker->p = mls_calloc3(w->T, 1, 1, sizeof *worker->p);
        worker->changed = mls_calloc3(w->T, 1, 1, sizeof *worker->changed);
        if (!st && (!worker->rho || !worker->residual || !worker->x || !worker->p ||
                    !worker->changed))
            st =
                mls_fail(err, MLS_E_NOMEM, "no memory for windows of %zu tokens", w->T);
    }
    if (st)
        mls_softmax_score_free(s);
    else
        *out = s;
    return st;
}

void mls_softmax_score_free(mls_softmax_score *s)
{
    if (!s)
        return;
    for (size_t i = 0; s->worker && i < s->n_workers; i++) {
        mls_score_rows_free(&s->worker[i].rows);
        mls_free_all(s->worker[i].rho, s->worker[i].residual, s->worker[i].x,
                     s->worker[i].p, s->worker[i].changed);
    }
    mls_free_all(s->worker, s);
}

MLS_WIDE
static void add(float *restrict y, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

MLS_WIDE
static void subtract(float *restrict y, const float *restrict a,
                     const float *restrict b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] - b[i];
}

typedef struct {
    const uint16_t *left; /* (n) chunks that are not rotated */
    size_t n;
    const uint16_t *wanted; /* (n_wanted) places in left */
    size_t n_wanted;
    bool alone; /* one chunk at a time: all others are rotated */
    bool fast;
} question;

static double kl_of(scratch *s, size_t row, const float *x, size_t from, size_t n,
                    bool fast)
{
    const mls_score_rows *r = &s->rows;
    const size_t at = row * r->w->T + from;
    double sum;

    if (fast)
        return mls_score_rows_kl_fast(r->score + at, r->p + at, s->p, r->lse[row], x, n,
                                      s->changed);
    return mls_score_rows_kl(r->score + at, r->p + at, r->lse[row], x, n, s->changed,
                             &sum);
}

/*
 * loss[i] += KL of query `row` of the block with all of `left` unrotated but wanted[i],
 * or (alone) with wanted[i] alone unrotated. loss[n_wanted]: with all of them
 * unrotated.
 */
static void add_query(scratch *s, size_t row, const question *q, double *loss)
{
    const mls_score_rows *r = &s->rows;
    const size_t i = r->first + row, T = r->w->T, from = mls_chunk_first_key(r->w, i);
    const size_t n_keys = i + 1 - from;

    memset(s->residual, 0, n_keys * sizeof *s->residual);
    for (size_t j = 0; j < n_keys && q->fast; j++)
        s->p[j] = (float)r->p[row * T + from + j];
    for (size_t k = 0; k < q->n; k++) {
        mls_score_rows_difference(r, i, q->left[k], s->rho + k * T);
        if (!q->alone)
            add(s->residual, s->rho + k * T, n_keys);
    }
    for (size_t k = 0; k < q->n_wanted; k++) {
        const float *x = s->rho + q->wanted[k] * T;

        if (!q->alone) {
            subtract(s->x, s->residual, x, n_keys);
            x = s->x;
        }
        loss[k] += kl_of(s, row, x, from, n_keys, q->fast);
    }
    if (!q->alone)
        loss[q->n_wanted] += kl_of(s, row, s->residual, from, n_keys, q->fast);
}

static void add_window(scratch *s, const mls_chunk_window *w, const double *turns,
                       size_t h, const question *q, double *loss)
{
    memset(loss, 0, (q->alone ? q->n_wanted : q->n_wanted + 1) * sizeof *loss);
    mls_score_rows_set(&s->rows, w, turns, h);
    for (size_t first = 0; first < w->T; first += MLS_SCORE_ROWS) {
        mls_score_rows_block(&s->rows, first);
        for (size_t row = 0; row < s->rows.n; row++)
            add_query(s, row, q, loss);
    }
}

static void count_up(uint16_t *all, size_t n)
{
    for (size_t i = 0; i < n; i++)
        all[i] = (uint16_t)i;
}

void mls_softmax_score_single(mls_softmax_score *s, const mls_chunk_window *w, size_t h,
                              double *score, size_t worker)
{
    uint16_t all[MLS_DIM_MAX / 2];
    const question q = {
        .left = all, .n = s->C, .wanted = all, .n_wanted = s->C, .alone = true};

    count_up(all, s->C);
    add_window(s->worker + worker, w, s->turns, h, &q, score);
}

static mls_status losses(void *arg, const mls_chunk_window *w, size_t h,
                         const uint16_t *order, size_t r, double *loss, size_t worker,
                         mls_err *err)
{
    mls_softmax_score *s = arg;
    uint16_t all[MLS_DIM_MAX / 2];
    const question q = {.left = order + r,
                        .n = s->C - r,
                        .wanted = all,
                        .n_wanted = s->C - r,
                        .fast = true};

    (void)err;
    count_up(all, q.n);
    add_window(s->worker + worker, w, s->turns, h, &q, loss);
    return MLS_OK;
}

static mls_status exact(void *arg, const mls_chunk_window *w, size_t h,
                        const uint16_t *order, size_t r, const uint16_t *wanted,
                        size_t n_wanted, double *loss, size_t worker, mls_err *err)
{
    mls_softmax_score *s = arg;
    double with_none[MLS_DIM_MAX / 2 + 1];
    const question q = {
        .left = order + r, .n = s->C - r, .wanted = wanted, .n_wanted = n_wanted};

    (void)err;
    add_window(s->worker + worker, w, s->turns, h, &q, with_none);
    memcpy(loss, with_none, n_wanted * sizeof *loss);
    return MLS_OK;
}

mls_greedy_objective mls_softmax_score_objective(mls_softmax_score *s)
{
    return (mls_greedy_objective){.arg = s,
                                  .losses = losses,
                                  .exact = exact,
                                  .tolerance = 5e-4,
                                  .per_query = true};
}
