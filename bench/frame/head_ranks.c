/*
 * Ranks of single heads. The loss that is left at rank r is a sum of eigenvalues that
 * fall, so it is convex in r, and giving each next number to the head where the loss
 * falls most is not a heuristic but the optimum of the sum.
 */
#include "bench/frame/head_ranks.h"

#include <math.h>
#include <stdio.h>

#include "bench/frame/fit.h"

size_t mls_head_limit(const mls_config *config, const void *params)
{
    (void)params;
    return mls_least(config->D, config->E);
}

size_t mls_head_half(const mls_config *config, const void *params)
{
    return (mls_head_limit(config, params) + 1) / 2;
}

mls_status mls_head_shape(mls_latent_form *f, const mls_config *config, size_t l,
                          const mls_head_rank *rank, bool rotated, size_t n_tail,
                          mls_err *err)
{
    const size_t G = config->G;
    const mls_status st = mls_lowrank_shape(f, config, l, MLS_SIDES * G, err);

    for (size_t i = 0; !st && i < MLS_SIDES * G; i++) {
        const mls_rows rows = {i < G ? MLS_KEYS : MLS_VALUES, i % G, 1};
        const size_t r = rank->of[rows.side][rows.first];

        if (rotated && i < G)
            mls_lowrank_place_rotated(f, config, i, rows.first, r);
        else
            mls_lowrank_place(f, config, i, &rows, r, true);
        f->latent[i].n_tail = n_tail;
    }
    return st;
}

void mls_tail_of(double *tail, const double *values, size_t n)
{
    for (size_t r = n; r-- > 0;)
        tail[r] = tail[r + 1] + fmax(values[r], 0);
}

void mls_split_ranks(size_t *rank, const double *tail, size_t n, size_t most,
                     size_t total, size_t step)
{
    const size_t least = mls_least(step, most);
    size_t left = total;

    for (size_t i = 0; i < n; i++) {
        rank[i] = least;
        left -= least;
    }
    while (left > 0) {
        double best_gain = -1;
        size_t best = n, best_by = 0;

        for (size_t i = 0; i < n; i++) {
            const double *t = tail + i * (most + 1);
            const size_t by = mls_least(mls_least(step, left), most - rank[i]);
            const double gain = by ? (t[rank[i]] - t[rank[i] + by]) / (double)by : -1.0;

            if (gain > best_gain) {
                best_gain = gain;
                best = i;
                best_by = by;
            }
        }
        if (best == n)
            return;
        rank[best] += best_by;
        left -= best_by;
    }
}

mls_status mls_set_head_ranks(mls_setting *s, const char *key, const size_t *rank,
                              size_t n, mls_err *err)
{
    char text[MLS_SETTING_WORD] = "";
    size_t at = 0;
    bool alike = true;

    for (size_t g = 1; g < n; g++)
        alike = alike && rank[g] == rank[0];
    for (size_t g = 0; g < (alike ? 1 : n); g++) {
        const int len =
            snprintf(text + at, sizeof text - at, "%s%zu", g ? ":" : "", rank[g]);

        if (len < 0 || (size_t)len >= sizeof text - at)
            return mls_fail(err, MLS_E_ARG, "%s: ranks of %zu heads do not fit %s",
                            s->method, n, key);
        at += (size_t)len;
    }
    return mls_setting_set(s, key, text, err);
}

void mls_head_fit(const mls_config *c, size_t elements, mls_fits *out)
{
    const size_t rank = elements / (2 * c->G);

    if (rank > 0)
        mls_fits_add(out, "rank=%zu", rank);
}
