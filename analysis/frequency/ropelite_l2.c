/*
 * Blocks of 64 queries: pairs inside a block are summed one by one, those with earlier
 * keys through P and the block's own sum of a a^T, so that their cost does not grow
 * with the square of T. With a sliding window keys would have to leave P again, so all
 * pairs are summed one by one there.
 */
#include "analysis/frequency/ropelite_l2.h"

#include <cblas.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "analysis/numeric/vector.h"
#include "common/base/checked.h"

enum {
    BLOCK = 64,        /* tokens whose pairs among themselves are summed one by one */
    PAIRS = 4 * BLOCK, /* pairs summed by one call of BLAS */
};

typedef struct {
    size_t C;
    double *a, *b;  /* (T, 4 C) factors of all tokens */
    double *keys;   /* (4 C, 4 C) P: sum of b b^T over tokens before the block, upper */
    double *block;  /* (4 C, 4 C) sum of a a^T over the block, upper */
    double *rho;    /* (PAIRS, C) */
    size_t n_pairs; /* rows of rho in use */
    double *same;   /* (C, C) contributions that are symmetric, upper */
    double *mixed;  /* (C, C) contributions whose transpose counts too */
} gram_sums;

static void gram_sums_free(gram_sums *s)
{
    mls_free_all(s->a, s->b, s->keys, s->block, s->rho, s->same, s->mixed);
}

static mls_status gram_sums_new(gram_sums *s, const mls_chunk_window *w,
                                const double *turns, size_t h, mls_err *err)
{
    const size_t C = w->D / 2, n = 4 * C;

    *s = (gram_sums){.C = C};
    s->a = mls_calloc3(w->T, n, 1, sizeof *s->a);
    s->b = mls_calloc3(w->T, n, 1, sizeof *s->b);
    s->keys = mls_calloc3(n, n, 1, sizeof *s->keys);
    s->block = mls_calloc3(n, n, 1, sizeof *s->block);
    s->rho = mls_calloc3(PAIRS, C, 1, sizeof *s->rho);
    s->same = mls_calloc3(C, C, 1, sizeof *s->same);
    s->mixed = mls_calloc3(C, C, 1, sizeof *s->mixed);
    if (!s->a || !s->b || !s->keys || !s->block || !s->rho || !s->same || !s->mixed)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a window of %zu tokens", w->T);
    for (size_t t = 0; t < w->T; t++) {
        mls_chunk_query_factors(s->a + t * n, w, turns, h, t);
        mls_chunk_key_factors(s->b + t * n, w, turns, h / (w->H / w->G), t);
    }
    return MLS_OK;
}

/* y += x^T x, upper triangle; x (rows, n). */
static void add_products(double *y, const double *x, size_t rows, size_t n,
                         double keep_y)
{
    cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, (int)n, (int)rows, 1.0, x,
                (int)n, keep_y, y, (int)n);
}

MLS_WIDE
static void multiply_add(double *restrict y, const double *restrict u,
                         const double *restrict v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += u[i] * v[i];
}

/*
 * Queries of the block against every key before it: block and keys, element by element.
 */
static void add_earlier_keys(gram_sums *s)
{
    const size_t C = s->C, ld = 4 * C;

    for (size_t m = 0; m < 4; m++)
        for (size_t c = 0; c < C; c++) {
            const double *u = s->block + (m * C + c) * ld;
            const double *v = s->keys + (m * C + c) * ld;

            multiply_add(s->same + c * C + c, u + m * C + c, v + m * C + c, C - c);
            for (size_t n = m + 1; n < 4; n++)
                multiply_add(s->mixed + c * C, u + n * C, v + n * C, C);
        }
}

static void flush_pairs(gram_sums *s)
{
    if (s->n_pairs > 0)
        add_products(s->same, s->rho, s->n_pairs, s->C, 1.0);
    s->n_pairs = 0;
}

static void add_pair(gram_sums *s, size_t i, size_t j)
{
    const size_t C = s->C;

    if (s->n_pairs == PAIRS)
        flush_pairs(s);
    mls_chunk_differences(s->rho + s->n_pairs++ * C, s->a + i * 4 * C, s->b + j * 4 * C,
                          C);
}

mls_status mls_ropelite_gram(double *gram, const mls_chunk_window *w,
                             const double *turns, size_t h, mls_err *err)
{
    const size_t C = w->D / 2;
    const bool all_visible = !w->visible || w->visible >= w->T;
    gram_sums s;
    mls_status st = gram_sums_new(&s, w, turns, h, err);

    if (st)
        goto done;
    for (size_t first = 0; first < w->T; first += BLOCK) {
        const size_t end = first + BLOCK < w->T ? first + BLOCK : w->T;

        if (all_visible && first > 0) {
            add_products(s.block, s.a + first * 4 * C, end - first, 4 * C, 0.0);
            add_products(s.keys, s.b + (first - BLOCK) * 4 * C, BLOCK, 4 * C, 1.0);
            add_earlier_keys(&s);
        }
        for (size_t i = first; i < end; i++)
            for (size_t j = all_visible ? first : mls_chunk_first_key(w, i); j <= i;
                 j++)
                add_pair(&s, i, j);
    }
    flush_pairs(&s);
    for (size_t c = 0; c < C; c++)
        for (size_t d = c; d < C; d++)
            gram[c * C + d] = gram[d * C + c] =
                s.same[c * C + d] + s.mixed[c * C + d] + s.mixed[d * C + c];

done:
    gram_sums_free(&s);
    return st;
}

/* Sum of row c over the chunks of order[from..C-1]. */
static double row_sum(const double *gram, size_t C, size_t c, const uint16_t *order,
                      size_t from)
{
    double sum = 0.0;

    for (size_t k = from; k < C; k++)
        sum += gram[c * C + order[k]];
    return sum;
}

/* Sums are made anew in every round: differences of the first would drown the last. */
void mls_ropelite_l2_order(uint16_t *order, double *loss, const double *gram, size_t C)
{
    for (size_t c = 0; c < C; c++)
        order[c] = (uint16_t)c;
    for (size_t r = 0; r < C; r++) {
        double best = INFINITY;
        size_t at = r;

        /* Keeping c takes its row and its column away. */
        for (size_t k = r; k < C; k++) {
            const size_t c = order[k];
            const double change = gram[c * C + c] - 2.0 * row_sum(gram, C, c, order, r);

            if (change < best) {
                best = change;
                at = k;
            }
        }
        const uint16_t chosen = order[at];

        memmove(order + r + 1, order + r, (at - r) * sizeof *order);
        order[r] = chosen; /* the others stay ascending */
    }
    if (loss)
        mls_ropelite_l2_loss(loss, gram, order, C);
}

void mls_ropelite_l2_loss(double *loss, const double *gram, const uint16_t *order,
                          size_t C)
{
    loss[C] = 0.0;
    for (size_t r = C; r-- > 0;) {
        const size_t c = order[r];

        loss[r] =
            loss[r + 1] + gram[c * C + c] + 2.0 * row_sum(gram, C, c, order, r + 1);
    }
}
