/*
 * Products of at most BLOCK tokens run in float and are added up in double. Whatever
 * the order of a sum of K products in float, it is off by at most K u / (1 - K u) of
 * the sum of their sizes, u = 2^-24 (Higham 2002, section 3.1): 1.6e-5 of
 * sqrt(S_ii S_jj) for an element ij of a moment S, about 1e-7 in fact, and less with
 * every further block, while the file's floats round by 6e-8. In double they took three
 * times as long. Tokens lie one behind the other, so that nothing is turned or copied.
 *
 * The E x E sum is not one of matrices that each thread has: tiles of 128 of a single
 * matrix are the jobs, over one block of tokens after another. The tree joins
 * neighbours 1, 2, 4 ... apart, and a process of several stops at the nodes that lie
 * wholly in its part, so that joined parts have the bits of one process.
 */
#include "analysis/capture/moments.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/model/block.h"
#include "analysis/numeric/packed.h"
#include "analysis/numeric/vector.h"
#include "common/base/checked.h"

/* Tokens whose products are summed in float; the side of a tile of the E x E sum. */
enum { BLOCK = 256, ROWS_PER_JOB = 64, TILE = 128 };

size_t mls_moments_scratch(size_t D)
{
    return D * D;
}

/* tile (m, n) = a^T b over T tokens, rows ld apart. */
static void product(float *tile, const float *a, const float *b, size_t ld, size_t m,
                    size_t n, size_t T)
{
    if (!mls_f32_product(tile, n, &(mls_operand){a, ld, true},
                         &(mls_operand){b, ld, false}, m, n, T, false))
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)m, (int)n, (int)T,
                    1.0F, a, (int)ld, b, (int)ld, 0.0F, tile, (int)n);
}

MLS_WIDE
static void add_floats(double *restrict to, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] += (double)x[i];
}

/* second (D, D) += a^T b of one head over T tokens, its upper triangle if a is b. */
static void add_second(double *second, const float *a, const float *b, size_t ld,
                       size_t T, size_t D, float *tile)
{
    for (size_t first = 0; first < T; first += BLOCK) {
        const size_t n = T - first < BLOCK ? T - first : BLOCK;

        product(tile, a + first * ld, b + first * ld, ld, D, D, n);
        for (size_t i = 0; i < D; i++) {
            const size_t from = a == b ? i : 0;

            add_floats(second + i * D + from, tile + i * D + from, D - from);
        }
    }
}

/* Sums over T tokens of n numbers. */
static void add_rows(double *mean, const float *x, size_t T, size_t n)
{
    for (size_t t = 0; t < T; t++)
        add_floats(mean, x + t * n, n);
}

/* norms (C) += |(x[c], x[c + C])| of one token's head. */
MLS_WIDE
static void add_norms(double *restrict norms, const float *restrict x, size_t C)
{
    for (size_t c = 0; c < C; c++) {
        const double a = (double)x[c], b = (double)x[c + C];

        norms[c] += sqrt(a * a + b * b);
    }
}

/* norms (n, C): means over T tokens of n heads' chunks. */
static void chunk_norms(double *norms, const float *x, size_t T, size_t n, size_t D)
{
    const size_t C = D / 2;

    memset(norms, 0, n * C * sizeof *norms);
    for (size_t t = 0; t < T; t++)
        for (size_t h = 0; h < n; h++)
            add_norms(norms + h * C, x + (t * n + h) * D, C);
    for (size_t i = 0; i < n * C; i++)
        norms[i] /= (double)T;
}

MLS_WIDE
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

/* second (n, D, D) += moments of n heads in rows x (T, n D). */
static void add_heads(double *second, const float *x, size_t T, size_t n, size_t D,
                      float *tile)
{
    for (size_t h = 0; h < n; h++)
        add_second(second + h * D * D, x + h * D, x + h * D, n * D, T, D, tile);
}

void mls_moments_add(mls_layer_stats *sum, const mls_attention_view *view,
                     double *q_norms, double *k_norms, float *scratch)
{
    const size_t H = sum->H, G = sum->G, D = sum->D, T = view->T;

    sum->n_tokens += (double)T;
    add_x(sum->x_mean, sum->x_abs, view->x, T, sum->E);
    add_heads(sum->q_second, view->q, T, H, D, scratch);
    add_heads(sum->q_rot_second, view->q_rot, T, H, D, scratch);
    add_heads(sum->k_second, view->k, T, G, D, scratch);
    add_heads(sum->k_rot_second, view->k_rot, T, G, D, scratch);
    add_heads(sum->v_second, view->v, T, G, D, scratch);
    for (size_t g = 0; g < G; g++)
        add_second(sum->kv_cross + g * D * D, view->k + g * D, view->v + g * D, G * D,
                   T, D, scratch);
    add_rows(sum->q_mean, view->q, T, H * D);
    add_rows(sum->q_rot_mean, view->q_rot, T, H * D);
    add_rows(sum->k_mean, view->k, T, G * D);
    add_rows(sum->k_rot_mean, view->k_rot, T, G * D);
    add_rows(sum->v_mean, view->v, T, G * D);
    chunk_norms(q_norms, view->q, T, H, D);
    chunk_norms(k_norms, view->k, T, G, D);
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
    const float *h; /* (n, E), the present block */
    size_t n, E;
    const mls_config *config;
    const mls_layer *layer;
    float *rows; /* (BLOCK, E): norm(h) */
    float *tile; /* (workers, TILE, TILE) */
    const mls_moments_sum *sum;
    double *to;        /* (E, E): blocks before the last; NULL: one block */
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
    return MLS_OK;
}

/* Columns from .. to - 1 of a row of the sums get those of a tile's row. */
MLS_WIDE
static void take_row(const x_work *w, const float *tile, size_t row, size_t from,
                     size_t to)
{
    const mls_moments_sum *sum = w->sum;
    const size_t n = to - from, at = row * w->E + from;
    double x[TILE];

    for (size_t i = 0; i < n; i++)
        x[i] = (w->begins ? 0 : w->to[at + i]) + (double)tile[i];
    for (size_t l = 0; w->ends && l < sum->n_left; l++)
        for (size_t i = 0; i < n; i++)
            x[i] = sum->left[l][at + i] + x[i];
    memcpy((w->ends && sum->n_left ? sum->left[sum->n_left - 1] : w->to) + at, x,
           n * sizeof *x);
}

/* Tile number job of the upper triangle: rows i, columns j >= i. */
static mls_status add_tile(void *arg, size_t job, size_t worker, mls_err *err)
{
    const x_work *w = arg;
    const size_t E = w->E, side = (E + TILE - 1) / TILE;
    size_t i = 0, j = job;

    (void)err;
    while (j >= side - i) {
        j -= side - i;
        i++;
    }
    i *= TILE;
    j = i + j * TILE;
    const size_t ni = E - i < TILE ? E - i : TILE, nj = E - j < TILE ? E - j : TILE;
    float *tile = w->tile + worker * TILE * TILE;

    product(tile, w->rows + i, w->rows + j, E, ni, nj, w->n);
    for (size_t row = 0; row < ni; row++) {
        const size_t from = i == j ? row : 0; /* of the upper triangle */

        take_row(w, tile + row * nj + from, i + row, j + from, j + nj);
    }
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

    w.to = sum->n_left ? own : sum->to;
    w.rows = mls_calloc3(BLOCK, E, 1, sizeof *w.rows);
    w.tile = mls_calloc3(mls_pool_threads(pool), TILE, TILE, sizeof *w.tile);
    if (!w.rows || !w.tile || (apart && !own)) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for %d rows of %zu", BLOCK, E);
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
    mls_free_all(w.tile, w.rows, own);
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
