/*
 * A pair costs four products for each chunk left and one absolute difference for each
 * candidate. Vectors are named by hand (vector_size): so float sums have one order on
 * every machine. They go into double behind each row of tiles (flush); what float still
 * cannot tell apart, exact() does again in double.
 */
#include "analysis/frequency/ropelite_l1.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/numeric/vector.h"
#include "common/base/checked.h"

/*
 * Pairs are taken in tiles of ROWS queries and COLUMNS keys. In a tile all differences
 * are made once and summed to the residual, then every candidate is taken off it:
 * nothing of size T x T is ever stored, and no rounding is carried from round to round.
 */
enum {
    ROWS = 4,
    LANES = 16,
    VECTORS = 2,
    COLUMNS = VECTORS * LANES,
    PANEL = 8 * COLUMNS, /* keys that stay in cache while all queries pass */
    TILE = ROWS * VECTORS,
};

typedef float lanes __attribute__((vector_size(64), may_alias));
typedef int32_t lane_bits __attribute__((vector_size(64), may_alias));
typedef double half_lanes __attribute__((vector_size(64), may_alias));

typedef struct {
    double *a_factors, *b_factors; /* (4 C) of one token */
    float *a;      /* (row groups, n, ROWS, 4): factors of the queries */
    float *b;      /* (column blocks, n, 4, COLUMNS): factors of the keys */
    lanes *rho;    /* (n, TILE) of one tile */
    lanes *sum;    /* (n) of a few tiles */
    double *total; /* (n, 8) */
    /* The same in double, for near ties. */
    double *exact_a, *exact_b, *exact_rho;
} scratch;

/*
 * Factors of all chunks of a window and query head are made once and kept for the
 * rounds of a search, where those of all of them take at most this.
 */
enum { KEPT_MIB = 256 };

struct mls_ropelite_l1 {
    const double *turns;
    size_t C, n_workers;
    scratch *worker;
    const mls_chunk_window *window; /* the first */
    size_t H, n_kept;               /* windows times H; 0: nothing is kept */
    float **kept;                   /* (n_kept) a and b of each, NULL: not made yet */
};

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

/* Memory for vectors; NULL when short. */
static void *vectors_new(size_t a, size_t b, size_t size)
{
    size_t n;

    if (!mls_mul_size(&n, a, b) || !mls_mul_size(&n, n, size) || n > SIZE_MAX - 64)
        return NULL;
    return aligned_alloc(64, round_up(n, 64));
}

mls_status mls_ropelite_l1_new(mls_ropelite_l1 **out, const mls_chunk_windows *ws,
                               size_t n_workers, mls_err *err)
{
    const size_t C = ws->window[0].D / 2, T = ws->window[0].T;
    const size_t rows = round_up(T, ROWS), columns = round_up(T, COLUMNS);
    mls_ropelite_l1 *l = calloc(1, sizeof *l);

    *out = NULL;
    if (l)
        *l = (mls_ropelite_l1){
            .turns = ws->turns,
            .C = C,
            .n_workers = n_workers,
            .worker = calloc(n_workers, sizeof *l->worker),
            .window = ws->window,
            .H = ws->window[0].H,
            .n_kept = ws->n * ws->window[0].H,
        };
    if (l && l->n_kept >
                 ((size_t)KEPT_MIB << 20) / (rows + columns) / (4 * C) / sizeof(float))
        l->n_kept = 0;
    if (l)
        l->kept = calloc(l->n_kept + 1, sizeof *l->kept);
    for (size_t i = 0; l && l->worker && i < n_workers; i++) {
        scratch *s = l->worker + i;

        s->a_factors = vectors_new(4, C, sizeof *s->a_factors);
        s->b_factors = vectors_new(4, C, sizeof *s->b_factors);
        s->a = vectors_new(rows, 4 * C, sizeof *s->a);
        s->b = vectors_new(columns, 4 * C, sizeof *s->b);
        s->rho = vectors_new(C, TILE, sizeof *s->rho);
        s->sum = vectors_new(C + 1, 1, sizeof *s->sum);
        s->total = vectors_new(C + 1, 8, sizeof *s->total);
        s->exact_a = vectors_new(rows, 4 * C, sizeof *s->exact_a);
        s->exact_b = vectors_new(columns, 4 * C, sizeof *s->exact_b);
        s->exact_rho = vectors_new(C, ROWS * COLUMNS, sizeof *s->exact_rho);
        if (!s->a_factors || !s->b_factors || !s->a || !s->b || !s->rho || !s->sum ||
            !s->total || !s->exact_a || !s->exact_b || !s->exact_rho) {
            mls_ropelite_l1_free(l);
            l = NULL;
        }
    }
    if (!l || !l->worker || !l->kept) {
        mls_ropelite_l1_free(l);
        return mls_fail(err, MLS_E_NOMEM, "no memory for windows of %zu tokens", T);
    }
    *out = l;
    return MLS_OK;
}

void mls_ropelite_l1_free(mls_ropelite_l1 *l)
{
    if (!l)
        return;
    for (size_t i = 0; l->kept && i < l->n_kept; i++)
        free(l->kept[i]);
    free(l->kept);
    for (size_t i = 0; l->worker && i < l->n_workers; i++) {
        const scratch *s = l->worker + i;

        mls_free_all(s->a_factors, s->b_factors, s->a, s->b, s->rho, s->sum, s->total,
                     s->exact_a, s->exact_b, s->exact_rho);
    }
    mls_free_all(l->worker, l);
}

/* Where factor m of chunk k of a token is, among n chunks. */
static size_t query_place(size_t t, size_t k, size_t m, size_t n)
{
    return ((t / ROWS * n + k) * ROWS + t % ROWS) * 4 + m;
}

static size_t key_place(size_t t, size_t k, size_t m, size_t n)
{
    return ((t / COLUMNS * n + k) * 4 + m) * COLUMNS + t % COLUMNS;
}

/*
 * Factors of all chunks (left: NULL) in float, or of the n chunks of `left` in double
 * for near ties, for all tokens in the order the tiles read them.
 */
static void pack(const mls_ropelite_l1 *l, scratch *s, const mls_chunk_window *w,
                 size_t h, const uint16_t *left, size_t n, float *to_a, float *to_b)
{
    const size_t C = l->C, n_a = round_up(w->T, ROWS) * 4 * n;
    const size_t n_b = round_up(w->T, COLUMNS) * 4 * n;
    const bool in_double = left != NULL;

    memset(in_double ? (void *)s->exact_a : to_a, 0,
           n_a * (in_double ? sizeof *s->exact_a : sizeof *to_a));
    memset(in_double ? (void *)s->exact_b : to_b, 0,
           n_b * (in_double ? sizeof *s->exact_b : sizeof *to_b));
    for (size_t t = 0; t < w->T; t++) {
        mls_chunk_query_factors(s->a_factors, w, l->turns, h, t);
        mls_chunk_key_factors(s->b_factors, w, l->turns, h / (w->H / w->G), t);
        for (size_t k = 0; k < n; k++)
            for (size_t m = 0; m < 4; m++) {
                const size_t a = query_place(t, k, m, n), b = key_place(t, k, m, n);
                const size_t from = m * C + (left ? left[k] : k);

                if (in_double) {
                    s->exact_a[a] = s->a_factors[from];
                    s->exact_b[b] = s->b_factors[from];
                } else {
                    to_a[a] = (float)s->a_factors[from];
                    to_b[b] = (float)s->b_factors[from];
                }
            }
    }
}

/*
 * sum[k] += |residual - rho_k| over a tile, sum[n] += |residual|, for the n chunks of
 * `left` of a (C, ROWS, 4) and b (C, 4, COLUMNS);
 * mask (TILE) keeps the visible pairs, NULL keeps all.
 */
MLS_WIDE
static void add_tile(lanes *restrict sum, lanes *restrict rho, const float *restrict a,
                     const float *restrict b, const uint16_t *restrict left, size_t n,
                     const lane_bits *restrict mask)
{
    lanes residual[TILE] = {{0}};
    const lane_bits magnitude = (lane_bits){0} + INT32_MAX;

    for (size_t k = 0; k < n; k++) {
        const lanes *b_k = (const lanes *)b + left[k] * 4 * VECTORS;
        const float *a_k = a + left[k] * ROWS * 4;
        lanes *rho_k = rho + k * TILE;

#pragma GCC unroll 2
        for (size_t v = 0; v < VECTORS; v++)
#pragma GCC unroll 4
            for (size_t row = 0; row < ROWS; row++) {
                const float *f = a_k + row * 4;
                const size_t t = row * VECTORS + v;
                lanes d = f[0] * b_k[v] + f[1] * b_k[VECTORS + v] +
                          f[2] * b_k[2 * VECTORS + v] + f[3] * b_k[3 * VECTORS + v];

                if (mask)
                    d = (lanes)((lane_bits)d & mask[t]);
                rho_k[t] = d;
                residual[t] += d;
            }
    }
    for (size_t k = 0; k < n; k++) {
        const lanes *rho_k = rho + k * TILE;
        lanes s = sum[k];

#pragma GCC unroll 8
        for (size_t t = 0; t < TILE; t++)
            s += (lanes)((lane_bits)(residual[t] - rho_k[t]) & magnitude);
        sum[k] = s;
    }
    for (size_t t = 0; t < TILE; t++)
        sum[n] += (lanes)((lane_bits)residual[t] & magnitude);
}

/* Float sums of a few tiles go into double. */
MLS_WIDE
static void flush(double *restrict total, lanes *restrict sum, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        const float *s = (const float *)(sum + k);

        for (size_t l = 0; l < 8; l++)
            total[k * 8 + l] += (double)s[l] + (double)s[l + 8];
        sum[k] = (lanes){0};
    }
}

/* The pairs of a tile that are visible: all bits set, else none. */
static void tile_mask(lane_bits *mask, const mls_chunk_window *w, size_t i, size_t j)
{
    for (size_t row = 0; row < ROWS; row++) {
        const size_t first = mls_chunk_first_key(w, i + row);

        for (size_t x = 0; x < COLUMNS; x++)
            mask[row * VECTORS + x / LANES][x % LANES] =
                j + x >= first && j + x <= i + row ? -1 : 0;
    }
}

static bool all_visible(const mls_chunk_window *w, size_t i, size_t j)
{
    return j + COLUMNS <= i + 1 && mls_chunk_first_key(w, i + ROWS - 1) <= j;
}

/* Factors of all chunks: those that are kept, or made anew in the worker's. */
static void factors_of(const float **a, const float **b, const mls_ropelite_l1 *l,
                       scratch *s, const mls_chunk_window *w, size_t h)
{
    const size_t at = (size_t)(w - l->window) * l->H + h;
    const size_t n_a = round_up(w->T, ROWS) * 4 * l->C;
    const size_t n_b = round_up(w->T, COLUMNS) * 4 * l->C;
    const bool keeps = at < l->n_kept, made = keeps && l->kept[at];

    if (keeps && !made)
        l->kept[at] = vectors_new(n_a + n_b, 1, sizeof(float));
    float *to = keeps ? l->kept[at] : NULL;
    float *to_a = to ? to : s->a, *to_b = to ? to + n_a : s->b;

    if (!made)
        pack(l, s, w, h, NULL, l->C, to_a, to_b);
    *a = to_a;
    *b = to_b;
}

static mls_status losses(void *arg, const mls_chunk_window *w, size_t h,
                         const uint16_t *order, size_t r, double *loss, size_t worker,
                         mls_err *err)
{
    const mls_ropelite_l1 *l = arg;
    scratch *s = l->worker + worker;
    const size_t C = l->C, n = C - r;
    lane_bits mask[TILE];
    const float *a = s->a, *b = s->b;

    (void)err;
    factors_of(&a, &b, l, s, w, h);
    memset(s->sum, 0, (n + 1) * sizeof *s->sum);
    memset(s->total, 0, (n + 1) * 8 * sizeof *s->total);
    for (size_t panel = 0; panel < w->T; panel += PANEL)
        for (size_t i = panel; i < w->T; i += ROWS) {
            const size_t end = panel + PANEL < i + ROWS ? panel + PANEL : i + ROWS;
            const size_t first = mls_chunk_first_key(w, i) / COLUMNS * COLUMNS;

            for (size_t j = first > panel ? first : panel; j < end; j += COLUMNS) {
                const bool whole = all_visible(w, i, j);

                if (!whole)
                    tile_mask(mask, w, i, j);
                add_tile(s->sum, s->rho, a + i * 4 * C, b + j * 4 * C, order + r, n,
                         whole ? NULL : mask);
            }
            flush(s->total, s->sum, n + 1);
        }
    for (size_t k = 0; k <= n; k++) {
        loss[k] = 0.0;
        for (size_t lane = 0; lane < 8; lane++)
            loss[k] += s->total[k * 8 + lane];
    }
    return MLS_OK;
}

/*
 * As add_tile in double, for the n_wanted chunks of `wanted` only. total (n_wanted, 8).
 */
MLS_WIDE
static void add_exact_tile(double *restrict total, double *restrict rho,
                           const double *restrict a, const double *restrict b, size_t n,
                           const lane_bits *restrict mask,
                           const uint16_t *restrict wanted, size_t n_wanted)
{
    double residual[ROWS * COLUMNS] = {0}, keep[ROWS * COLUMNS];

    for (size_t x = 0; x < ROWS * COLUMNS; x++)
        keep[x] = ((const int32_t *)mask)[x] ? 1.0 : 0.0;
    for (size_t k = 0; k < n; k++)
        for (size_t row = 0; row < ROWS; row++) {
            const double *f = a + (k * ROWS + row) * 4, *b_k = b + k * 4 * COLUMNS;
            double *rho_row = rho + (k * ROWS + row) * COLUMNS;
            double *residual_row = residual + row * COLUMNS;

            for (size_t x = 0; x < COLUMNS; x++) {
                rho_row[x] =
                    (f[0] * b_k[x] + f[1] * b_k[COLUMNS + x] +
                     f[2] * b_k[2 * COLUMNS + x] + f[3] * b_k[3 * COLUMNS + x]) *
                    keep[row * COLUMNS + x];
                residual_row[x] += rho_row[x];
            }
        }
    for (size_t i = 0; i < n_wanted; i++) {
        const double *rho_k = rho + (size_t)wanted[i] * ROWS * COLUMNS;

        for (size_t x = 0; x < ROWS * COLUMNS; x += 8)
            for (size_t lane = 0; lane < 8; lane++)
                total[i * 8 + lane] += fabs(residual[x + lane] - rho_k[x + lane]);
    }
}

static mls_status exact(void *arg, const mls_chunk_window *w, size_t h,
                        const uint16_t *order, size_t r, const uint16_t *wanted,
                        size_t n_wanted, double *loss, size_t worker, mls_err *err)
{
    const mls_ropelite_l1 *l = arg;
    scratch *s = l->worker + worker;
    const size_t n = l->C - r;
    lane_bits mask[TILE];

    (void)err;
    pack(l, s, w, h, order + r, n, NULL, NULL);
    memset(s->total, 0, n_wanted * 8 * sizeof *s->total);
    for (size_t i = 0; i < w->T; i += ROWS)
        for (size_t j = mls_chunk_first_key(w, i) / COLUMNS * COLUMNS; j < i + ROWS;
             j += COLUMNS) {
            tile_mask(mask, w, i, j);
            add_exact_tile(s->total, s->exact_rho, s->exact_a + i * 4 * n,
                           s->exact_b + j * 4 * n, n, mask, wanted, n_wanted);
        }
    for (size_t k = 0; k < n_wanted; k++) {
        loss[k] = 0.0;
        for (size_t lane = 0; lane < 8; lane++)
            loss[k] += s->total[k * 8 + lane];
    }
    return MLS_OK;
}

mls_greedy_objective mls_ropelite_l1_objective(mls_ropelite_l1 *l)
{
    return (mls_greedy_objective){
        .arg = l, .losses = losses, .exact = exact, .tolerance = 2e-6};
}
