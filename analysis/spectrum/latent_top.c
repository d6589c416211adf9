/*
 * Top tokens by a latent. With U (r, G D) the leading directions of a layer's keys
 * before RoPE, the latent is c = U k, and a query of head h sees the key U_g^T c of its
 * KV head g:
 *
 *   true      q^R_i . k^R_j               both turned
 *   latent    q_i . U_g^T c_j             nothing turned: scores straight from c
 *   turned    q^R_i . R_j (U_g^T c_j)     keys read back, then turned
 *
 * Sets of the K largest are compared, K an eighth of what the query sees; of equal
 * scores the earlier token counts as larger.
 */
#include "analysis/spectrum/latent_top.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/numeric/linalg.h"
#include "analysis/spectrum/outputs.h"
#include "common/base/checked.h"

enum { QUERIES = 32, FIGURES = 4 };

typedef struct {
    float score;
    size_t token;
} scored;

typedef struct {
    const mls_config *c;
    size_t layer;
    mls_outputs q, q_rot, k_rot, low, low_rot; /* low: keys read back of the latent */
    double *sum; /* (windows, H, FIGURES) means of each head */
} work;

static int by_score(const void *x, const void *y)
{
    const scored *a = x, *b = y;

    if (a->score != b->score)
        return a->score < b->score ? 1 : -1;
    return a->token < b->token ? -1 : 1;
}

/* Scores of the tokens that query i sees, largest first. */
static size_t rank_tokens(scored *out, const work *w, const float *q, const float *k,
                          size_t stride, size_t i)
{
    const size_t window = w->c->layer[w->layer].window, D = w->c->D;
    const size_t first = window && i + 1 > window ? i + 1 - window : 0;

    for (size_t j = first; j <= i; j++) {
        float s = 0;

        for (size_t d = 0; d < D; d++)
            s += q[d] * k[j * stride + d];
        out[j - first] = (scored){s, j};
    }
    qsort(out, i + 1 - first, sizeof *out, by_score);
    return i + 1 - first;
}

/* How many of the first n tokens of `chosen` are marked, and the weight on them. */
static void compare(double *found, double *mass, const scored *chosen, size_t n,
                    const bool *top, const double *weight, double most)
{
    double hits = 0, on = 0;

    for (size_t j = 0; j < n; j++) {
        hits += top[chosen[j].token];
        on += weight[chosen[j].token];
    }
    *found += hits / (double)n;
    *mass += on / most;
}

/* One query head of one window. */
static mls_status run_head(void *arg, size_t job, size_t worker, mls_err *err)
{
    work *w = arg;
    const size_t H = w->c->H, G = w->c->G, D = w->c->D, T = w->q.T;
    const size_t window = job / H, h = job % H, g = h / (H / G);
    const size_t at_q = (window * T * H + h) * D, at_k = (window * T * G + g) * D;
    const size_t from = T / 2, step = (T - from + QUERIES - 1) / QUERIES;
    double *figure = w->sum + job * FIGURES, queries = 0;
    scored *list = mls_calloc3(T, 1, 1, sizeof *list);
    double *weight = mls_calloc3(T, 1, 1, sizeof *weight);
    bool *top = mls_calloc3(T, 1, 1, sizeof *top);
    mls_status st = MLS_OK;

    (void)worker;
    if (!list || !weight || !top)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the scores of %zu tokens", T);
    for (size_t i = from; !st && i < T; i += step, queries++) {
        const float *q = w->q.y + at_q + i * H * D,
                    *q_rot = w->q_rot.y + at_q + i * H * D;
        const size_t seen = rank_tokens(list, w, q_rot, w->k_rot.y + at_k, G * D, i);
        const size_t n = (seen + MLS_LATENT_TOP_SHARE - 1) / MLS_LATENT_TOP_SHARE;
        const double scale = sqrt((double)D), largest = (double)list[0].score;
        double most = 0;

        memset(top, 0, T * sizeof *top);
        for (size_t j = 0; j < seen; j++) {
            weight[list[j].token] = exp(((double)list[j].score - largest) / scale);
            if (j < n) {
                top[list[j].token] = true;
                most += weight[list[j].token];
            }
        }
        rank_tokens(list, w, q, w->low.y + at_k, G * D, i);
        compare(&figure[0], &figure[1], list, n, top, weight, most);
        rank_tokens(list, w, q_rot, w->low_rot.y + at_k, G * D, i);
        compare(&figure[2], &figure[3], list, n, top, weight, most);
    }
    for (size_t f = 0; f < FIGURES; f++)
        figure[f] /= queries;
    mls_free_all(list, weight, top);
    return st;
}

/* Means over heads of each window, and over windows. */
static mls_status summarize(mls_latent_top_row *row, const work *w, mls_err *err)
{
    mls_mean *const mean[FIGURES] = {&row->found, &row->mass, &row->turned_found,
                                     &row->turned_mass};
    const size_t n = w->q.n, H = w->c->H;
    double *each = mls_calloc3(n, 1, 1, sizeof *each);

    if (!each)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu windows", n);
    for (size_t f = 0; f < FIGURES; f++) {
        for (size_t i = 0; i < n; i++) {
            each[i] = 0;
            for (size_t h = 0; h < H; h++)
                each[i] += w->sum[(i * H + h) * FIGURES + f] / (double)H;
        }
        *mean[f] = mls_mean_of(each, n);
    }
    free(each);
    return MLS_OK;
}

/* low = U^T U k for the first r directions, and the same turned. */
static mls_status read_back(work *w, const mls_outputs *k, const double *directions,
                            size_t r, mls_err *err)
{
    const size_t m = k->m;
    double *p = mls_calloc3(m, m, 1, sizeof *p);
    float *low = mls_calloc3(m, m, 1, sizeof *low);
    mls_status st =
        p && low ? MLS_OK : mls_fail(err, MLS_E_NOMEM, "no memory for a latent");

    mls_outputs_free(&w->low);
    mls_outputs_free(&w->low_rot);
    if (!st) {
        mls_matmul(p, directions, true, directions, false, m, m, r);
        for (size_t i = 0; i < m * m; i++)
            low[i] = (float)p[i];
        st = mls_outputs_project(&w->low, k, low, m, err);
    }
    if (!st)
        st = mls_outputs_project(&w->low_rot, k, low, m, err);
    if (!st)
        st = mls_outputs_turn(&w->low_rot, w->c, w->layer, err);
    mls_free_all(p, low);
    return st;
}

static mls_status run_layer(mls_latent_top_row *row, mls_capture *capture, size_t l,
                            const size_t *rank, size_t n_ranks, mls_pool *pool,
                            mls_err *err)
{
    const mls_config *c = mls_capture_config(capture);
    const size_t m = c->G * c->D;
    work w = {.c = c, .layer = l};
    mls_outputs k = {0};
    mls_window_moments moments = {0};
    double *second = mls_calloc3(m, m, 1, sizeof *second);
    double *directions = mls_calloc3(m, m, 1, sizeof *directions);
    double *lambda = mls_calloc3(m, 1, 1, sizeof *lambda);
    mls_status st = second && directions && lambda
                        ? mls_outputs_load(&k, capture, l, MLS_MATRIX_K, err)
                        : mls_fail(err, MLS_E_NOMEM, "no memory for a layer's keys");

    if (!st)
        st = mls_outputs_moments(&moments, &k, err);
    if (!st) {
        mls_window_moments_draw(second, &moments, 0, 0);
        st = mls_eigen(second, m, lambda, directions, err);
    }
    if (!st)
        st = mls_outputs_load(&w.q, capture, l, MLS_MATRIX_Q, err);
    if (!st)
        st = mls_outputs_load(&w.q_rot, capture, l, MLS_MATRIX_Q, err);
    if (!st)
        st = mls_outputs_turn(&w.q_rot, c, l, err);
    if (!st)
        st = mls_outputs_load(&w.k_rot, capture, l, MLS_MATRIX_K_ROT, err);
    for (size_t i = 0; !st && i < n_ranks; i++) {
        row[i] = (mls_latent_top_row){.layer = l, .rank = rank[i]};
        st = read_back(&w, &k, directions, rank[i], err);
        free(w.sum);
        w.sum = mls_calloc3(k.n, c->H, FIGURES, sizeof *w.sum);
        if (!st && !w.sum)
            st = mls_fail(err, MLS_E_NOMEM, "no memory for %zu heads", c->H);
        if (!st)
            st = mls_pool_run(pool, k.n * c->H, run_head, &w, err);
        if (!st)
            st = summarize(&row[i], &w, err);
    }
    mls_outputs_free(&k);
    mls_outputs_free(&w.q);
    mls_outputs_free(&w.q_rot);
    mls_outputs_free(&w.k_rot);
    mls_outputs_free(&w.low);
    mls_outputs_free(&w.low_rot);
    mls_window_moments_free(&moments);
    mls_free_all(w.sum, second, directions, lambda);
    return st;
}

void mls_latent_top_free(mls_latent_top *t)
{
    free(t->row);
    *t = (mls_latent_top){0};
}

mls_status mls_latent_top_run(mls_latent_top *out, mls_capture *capture,
                              const size_t *rank, size_t n_ranks, mls_pool *pool,
                              const mls_progress *progress, mls_err *err)
{
    const mls_config *c = mls_capture_config(capture);
    mls_status st = MLS_OK;

    *out = (mls_latent_top){0};
    if (mls_capture_windows(capture) == 0)
        return mls_fail(err, MLS_E_INPUT, "%s holds no windows, which scores are of",
                        mls_capture_path(capture));
    for (size_t i = 0; i < n_ranks; i++)
        if (rank[i] == 0 || rank[i] > c->G * c->D)
            return mls_fail(err, MLS_E_INPUT,
                            "a latent of %zu numbers: a layer's keys have %zu", rank[i],
                            c->G * c->D);
    out->row = mls_calloc3(c->L, n_ranks, 1, sizeof *out->row);
    if (!out->row)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu layers", c->L);
    for (size_t l = 0; !st && l < c->L; l++) {
        if (!mls_config_layer_is_seen(c, l))
            continue;
        st = mls_progress_step(progress, "top tokens", (double)l, (double)c->L, err);
        if (!st)
            st = run_layer(out->row + out->n, capture, l, rank, n_ranks, pool, err);
        out->n += n_ranks;
    }
    if (st)
        mls_latent_top_free(out);
    return st;
}
