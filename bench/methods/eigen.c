/*
 * Eigen Attention (arXiv 2408.05646), the path for models with RoPE as its code takes
 * it: one D x D basis of unrotated keys shared by all KV heads of the layer (queries
 * play no part), and one basis of values per KV head. energy=T takes its rule: the
 * ranks are the number of singular values, not squared, whose running share stays below
 * T, which is one less than what reaches T; values take the most that any head asks
 * for.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/numeric/linalg.h"
#include "bench/frame/fit.h"
#include "bench/frame/head_ranks.h"
#include "bench/frame/lowrank.h"
#include "bench/frame/method.h"
#include "common/base/checked.h"

typedef struct params {
    mls_head_rank rank;
    double energy; /* 0: ranks are given */
} params;

MLS_KEY_REFUSED(no_rank, params, p->energy > 0.0,
                "energy chooses the ranks and takes none")

static const mls_key keys[] = {
    {"energy", MLS_KEY_REAL, offsetof(params, energy), .hint = "SHARE",
     .help = "ranks by the share of singular values", .said = "none", .usual = 0,
     .least = 0, .most = 1, .open = "", .instead = "rank", .by_head = true},
    MLS_HEAD_KEYS(no_rank),
    MLS_KEYS_END};

static mls_status sized(const mls_config *c, const mls_parsed *parsed, mls_err *err)
{
    const params *p = parsed->params;

    (void)c;
    return p->energy > 0.0 ? mls_needs_weights(parsed, "the rank of an energy", err)
                           : MLS_OK;
}

static mls_status shape(mls_latent_form *f, const mls_config *c,
                        const mls_parsed *parsed, const void *prepared, size_t l,
                        mls_err *err)
{
    const params *p = parsed->params;

    (void)prepared;
    return mls_head_shape(f, c, l, &p->rank, false, 0, err);
}

/*
 * Number of singular values (n, squared, largest first) with a running share below T.
 */
static size_t below_energy(const double *squared, size_t n, double T)
{
    double total = 0.0, running = 0.0;
    size_t count = 0;

    for (size_t i = 0; i < n; i++)
        total += sqrt(fmax(squared[i], 0.0));
    for (size_t i = 0; i < n; i++) {
        running += sqrt(fmax(squared[i], 0.0));
        count += running / total < T;
    }
    return count ? count : 1;
}

/* Second moment of the outputs of every head, biases included; keys: their sum. */
static mls_status moments(double *out, mls_side side, const mls_config *c,
                          const mls_layer *layer, const mls_layer_stats *stats,
                          mls_err *err)
{
    const size_t D = c->D;
    const float *w = side == MLS_KEYS ? layer->wk : layer->wv;
    const float *b = side == MLS_KEYS ? layer->bk : layer->bv;
    double *one = mls_calloc3(D, D, 1, sizeof *one);
    mls_status st =
        one ? MLS_OK
            : mls_fail(err, MLS_E_NOMEM, "no memory for a %zu x %zu matrix", D, D);

    for (size_t g = 0; !st && g < c->G; g++) {
        double *to = side == MLS_KEYS ? out : out + g * D * D;

        st = mls_second_of_outputs(one, stats, w + g * D * c->E, b ? b + g * D : NULL,
                                   D, err);
        for (size_t i = 0; !st && i < D * D; i++)
            to[i] += one[i];
    }
    free(one);
    return st;
}

/* Ranks of a layer by the energy of its eigenvalues (1 + G, D), the keys' first. */
static void ranks_by_energy(size_t rank[MLS_SIDES], const double *values,
                            const mls_config *c, double T)
{
    rank[MLS_KEYS] = below_energy(values, c->D, T);
    rank[MLS_VALUES] = 1;
    for (size_t g = 0; g < c->G; g++) {
        const size_t r = below_energy(values + (1 + g) * c->D, c->D, T);

        if (r > rank[MLS_VALUES])
            rank[MLS_VALUES] = r;
    }
}

/* The shape once more, with ranks by energy. */
static mls_status reshape(mls_latent_form *f, const mls_config *c, double energy,
                          const double *values, mls_err *err)
{
    const size_t l = f->layer;
    size_t by_energy[MLS_SIDES];
    mls_head_rank rank;

    ranks_by_energy(by_energy, values, c, energy);
    for (size_t i = 0; i < MLS_SIDES * c->G; i++)
        rank.of[i / c->G][i % c->G] = by_energy[i / c->G];
    mls_latent_free(f);
    return mls_head_shape(f, c, l, &rank, false, 0, err);
}

static mls_status build(const mls_method_input *in, const mls_parsed *parsed,
                        const void *prepared, const mls_layer *layer,
                        const mls_layer_stats *stats, mls_latent_form *f, mls_err *err)
{
    const params *p = parsed->params;
    const mls_config *c = in->config;
    const size_t G = c->G, D = c->D;
    const double zero[MLS_DIM_MAX] = {0};
    double *second = NULL, *vectors = NULL, *values = NULL;
    mls_status st = mls_needs_capture(parsed->method->name, stats, err);

    (void)prepared;
    if (st)
        return st;
    /* First the keys' matrix, then those of values. */
    second = mls_calloc3(1 + G, D, D, sizeof *second);
    vectors = mls_calloc3(1 + G, D, D, sizeof *vectors);
    values = mls_calloc3(1 + G, D, 1, sizeof *values);
    if (!second || !vectors || !values) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the bases of layer %zu",
                      layer->index);
        goto done;
    }
    if ((st = moments(second, MLS_KEYS, c, layer, stats, err)) ||
        (st = moments(second + D * D, MLS_VALUES, c, layer, stats, err)))
        goto done;
    for (size_t i = 0; !st && i < 1 + G; i++)
        st = mls_eigen(second + i * D * D, D, values + i * D, vectors + i * D * D, err);
    if (!st && p->energy > 0.0)
        st = reshape(f, c, p->energy, values, err);
    if (!st)
        st = mls_lowrank_start(f, c, layer, err);
    for (size_t i = 0; !st && i < MLS_SIDES * G; i++) {
        const mls_rows rows = {i < G ? MLS_KEYS : MLS_VALUES, i % G, 1};
        const double *basis = vectors + (i < G ? 0 : 1 + i - G) * D * D;

        st = mls_lowrank_put(f, layer, i, &rows, basis, basis, zero, err);
    }

done:
    mls_free_all(values, vectors, second);
    return st;
}

/* values (L, 1 + G, D): eigenvalues of the keys and of every head's values. */
static mls_status all_eigenvalues(double *values, const mls_method_input *in,
                                  mls_err *err)
{
    const mls_config *c = in->config;
    const size_t D = c->D, n = 1 + c->G;
    double *second = mls_calloc3(n, D, D, sizeof *second);
    mls_status st =
        second ? MLS_OK
               : mls_fail(err, MLS_E_NOMEM, "no memory for the moments of a layer");

    for (size_t l = 0; !st && l < c->L; l++) {
        mls_layer layer = {0};
        mls_layer_stats stats = {0};

        if (!mls_common_can_convert(c, l))
            continue;
        memset(second, 0, n * D * D * sizeof *second);
        st = mls_model_attention(in->model, l, &layer, err);
        if (!st)
            st = mls_capture_stats(in->capture, l, &stats, err);
        if (!st)
            st = moments(second, MLS_KEYS, c, &layer, &stats, err);
        if (!st)
            st = moments(second + D * D, MLS_VALUES, c, &layer, &stats, err);
        for (size_t i = 0; !st && i < n; i++)
            st = mls_eigen(second + i * D * D, D, values + (l * n + i) * D, NULL, err);
        mls_layer_stats_free(&stats);
        mls_layer_free(&layer);
    }
    free(second);
    return st;
}

typedef struct spectra {
    const mls_config *config;
    const double *values;
} spectra;

static size_t elements_of(const void *arg, double T)
{
    const spectra *s = arg;
    const mls_config *c = s->config;
    size_t rank[MLS_SIDES], sum = 0;

    for (size_t l = 0; l < c->L; l++) {
        if (!mls_common_can_convert(c, l))
            continue;
        ranks_by_energy(rank, s->values + l * (1 + c->G) * c->D, c, T);
        sum += c->G * (rank[MLS_KEYS] + rank[MLS_VALUES]);
    }
    return sum;
}

static mls_status fit_data(const mls_method_input *in, size_t elements, mls_fits *out,
                           mls_err *err)
{
    const mls_config *c = in->config;
    double *values = mls_calloc3(c->L, 1 + c->G, c->D, sizeof *values), T;
    const spectra s = {c, values};
    mls_status st = values ? all_eigenvalues(values, in, err)
                           : mls_fail(err, MLS_E_NOMEM, "no memory for eigenvalues");

    if (!st && mls_fit_share(&T, elements_of, &s, elements * mls_common_convertible(c)))
        mls_fits_add(out, "energy=%.6f", T);
    free(values);
    return st;
}

const mls_method mls_method_eigen = {
    .name = "eigen",
    .title = "Eigen Attention",
    .source = "arXiv 2408.05646; UtkarshSaxena1/EigenAttn, the LLaMA path",
    .keys = keys,
    .exact = true,
    .params_size = sizeof(params),
    .sized = sized,
    .shape = shape,
    MLS_HEAD_METHOD,
    .fit_data = fit_data,
    .build = build,
};
