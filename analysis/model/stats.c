/*
 * All arrays of a layer lie in one block in the order of parts_of(): sums of sequences
 * are added, sent and joined as one vector (capture/moments.c), and x_second, the only
 * large one, comes first so that the others can be had without it. From it follows the
 * moment of any y = W x + b without another look at the data, with m = E[x]:
 *
 *   E[y y^T] = W E[x x^T] W^T + (W m) b^T + b (W m)^T + b b^T
 */
#include "analysis/model/stats.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/numeric/linalg.h"
#include "common/base/checked.h"

enum { PARTS = 16 };

typedef struct {
    double **to; /* the member that points into the block */
    size_t n;
} part;

/* The arrays of s in the order of the block, by the sizes in s. */
static void parts_of(part parts[PARTS], mls_layer_stats *s, bool with_x)
{
    const size_t E = s->E, H = s->H, G = s->G, D = s->D, C = s->C;
    const part all[PARTS] = {
        {&s->x_second, with_x ? E * E : 0},
        {&s->x_mean, E},
        {&s->x_abs, E},
        {&s->q_second, H * D * D},
        {&s->q_mean, H * D},
        {&s->k_second, G * D * D},
        {&s->k_mean, G * D},
        {&s->v_second, G * D * D},
        {&s->v_mean, G * D},
        {&s->kv_cross, G * D * D},
        {&s->q_rot_second, H * D * D},
        {&s->q_rot_mean, H * D},
        {&s->k_rot_second, G * D * D},
        {&s->k_rot_mean, G * D},
        {&s->q_norm, H * C},
        {&s->k_norm, G * C},
    };

    memcpy(parts, all, sizeof all);
}

/* The limits of shape.h keep every product and the sum far below SIZE_MAX. */
static size_t total(const part parts[PARTS])
{
    size_t n = 0;

    for (size_t i = 0; i < PARTS; i++)
        n += parts[i].n;
    return n;
}

static mls_layer_stats of_shape(const mls_config *c)
{
    return (mls_layer_stats){.E = c->E, .H = c->H, .G = c->G, .D = c->D, .C = c->D / 2};
}

size_t mls_layer_stats_size(const mls_config *config)
{
    mls_layer_stats s = of_shape(config);
    part parts[PARTS];

    parts_of(parts, &s, true);
    return total(parts);
}

static mls_status new_stats(mls_layer_stats *s, const mls_config *config, bool with_x,
                            mls_err *err)
{
    part parts[PARTS];

    *s = of_shape(config);
    parts_of(parts, s, with_x);
    s->n_block = total(parts);
    s->block = mls_calloc3(s->n_block, 1, 1, sizeof *s->block);
    if (!s->block) {
        const size_t n = s->n_block;

        *s = (mls_layer_stats){0};
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu numbers of statistics", n);
    }
    double *next = s->block;
    for (size_t i = 0; i < PARTS; i++) {
        *parts[i].to = parts[i].n ? next : NULL;
        next += parts[i].n;
    }
    return MLS_OK;
}

mls_status mls_layer_stats_new(mls_layer_stats *s, const mls_config *config,
                               mls_err *err)
{
    return new_stats(s, config, true, err);
}

mls_status mls_layer_stats_new_small(mls_layer_stats *s, const mls_config *config,
                                     mls_err *err)
{
    return new_stats(s, config, false, err);
}

void mls_layer_stats_free(mls_layer_stats *s)
{
    free(s->block);
    *s = (mls_layer_stats){0};
}

/* Row i's first equal among the rows of w and b; at: places of those that are first. */
static size_t find_equal(size_t *first, size_t *at, const float *w, const float *b,
                         size_t n, size_t E)
{
    size_t n_first = 0;

    for (size_t i = 0; i < n; i++) {
        size_t k = 0;

        while (k < n_first && ((b && b[i] != b[at[k]]) ||
                               memcmp(w + i * E, w + at[k] * E, E * sizeof *w) != 0))
            k++;
        if (k == n_first)
            at[n_first++] = i;
        first[i] = k;
    }
    return n_first;
}

/*
 * Rows that are there twice are computed once: a form often has the model's own queries
 * below those of the model.
 */
mls_status mls_second_of_outputs(double *second, const mls_layer_stats *s,
                                 const float *w, const float *b, size_t n, mls_err *err)
{
    const size_t E = s->E;
    size_t *first = NULL, *at, m; /* (n), (n); rows that differ */
    double *wd = NULL;            /* (m, E): w in double */
    double *ws = NULL;            /* (m, E): W S */
    double *wm = NULL;            /* (m): W mean */
    double *some = NULL;          /* (m, m) */
    mls_status st = MLS_OK;

    if (!s->x_second)
        return mls_fail(err, MLS_E_ARG, "these statistics lack the second moment of x");
    wd = mls_calloc3(n, E, 1, sizeof *wd);
    ws = mls_calloc3(n, E, 1, sizeof *ws);
    wm = mls_calloc3(n, 1, 1, sizeof *wm);
    some = mls_calloc3(n, n, 1, sizeof *some);
    first = mls_calloc3(n, 2, 1, sizeof *first);
    if (!wd || !ws || !wm || !some || !first) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a moment of %zu x %zu", n, n);
        goto done;
    }
    at = first + n;
    m = find_equal(first, at, w, b, n, E);
    for (size_t i = 0; i < m; i++)
        for (size_t e = 0; e < E; e++)
            wd[i * E + e] = (double)w[at[i] * E + e];
    mls_matmul(ws, wd, false, s->x_second, false, m, E, E);
    mls_matmul(some, ws, false, wd, true, m, m, E);
    for (size_t i = 0; i < m && b; i++)
        for (size_t e = 0; e < E; e++)
            wm[i] += wd[i * E + e] * s->x_mean[e];
    for (size_t i = 0; i < m && b; i++)
        for (size_t j = 0; j < m; j++)
            some[i * m + j] += wm[i] * (double)b[at[j]] + (double)b[at[i]] * wm[j] +
                               (double)b[at[i]] * (double)b[at[j]];
    /* Rounding leaves the halves of W S W^T apart in the last digit. */
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            second[i * n + j] =
                0.5 * (some[first[i] * m + first[j]] + some[first[j] * m + first[i]]);

done:
    mls_free_all(wm, ws, wd, some, first);
    return st;
}
