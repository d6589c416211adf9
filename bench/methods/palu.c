/*
 * Palu (arXiv 2407.21118): unrotated keys and values of groups of heads, factorized
 * after whitening by the inputs, W_g S with S S^T = sum x x^T, which is PCA of the
 * outputs W_g x. group=M: each head by itself, G: 4 heads (theirs), J: all heads.
 *
 * align=N rounds the rank of every group to max(1, round(r / N)) N, as the project does
 * with N = 32: the sum then differs from what was asked for.
 *
 * Its ranks follow the Fisher information of each matrix, which needs gradients.
 * alloc=loss takes their rule (share of the total, then evenly over the groups) with
 * F = sqrt(KL) in its place, KL of the whole model when this matrix alone is cut to the
 * mean rank: a proxy. A Fisher information is the curvature of that KL.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "bench/frame/common_keys.h"
#include "bench/frame/fit.h"
#include "bench/frame/lowrank.h"
#include "bench/frame/method.h"
#include "bench/frame/scheme.h"
#include "common/base/checked.h"

static const char *const group_words[] = {"G", "M", "J", NULL};
static const char *const alloc_words[] = {"uniform", "loss", NULL};

enum {
    GROUP_HEADS = 4,
    LOSS_SEQUENCES = 4, /* of the capture, on which alloc=loss measures */
};

static const size_t group_heads[] = {GROUP_HEADS, 1, 0};

typedef struct params {
    mls_projection projection;
    size_t align; /* ranks of groups are multiples of it */
} params;

/* The nearest rank of a layer's side whose groups all have a multiple of p->align. */
static size_t aligned(size_t rank, const params *p, const mls_config *c)
{
    const size_t groups = mls_projection_groups(&p->projection, c);
    const size_t most = mls_projection_most(&p->projection, c);

    if (p->align == 1)
        return rank;
    /* Python's round(): halves go to the even number, as rint() takes them */
    const double each = rint((double)rank / (double)groups / (double)p->align);

    return mls_least(most, (size_t)fmax(1.0, each) * p->align * groups);
}

MLS_KEY_FROM(dims_of_group, params,
             mls_projection_most(&p->projection, c) /
                 mls_projection_groups(&p->projection, c))

static const mls_key keys[] = {
    {"group", MLS_KEY_WORD, offsetof(params, projection.heads), .words = group_words,
     .help = "heads that share a latent: 4, 1, all", .values = group_heads},
    {"alloc", MLS_KEY_WORD, offsetof(params, projection.by_data), .words = alloc_words,
     .help = "ranks per matrix by the model's KL", .open = "loss"},
    MLS_PROJECTION_KEYS(NULL),
    MLS_BASIS_KEY(mls_root_first),
    {"align", MLS_KEY_SIZE, offsetof(params, align), .hint = "N",
     .help = "ranks of groups are multiples of it", .least = 1, .most = MLS_WIDTH_MAX,
     .limit = dims_of_group, .what = "the dims of a group", .bound = "dims of a group",
     .usual = 1},
    MLS_KEYS_END};

static mls_status settle(const mls_parsed *parsed, const mls_config *c, mls_err *err)
{
    params *p = parsed->params;
    const char *method = parsed->method->name;

    mls_projection *all = &p->projection;
    const mls_status st = mls_projection_settle(all, c, method, err);

    if (st)
        return st;
    all->metric.kind = MLS_METRIC_COVARIANCE;
    if (p->align > 1 && all->heads && c->G % mls_least(all->heads, c->G) != 0)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: align needs groups of equal size, but %zu KV heads are "
                        "not a multiple of %zu",
                        method, c->G, all->heads);
    for (size_t i = 0; i < MLS_SIDES; i++)
        all->rank[i] = aligned(all->rank[i], p, c);
    return MLS_OK;
}

/*
 * One side cut to its mean rank, the other whole, all layers: run one layer at a time.
 */
static mls_status one_side(mls_scheme *scheme, const params *p, mls_side side,
                           const mls_config *c, mls_err *err)
{
    params one = *p;
    mls_setting setting;
    mls_status st;

    one.align = 1;
    one.projection.by_data = 0;
    one.projection.rank[side == MLS_KEYS ? MLS_VALUES : MLS_KEYS] =
        mls_projection_most(&p->projection, c);
    st = mls_keys_write(&setting, "palu", keys, c, &one, err);
    return st ? st : mls_scheme_uniform(scheme, &setting, c->L, err);
}

/* kl (L, MLS_SIDES): KL of the model when that matrix alone is cut. */
static mls_status isolated_losses(double *kl, const params *p,
                                  const mls_method_input *in, const bool *converted,
                                  mls_err *err)
{
    mls_scheme scheme[MLS_SIDES] = {0};
    mls_status st = MLS_OK;

    assert(in->isolated_kl);
    for (size_t i = 0; !st && i < MLS_SIDES; i++)
        st = one_side(&scheme[i], p, i == MLS_KEYS ? MLS_KEYS : MLS_VALUES, in->config,
                      err);
    if (!st)
        st = in->isolated_kl(in, scheme, MLS_SIDES, converted, LOSS_SEQUENCES, kl, err);
    mls_scheme_free(&scheme[MLS_KEYS]);
    mls_scheme_free(&scheme[MLS_VALUES]);
    return st;
}

/* Keys and values of all layers share one total in proportion to sqrt(KL). */
static mls_status ranks_by_loss(mls_layer_ranks *prepared, const params *p,
                                const mls_method_input *in, const bool *converted,
                                mls_err *err)
{
    const size_t L = in->config->L, n = L * MLS_SIDES;
    const size_t mean = p->projection.rank[MLS_KEYS] + p->projection.rank[MLS_VALUES];
    double *kl = calloc(2 * n, sizeof *kl), *want = kl ? kl + n : NULL, sum = 0.0;
    size_t *rank = calloc(n, sizeof *rank), m = 0;
    mls_status st = kl && rank ? MLS_OK
                               : mls_fail(err, MLS_E_NOMEM,
                                          "no memory for the ranks of %zu layers", L);

    if (!st)
        st = isolated_losses(kl, p, in, converted, err);
    for (size_t i = 0; !st && i < n; i++)
        sum += sqrt(kl[i]);
    for (size_t i = 0; !st && i < n; i++)
        if (converted[i / MLS_SIDES])
            want[m++] = sqrt(kl[i]);
    const double total = (double)(mean * (m / MLS_SIDES));
    for (size_t i = 0; !st && i < m; i++)
        want[i] = sum > 0.0 ? total * want[i] / sum : total / (double)m;
    if (!st)
        mls_share_ranks(rank, 1, want, m, mean * (m / MLS_SIDES),
                        mls_projection_groups(&p->projection, in->config),
                        mls_projection_most(&p->projection, in->config));
    m = 0;
    for (size_t i = 0; !st && i < n; i++)
        if (converted[i / MLS_SIDES])
            prepared->rank[i] = aligned(rank[m++], p, in->config);
    mls_free_all(rank, kl);
    return st;
}

static mls_status prepare(const mls_method_input *in, const mls_parsed *parsed,
                          void **out, mls_err *err)
{
    const params *p = parsed->params;
    mls_layer_ranks *prepared = NULL;
    mls_status st;

    if (!p->projection.by_data)
        return MLS_OK;
    if (!in->model || !in->capture)
        return mls_needs_capture(parsed->method->name, NULL, err);
    if ((st = mls_layer_ranks_new(&prepared, in->config->L, err)))
        return st;
    st = ranks_by_loss(prepared, p, in, parsed->common.converted, err);
    if (st) {
        mls_layer_ranks_free(prepared);
        prepared = NULL;
    }
    *out = prepared;
    return st;
}

static void fit(const mls_config *c, size_t elements, mls_fits *out)
{
    if (elements < 2)
        return;
    mls_fits_add(out, "group=G rank=%zu", elements / 2);
    if (c->G > GROUP_HEADS)
        mls_fits_add(out, "group=J rank=%zu", elements / 2);
    mls_fits_add(out, "group=M rank=%zu", elements / 2);
}

static mls_status fit_data(const mls_method_input *in, size_t elements, mls_fits *out,
                           mls_err *err)
{
    const size_t rank = elements / 2;

    (void)in;
    (void)err;
    if (rank > 0)
        mls_fits_add(out, "group=G alloc=loss rank=%zu", rank);
    return MLS_OK;
}

const mls_method mls_method_palu = {
    .name = "palu",
    .title = "Palu",
    .source =
        "arXiv 2407.21118; shadowpa0327/Palu palu/decomposition.py, rank_search.py",
    .keys = keys,
    .exact = true,
    .fits_need_data = true,
    .params_size = sizeof(params),
    .settle = settle,
    MLS_PROJECTION_METHOD,
    .fit = fit,
    .fit_data = fit_data,
    .prepare = prepare,
};
