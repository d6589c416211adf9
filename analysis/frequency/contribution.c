/*
 * The mean over pairs is linear in the keys: a running sum of those that a query sees
 * replaces T^2 products. `ablation` has a magnitude inside the sum and needs all pairs.
 * `contribution-sampled` draws its pairs as EliteKV's analysis.py at e9a8616 does, keys
 * at or behind the query, so that what their code finds can be held against it.
 */
#include "analysis/frequency/contribution.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/numeric/vector.h"
#include "common/base/checked.h"
#include "common/numbers/rng.h"

/* Rotated queries of head h and its keys, (T, D) each, chunk c at (2 c, 2 c + 1). */
typedef struct {
    double *q, *k;
} rotated;

static void rotated_free(rotated *r)
{
    mls_free_all(r->q, r->k);
}

static mls_status rotated_new(rotated *r, const mls_chunk_window *w,
                              const double *turns, size_t h, mls_err *err)
{
    r->q = mls_calloc3(w->T, w->D, 1, sizeof *r->q);
    r->k = mls_calloc3(w->T, w->D, 1, sizeof *r->k);
    if (!r->q || !r->k)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a window of %zu tokens", w->T);
    for (size_t t = 0; t < w->T; t++) {
        mls_chunk_rotated_query(r->q + t * w->D, w, turns, h, t);
        mls_chunk_rotated_key(r->k + t * w->D, w, turns, h / (w->H / w->G), t);
    }
    return MLS_OK;
}

mls_status mls_contribution(double *score, const mls_chunk_window *w,
                            const double *turns, size_t h, mls_err *err)
{
    const size_t C = w->D / 2;
    double *keys = mls_calloc3(w->D, 1, 1, sizeof *keys); /* sum of the visible keys */
    rotated r = {0};
    mls_status st = rotated_new(&r, w, turns, h, err);

    if (!st && !keys)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for %zu sums", w->D);
    if (st)
        goto done;
    memset(score, 0, C * sizeof *score);
    for (size_t i = 0; i < w->T; i++) {
        const double *q = r.q + i * w->D, *k = r.k + i * w->D;
        const size_t first = mls_chunk_first_key(w, i);

        for (size_t d = 0; d < w->D; d++) {
            keys[d] += k[d];
            if (first > 0)
                keys[d] -= r.k[(first - 1) * w->D + d];
        }
        for (size_t c = 0; c < C; c++)
            score[c] += q[2 * c] * keys[2 * c] + q[2 * c + 1] * keys[2 * c + 1];
    }
    for (size_t c = 0; c < C; c++)
        score[c] /= mls_chunk_pairs(w) * sqrt((double)w->D);

done:
    rotated_free(&r);
    free(keys);
    return st;
}

mls_status mls_contribution_sampled(double *score, const mls_chunk_window *w,
                                    const double *turns, size_t h, size_t n,
                                    uint64_t seed, mls_err *err)
{
    const size_t C = w->D / 2;
    rotated r = {0};
    mls_rng rng;
    mls_status st = rotated_new(&r, w, turns, h, err);

    if (st)
        goto done;
    mls_rng_seed(&rng, seed, 0); /* the same pairs for every head, as theirs */
    memset(score, 0, C * sizeof *score);
    for (size_t s = 0; s < n; s++) {
        const size_t x = mls_rng_below(&rng, w->T);
        const size_t y = x + mls_rng_below(&rng, w->T - x);
        const double *q = r.q + x * w->D, *k = r.k + y * w->D;

        for (size_t c = 0; c < C; c++)
            score[c] += q[2 * c] * k[2 * c] + q[2 * c + 1] * k[2 * c + 1];
    }
    for (size_t c = 0; c < C; c++)
        score[c] /= (double)n * sqrt((double)w->D);

done:
    rotated_free(&r);
    return st;
}

enum { LANES = 16 };

/* Sum of |q0 k0[j] + q1 k1[j]|. */
MLS_WIDE
static double sum_of_magnitudes(double q0, double q1, const double *k0,
                                const double *k1, size_t n)
{
    double lane[LANES] = {0}, sum = 0.0;
    size_t j = 0;

    for (; j + LANES <= n; j += LANES)
        for (size_t l = 0; l < LANES; l++)
            lane[l] += fabs(q0 * k0[j + l] + q1 * k1[j + l]);
    for (size_t l = 0; j + l < n; l++)
        lane[l] += fabs(q0 * k0[j + l] + q1 * k1[j + l]);
    for (size_t l = 0; l < LANES; l++)
        sum += lane[l];
    return sum;
}

mls_status mls_ablation(double *score, const mls_chunk_window *w, const double *turns,
                        size_t h, mls_err *err)
{
    const size_t C = w->D / 2, T = w->T;
    double *k = mls_calloc3(2, T, 1, sizeof *k); /* (2, T): the keys of one chunk */
    rotated r = {0};
    mls_status st = rotated_new(&r, w, turns, h, err);

    if (!st && !k)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a window of %zu tokens", T);
    if (st)
        goto done;
    for (size_t c = 0; c < C; c++) {
        score[c] = 0.0;
        for (size_t t = 0; t < T; t++) {
            k[t] = r.k[t * w->D + 2 * c];
            k[T + t] = r.k[t * w->D + 2 * c + 1];
        }
        for (size_t i = 0; i < T; i++) {
            const size_t first = mls_chunk_first_key(w, i);
            const double *q = r.q + i * w->D + 2 * c;

            score[c] +=
                sum_of_magnitudes(q[0], q[1], k + first, k + T + first, i + 1 - first);
        }
        score[c] /= mls_chunk_pairs(w) * sqrt((double)w->D);
    }

done:
    rotated_free(&r);
    free(k);
    return st;
}
