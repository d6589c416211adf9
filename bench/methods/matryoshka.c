/*
 * MatryoshkaKV (arXiv 2410.14731), its PCA start: per KV head the leading eigenvectors
 * of the centred covariance of rotated keys and of values; means are kept:
 *
 *   k_hat = mu + U U^T (k - mu)
 *
 * The paper then trains U by distillation, so this is a proxy. Its greedy choice of
 * ranks asks the whole model at each step and is not in its code;
 * alloc=greedy-unverified lowers by `step`, again and again, the head that loses the
 * smallest share of its own energy.
 */
#include <math.h>
#include <stdlib.h>

#include "analysis/numeric/linalg.h"
#include "bench/frame/common_keys.h"
#include "bench/frame/fit.h"
#include "bench/frame/head_ranks.h"
#include "bench/frame/lowrank.h"
#include "bench/frame/method.h"
#include "common/base/checked.h"

enum { ALLOC_UNIFORM, ALLOC_GREEDY };
static const char *const alloc_words[] = {"uniform", "greedy-unverified", NULL};

typedef struct params {
    mls_head_rank rank; /* with alloc=greedy what they are on average */
    size_t alloc, step;
} params;

typedef struct prepared {
    size_t *rank; /* (L, MLS_SIDES, G) */
} prepared;

MLS_KEY_REFUSED(no_step, params, p->alloc == ALLOC_UNIFORM,
                "step belongs to alloc=greedy-unverified")
MLS_KEY_FROM(eighth, void, (c->D + 7) / 8)

static const mls_key keys[] = {
    {"alloc", MLS_KEY_WORD, offsetof(params, alloc), .words = alloc_words,
     .help = "ranks per head around the mean rank", .open = "greedy-unverified",
     .by_head = true},
    {"step", MLS_KEY_SIZE, offsetof(params, step), .hint = "N",
     .help = "ranks go down by it", .least = 1, .most = MLS_DIM_MAX,
     .otherwise = eighth, .said = "D/8", .refuse = no_step},
    MLS_HEAD_KEYS(NULL),
    MLS_KEYS_END};

static mls_status sized(const mls_config *c, const mls_parsed *parsed, mls_err *err)
{
    const params *p = parsed->params;

    (void)c;
    return p->alloc == ALLOC_GREEDY
               ? mls_needs_weights(parsed, "the rank of a head", err)
               : MLS_OK;
}

static mls_status shape(mls_latent_form *f, const mls_config *c,
                        const mls_parsed *parsed, const void *all, size_t l,
                        mls_err *err)
{
    const params *p = parsed->params;
    const prepared *ranks = all;
    mls_head_rank rank = p->rank;

    for (size_t i = 0; ranks && i < MLS_SIDES * c->G; i++)
        rank.of[i / c->G][i % c->G] = ranks->rank[l * MLS_SIDES * c->G + i];
    return mls_head_shape(f, c, l, &rank, true, c->D + 1, err);
}

/* Covariance of one head's rotated keys or values. */
static void covariance(double *out, const mls_layer_stats *s, mls_side side, size_t g)
{
    const size_t D = s->D;
    const double *second =
        (side == MLS_KEYS ? s->k_rot_second : s->v_second) + g * D * D;
    const double *mean = (side == MLS_KEYS ? s->k_rot_mean : s->v_mean) + g * D;

    for (size_t i = 0; i < D; i++)
        for (size_t j = 0; j < D; j++)
            out[i * D + j] = second[i * D + j] - mean[i] * mean[j];
}

/* tail[i] (L MLS_SIDES G, D + 1): share of energy lost when r directions are kept. */
static mls_status tails(double *tail, const mls_method_input *in, const bool *converted,
                        mls_err *err)
{
    const size_t G = in->config->G, D = in->config->D;
    double *matrix = mls_calloc3(D, D, 1, sizeof *matrix);
    double values[MLS_DIM_MAX];
    mls_status st =
        matrix ? MLS_OK : mls_fail(err, MLS_E_NOMEM, "no memory for a covariance");

    for (size_t l = 0; l < in->config->L && !st; l++) {
        mls_layer_stats stats = {0};

        if (!converted[l])
            continue;
        st = mls_capture_stats(in->capture, l, &stats, err);
        for (size_t i = 0; !st && i < MLS_SIDES * G; i++) {
            double *t = tail + (l * MLS_SIDES * G + i) * (D + 1);

            covariance(matrix, &stats, i < G ? MLS_KEYS : MLS_VALUES, i % G);
            st = mls_eigen(matrix, D, values, NULL, err);
            for (size_t r = D; !st && r-- > 0;)
                t[r] = t[r + 1] + fmax(values[r], 0.0);
            const double all = t[0];
            for (size_t r = 0; !st && all > 0 && r < D; r++)
                t[r] /= all;
        }
        mls_layer_stats_free(&stats);
    }
    free(matrix);
    return st;
}

/* Lower ranks from D until they add up to no more than `budget`. */
static void lower_ranks(size_t *rank, const double *tail, const bool *converted,
                        const mls_config *c, size_t step, size_t budget)
{
    const size_t per_layer = MLS_SIDES * c->G, n = c->L * per_layer, D = c->D;
    size_t sum = 0;

    for (size_t i = 0; i < n; i++) {
        rank[i] = converted[i / per_layer] ? D : 0;
        sum += rank[i];
    }
    while (sum > budget) {
        size_t best = n, best_by = 0;
        double least = INFINITY;

        for (size_t i = 0; i < n; i++) {
            if (rank[i] <= 1)
                continue;
            const size_t over = mls_least(step, sum - budget);
            const size_t by = mls_least(over, rank[i] - 1);
            const double *t = tail + i * (D + 1);
            const double lost = (t[rank[i] - by] - t[rank[i]]) / (double)by;

            if (lost < least) {
                least = lost;
                best = i;
                best_by = by;
            }
        }
        if (best == n)
            return;
        rank[best] -= best_by;
        sum -= best_by;
    }
}

static void release(void *all)
{
    prepared *p = all;

    if (p)
        free(p->rank);
    free(p);
}

static mls_status prepare(const mls_method_input *in, const mls_parsed *parsed,
                          void **out, mls_err *err)
{
    const params *p = parsed->params;
    const bool *converted = parsed->common.converted;
    const mls_config *c = in->config;
    const size_t n = c->L * MLS_SIDES * c->G;
    size_t layers = 0, of_layer = 0;
    mls_status st = MLS_OK;

    if (p->alloc == ALLOC_UNIFORM)
        return MLS_OK;
    if (!in->capture)
        return mls_needs_capture(parsed->method->name, NULL, err);
    for (size_t l = 0; l < c->L; l++)
        layers += converted[l];
    for (size_t i = 0; i < MLS_SIDES * c->G; i++)
        of_layer += p->rank.of[i / c->G][i % c->G];
    prepared *made = calloc(1, sizeof *made);
    double *tail = mls_calloc3(n, c->D + 1, 1, sizeof *tail);

    if (made)
        made->rank = mls_calloc3(n, 1, 1, sizeof *made->rank);
    if (!made || !made->rank || !tail)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the ranks of %zu heads", n);
    if (!st)
        st = tails(tail, in, converted, err);
    if (!st)
        lower_ranks(made->rank, tail, converted, c, p->step, layers * of_layer);
    free(tail);
    if (st) {
        release(made);
        made = NULL;
    }
    *out = made;
    return st;
}

static mls_status build(const mls_method_input *in, const mls_parsed *p,
                        const void *ranks, const mls_layer *layer,
                        const mls_layer_stats *stats, mls_latent_form *f, mls_err *err)
{
    const mls_config *c = in->config;
    const size_t G = c->G, D = c->D;
    double values[MLS_DIM_MAX];
    double *matrix, *basis;
    mls_status st;

    (void)ranks;
    if ((st = mls_needs_capture(p->method->name, stats, err)) ||
        (st = mls_lowrank_start(f, c, layer, err)))
        return st;
    matrix = mls_calloc3(2, D, D, sizeof *matrix);
    if (!matrix)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the bases of layer %zu",
                        layer->index);
    basis = matrix + D * D;
    for (size_t i = 0; !st && i < MLS_SIDES * G; i++) {
        const mls_rows rows = {i < G ? MLS_KEYS : MLS_VALUES, i % G, 1};
        const double *mean =
            (i < G ? stats->k_rot_mean : stats->v_mean) + rows.first * D;

        covariance(matrix, stats, rows.side, rows.first);
        st = mls_eigen(matrix, D, values, basis, err);
        if (!st)
            st = mls_lowrank_put(f, layer, i, &rows, basis, basis, mean, err);
        if (!st)
            mls_tail_of(f->latent[i].tail, values, D);
    }
    free(matrix);
    return st;
}

static mls_status fit_data(const mls_method_input *in, size_t elements, mls_fits *out,
                           mls_err *err)
{
    const size_t rank = elements / (2 * in->config->G);

    (void)err;
    if (rank > 0)
        mls_fits_add(out, "alloc=greedy-unverified rank=%zu", rank);
    return MLS_OK;
}

const mls_method mls_method_matryoshka = {
    .name = "matryoshka",
    .title = "MatryoshkaKV (PCA)",
    .source = "arXiv 2410.14731; The-kamisato/MatryoshkaKV-cache, PCA before training",
    .keys = keys,
    .exact = false,
    .params_size = sizeof(params),
    .sized = sized,
    .shape = shape,
    MLS_HEAD_METHOD,
    .fit_data = fit_data,
    .prepare = prepare,
    .release = release,
    .build = build,
};
