/*
 * A head's (T, D) is transposed into double and multiplied by dsyrk, upper triangle
 * alone. The E x E sum is not one of matrices that each thread has: tiles of 128 of a
 * single matrix are the jobs, over one block of tokens after another. The tree joins
 * neighbours 1, 2, 4 ... apart, and a process of several stops at the nodes that lie
 * wholly in its part, so that joined parts have the bits of one process.
 */
#include "analysis/capture/moments.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/model/block.h"
#include "common/base/checked.h"

/* Tokens turned into doubles at a time, and the side of a tile of the E x E sum. */
enum { BLOCK = 1024, ROWS_PER_JOB = 64, TILE = 128 };

size_t mls_moments_scratch(size_t T, size_t D)
{
    return 2 * T * D;
}

/*
 * out (D, T) with rows ld apart = the transpose of T rows of D at a stride, in double:
 * BLAS sums over contiguous tokens nearly twice as fast. By blocks, so that each cache
 * line of out is written once.
 */
static void transpose(double *out, size_t ld, const float *x, size_t stride, size_t T,
                      size_t D)
{
    enum { LINE = 8 };
    size_t t = 0;

    for (; t + LINE <= T; t += LINE)
        for (size_t d = 0; d < D; d++)
            for (size_t i = 0; i < LINE; i++)
                out[d * ld + t + i] = (double)x[(t + i) * stride + d];
    for (; t < T; t++)
        for (size_t d = 0; d < D; d++)
            out[d * ld + t] = (double)x[t * stride + d];
}

/*
 * Sum of n values as four interleaved ones: always the same order, and no long chain.
 */
static double sum_of(const double *x, size_t n)
{
    double sum[4] = {0};
    size_t i = 0;

    for (; i + 4 <= n; i += 4)
        for (size_t j = 0; j < 4; j++)
            sum[j] += x[i + j];
    for (; i < n; i++)
        sum[0] += x[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* second (D, D) += upper triangle of x x^T; mean (D) += sums over tokens. x (D, T). */
static void add_moments(double *second, double *mean, const double *x, size_t T,
                        size_t D)
{
    cblas_dsyrk(CblasRowMajor, CblasUpper, CblasNoTrans, (int)D, (int)T, 1.0, x, (int)T,
                1.0, second, (int)D);
    for (size_t d = 0; d < D; d++)
        mean[d] += sum_of(x + d * T, T);
}

/* norms (C): mean over t of |(x[c, t], x[c + C, t])|. */
static void chunk_norms(double *norms, const double *x, size_t T, size_t D)
{
    const size_t C = D / 2;

    for (size_t c = 0; c < C; c++) {
        const double *a = x + c * T, *b = x + (c + C) * T;
        double sum = 0;

        for (size_t t = 0; t < T; t++)
            sum += sqrt(a[t] * a[t] + b[t] * b[t]);
        norms[c] = sum / (double)T;
    }
}

static void add_x(double *restrict mean, double *restrict abs, const float *restrict x,
                  size_t T, size_t E)
{
    for (size_t t = 0; t < T; t++)
        for (size_t e = 0; e < E; e++) {
            const double v = (double)x[t * E + e];

            mean[e] += v;
            abs[e] += fabs(v);
        }
}

void mls_moments_add(mls_layer_stats *sum, const mls_attention_view *view,
                     double *q_norms, double *k_norms, double *scratch)
{
    const size_t H = sum->H, G = sum->G, D = sum->D, C = sum->C;
    const size_t T = view->T;
    double *a = scratch, *b = scratch + T * D; /* (D, T) each */

    sum->n_tokens += (double)T;
    add_x(sum->x_mean, sum->x_abs, view->x, T, sum->E);
    for (size_t h = 0; h < H; h++) {
        transpose(a, T, view->q + h * D, H * D, T, D);
        add_moments(sum->q_second + h * D * D, sum->q_mean + h * D, a, T, D);
        chunk_norms(q_norms + h * C, a, T, D);
        transpose(a, T, view->q_rot + h * D, H * D, T, D);
        add_moments(sum->q_rot_second + h * D * D, sum->q_rot_mean + h * D, a, T, D);
    }
    for (size_t g = 0; g < G; g++) {
        transpose(a, T, view->k_rot + g * D, G * D, T, D);
        add_moments(sum->k_rot_second + g * D * D, sum->k_rot_mean + g * D, a, T, D);
        transpose(a, T, view->k + g * D, G * D, T, D);
        add_moments(sum->k_second + g * D * D, sum->k_mean + g * D, a, T, D);
        chunk_norms(k_norms + g * C, a, T, D);
        transpose(b, T, view->v + g * D, G * D, T, D);
        add_moments(sum->v_second + g * D * D, sum->v_mean + g * D, b, T, D);
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)D, (int)D, (int)T,
                    1.0, a, (int)T, b, (int)T, 1.0, sum->kv_cross + g * D * D, (int)D);
    }
}

void mls_moments_join(double **v, size_t n_values, size_t from, size_t to, size_t n,
                      bool release)
{
    for (size_t step = 1; step < n; step *= 2)
        for (size_t i = (from + 2 * step - 1) / (2 * step) * (2 * step); i + step < to;
             i += 2 * step) {
            const size_t end = i + 2 * step < n ? i + 2 * step : n;

            if (end > to || !v[i] || !v[i + step])
                continue;
            for (size_t j = 0; j < n_values; j++)
                v[i][j] += v[i + step][j];
            if (release)
                free(v[i + step]);
            v[i + step] = NULL;
        }
}

size_t mls_moments_left(size_t node[MLS_MOMENTS_STEPS], size_t job, size_t from,
                        size_t n)
{
    size_t at = job, n_left = 0; /* at: the first job of the sum so far */

    for (size_t step = 1; step < n; step *= 2) {
        if (at % (2 * step) == 0) {
            if (at + step < n)
                break; /* its neighbour is yet to come */
            continue;
        }
        if (at - step < from)
            break; /* of another part */
        at -= step;
        node[n_left++] = at;
    }
    return n_left;
}

size_t mls_moments_node_end(size_t at, size_t to, size_t n)
{
    size_t step = 1;

    while (step < n && at % (2 * step) == 0 && (at + 2 * step <= to || to == n))
        step *= 2;
    return at + step < to ? at + step : to;
}

/* Lower triangle of n matrices (D, D) from the upper one. */
static void mirror(double *a, size_t n, size_t D)
{
    for (size_t m = 0; m < n; m++, a += D * D)
        for (size_t i = 0; i < D; i++)
            for (size_t j = 0; j < i; j++)
                a[i * D + j] = a[j * D + i];
}

void mls_moments_finish(mls_layer_stats *s, const double *sum, size_t n_sum,
                        double n_tokens)
{
    double *small = s->block + (s->n_block - n_sum); /* x_second comes first */

    s->n_tokens = n_tokens;
    for (size_t i = 0; i < n_sum; i++)
        small[i] = sum[i] / n_tokens;
    mirror(s->q_second, s->H, s->D);
    mirror(s->q_rot_second, s->H, s->D);
    mirror(s->k_second, s->G, s->D);
    mirror(s->k_rot_second, s->G, s->D);
    mirror(s->v_second, s->G, s->D);
}

typedef struct {
    const float *h;    /* (n, E), the present block */
    size_t n, E, room; /* room: rows that rows and x have, BLOCK at most */
    const mls_config *config;
    const mls_layer *layer;
    float *rows; /* (room, E): norm(h) */
    double *x;   /* (E, room): its transpose in double */
    const mls_moments_sum *sum;
    double *to;   /* (E, E), upper triangle of tiles; NULL: one block, joined at once */
    double *tile; /* (workers, TILE, TILE), for that */
    bool begins, ends; /* the first, the last block of the job */
} x_work;

static mls_status norm_rows(void *arg, size_t job, size_t worker, mls_err *err)
{
    const x_work *w = arg;
    const size_t first = job * ROWS_PER_JOB;
    const size_t n = w->n - first < ROWS_PER_JOB ? w->n - first : ROWS_PER_JOB;
    const size_t at = first * w->E;

    (void)worker;
    (void)err;
    mls_block_norm(w->config, w->rows + at, w->h + at, w->layer->attn_norm,
                   w->layer->attn_norm_bias, n);
    transpose(w->x + first, w->room, w->rows + at, w->E, n, w->E);
    return MLS_OK;
}

/* Tile (ni, nj), rows ld apart, at row i and column j into the sums at its left. */
static void join_tile(const mls_moments_sum *sum, double *tile, size_t ld, size_t i,
                      size_t j, size_t ni, size_t nj)
{
    for (size_t row = 0; row < ni; row++) {
        double *x = tile + row * ld; /* in the diagonal tile from column row on */

        for (size_t l = 0; l < sum->n_left; l++) {
            double *left = sum->left[l] + (i + row) * sum->E + j;
            double *to = l + 1 == sum->n_left ? left : x;

            for (size_t col = i == j ? row : 0; col < nj; col++)
                to[col] = left[col] + x[col];
        }
    }
}

/* Tile number job of the upper triangle: rows i, columns j >= i. */
static mls_status add_tile(void *arg, size_t job, size_t worker, mls_err *err)
{
    const x_work *w = arg;
    const size_t E = w->E, side = (E + TILE - 1) / TILE, room = w->room;
    size_t i = 0, j = job;

    (void)err;
    while (j >= side - i) {
        j -= side - i;
        i++;
    }
    i *= TILE;
    j = i + j * TILE;
    const int ni = (int)(E - i < TILE ? E - i : TILE);
    const int nj = (int)(E - j < TILE ? E - j : TILE);
    double *to = w->to ? w->to + i * E + j : w->tile + worker * TILE * TILE;
    const size_t ld = w->to ? E : TILE;
    const double beta = w->begins ? 0 : 1;

    if (i == j)
        cblas_dsyrk(CblasRowMajor, CblasUpper, CblasNoTrans, ni, (int)w->n, 1.0,
                    w->x + i * room, (int)room, beta, to, (int)ld);
    else
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, ni, nj, (int)w->n, 1.0,
                    w->x + i * room, (int)room, w->x + j * room, (int)room, beta, to,
                    (int)ld);
    if (w->ends)
        join_tile(w->sum, to, ld, i, j, (size_t)ni, (size_t)nj);
    return MLS_OK;
}

mls_status mls_moments_x_add(const mls_moments_sum *sum, const mls_spill *room,
                             const float *h, size_t n, const mls_config *config,
                             const mls_layer *layer, mls_pool *pool, mls_err *err)
{
    const size_t E = config->E, side = (E + TILE - 1) / TILE;
    const bool apart = sum->n_left > 0 && n > BLOCK;
    double *own = apart ? mls_calloc3(E, E, 1, sizeof *own) : NULL;
    mls_status st = MLS_OK;
    x_work w = {.E = E, .config = config, .layer = layer, .sum = sum};

    w.room = n < BLOCK ? n : BLOCK;
    w.to = sum->n_left ? own : sum->to;
    w.rows = mls_calloc3(w.room, E, 1, sizeof *w.rows);
    w.x = mls_calloc3(w.room, E, 1, sizeof *w.x);
    w.tile = mls_calloc3(mls_pool_threads(pool), TILE, TILE, sizeof *w.tile);
    if (!w.rows || !w.x || !w.tile || (apart && !own)) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for %zu rows of %zu", w.room, E);
        goto done;
    }
    for (size_t first = 0; first < n && !st; first += BLOCK) {
        w.h = h + first * E;
        w.n = n - first < BLOCK ? n - first : BLOCK;
        w.begins = first == 0;
        w.ends = first + w.n == n;
        st = mls_pool_run(pool, (w.n + ROWS_PER_JOB - 1) / ROWS_PER_JOB, norm_rows, &w,
                          err);
        if (!st)
            st = mls_pool_run(pool, side * (side + 1) / 2, add_tile, &w, err);
        mls_spill_leave(room, w.h, w.n * E * sizeof *w.h);
    }

done:
    mls_free_all(w.tile, w.x, w.rows, own);
    return st;
}

void mls_moments_finish_x(double *second, size_t E, double n_tokens)
{
    for (size_t i = 0; i < E * E; i++)
        second[i] /= n_tokens;
    mirror(second, 1, E);
}

mls_status mls_moments_x(double *second, const mls_spill *room, const float *h,
                         size_t n, const mls_config *config, const mls_layer *layer,
                         mls_pool *pool, mls_err *err)
{
    const mls_moments_sum sum = {.E = config->E, .to = second};
    const mls_status st = mls_moments_x_add(&sum, room, h, n, config, layer, pool, err);

    if (!st)
        mls_moments_finish_x(second, config->E, (double)n);
    return st;
}

void mls_moments_mean_norm(double *mean, const double *each, const size_t *start,
                           size_t N, size_t n)
{
    memset(mean, 0, n * sizeof *mean);
    for (size_t s = 0; s < N; s++)
        for (size_t i = 0; i < n; i++)
            mean[i] += (double)(start[s + 1] - start[s]) * each[s * n + i];
    for (size_t i = 0; i < n; i++)
        mean[i] /= (double)start[N];
}
