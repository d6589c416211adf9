/*
 * Ours: one joint latent per layer whose directions are chosen by what the layer's
 * output minds (docs/METHODS.md, "kq").
 *
 * Stack y = [nope rows of every key; values] = W x + b. An error dy costs
 * tr(B S_dy), B = blockdiag(key sensitivities, balance * value sensitivities). The best
 * r numbers are the leading eigenvectors U of B^1/2 Cov(y) B^1/2:
 *
 *   c = U B^1/2 (y - mean y)      y ~ mean y + B^-1/2 U^T c
 *
 * which is KQ-SVD's optimum (arXiv 2512.05916) extended to values, to both together,
 * and from logits to the layer's output. rope=after keeps every rotation: the latent
 * holds unrotated full keys, rotated when they are read back. rope=shared keeps one
 * rope key for all heads (bench/methods/kq_shared.c).
 */
#include <stdlib.h>
#include <string.h>

#include "analysis/frequency/shared_results.h"
#include "analysis/latent/refit.h"
#include "bench/frame/common_keys.h"
#include "bench/frame/fit.h"
#include "bench/frame/method.h"
#include "bench/frame/partial.h"
#include "bench/methods/kq.h"
#include "common/base/checked.h"

enum { WEIGHT_OUTPUT, WEIGHT_QUERY };
static const char *const weight_words[] = {"output", "query", NULL};
enum { REFIT_NONE, REFIT_QUERIES, REFIT_ALL };
static const char *const refit_words[] = {"none", "queries", "all", NULL};
enum { CENTRE_YES, CENTRE_NO };
static const char *const centre_words[] = {"yes", "no", NULL};
enum { TURN_KEY, TURN_OUTPUT };
static const char *const turn_words[] = {"key", "output", NULL};
enum { REFIT_WINDOWS = 128, REFIT_STEPS = 8 };

typedef struct params {
    char rope[MLS_SETTING_WORD]; /* after, shared, or the rule that chooses chunks */
    bool after;                  /* rope=after: all keys rotated after reading */
    bool shared;                 /* rope=shared: one rope key for all heads */
    size_t chunks, rank, weight, refit, centre, basis, turn;
    size_t rope_dim, fold, keep; /* of a shared rope key */
    size_t keys, latents;
    size_t D;
    double balance;
} params;

static const char *no_chunks(const void *v)
{
    const params *p = v;

    return strcmp(p->rope, "after") == 0    ? "rope=after takes no chunks"
           : strcmp(p->rope, "shared") == 0 ? "rope=shared takes no chunks"
                                            : NULL;
}

static const char *not_shared(const void *v)
{
    const params *p = v;

    return strcmp(p->rope, "shared") == 0
               ? NULL
               : "rope_dim, freqfold, keep, rope_keys, latents, turn and centre "
                 "belong to rope=shared";
}

MLS_KEY_REFUSED(not_absorbed, params, strcmp(p->rope, "after") == 0,
                "refit belongs to keys that a decoder "
                "absorbs: rope=shared or rope=RULE")
MLS_KEY_FROM(usual_chunks, void, c->D / 2 < 8 ? 1 : c->D / 16)
MLS_KEY_FROM(usual_dims, void, c->D < 128 ? c->D / 2 : 64)
MLS_KEY_FROM(dims, void, c->D)

/* Folds of at least as many chunks as rope_dim collapses. */
static size_t usual_fold(const mls_config *c, const void *v)
{
    const params *p = v;
    const size_t collapse = c->D / p->rope_dim;

    return collapse && collapse < 4 && c->D / 2 % 4 == 0 && 4 % collapse == 0
               ? 4
               : collapse;
}

/* Of one shared rope key. */
static size_t rope_dims(const mls_config *c, const params *p)
{
    return p->keep && p->fold ? c->D / p->fold * p->keep : p->rope_dim;
}

MLS_KEY_FROM(heads, void, c->G)

static size_t rows(const mls_config *c, const void *v)
{
    const params *p = v;
    const size_t keys = p->keys ? p->keys : 1, latents = p->latents ? p->latents : 1;
    const size_t rope = 2 * p->chunks * c->G + keys * rope_dims(c, p);
    const size_t all = 2 * c->G * c->D;

    return mls_least(all > rope ? all - rope : 1,
                     latents * (c->E + (c->qkv_bias ? 1 : 0)));
}

MLS_KEY_FROM(half, void, mls_least(c->G * c->D / 2, rows(c, p)))

static const mls_key keys[] = {
    {"rope", MLS_KEY_TEXT, offsetof(params, rope), .hint = "after|shared|RULE",
     .text = "after",
     .help = "when keys are rotated, or which chunks keep their rotation"},
    {"chunks", MLS_KEY_SIZE, offsetof(params, chunks), .hint = "N",
     .help = "rope=RULE: kept per KV head", .least = 0, .most = MLS_DIM_MAX,
     .otherwise = usual_chunks, .said = "C/8", .bound = "C",
     .limit = mls_partial_chunks, .what = "the chunks of a head", .refuse = no_chunks},
    {"rope_dim", MLS_KEY_SIZE, offsetof(params, rope_dim), .hint = "N",
     .help = "rope=shared: dims of the rope key", .least = 2, .most = MLS_DIM_MAX,
     .otherwise = usual_dims, .said = "D/2, at most 64", .bound = "D", .limit = dims,
     .what = "the head dimension", .refuse = not_shared},
    {"freqfold", MLS_KEY_SIZE, offsetof(params, fold), .hint = "N",
     .help = "rope=shared: chunks that share a frequency", .least = 1,
     .most = MLS_DIM_MAX, .otherwise = usual_fold, .said = "D/rope_dim, or 4",
     .refuse = not_shared},
    {"keep", MLS_KEY_SIZE, offsetof(params, keep), .hint = "N",
     .help =
         "rope=shared: components of each fold in the rope key, which then has D N / "
         "F dims",
     .least = 1, .most = MLS_WIDTH_MAX, .said = "by rope_dim", .bound = "G F",
     .refuse = not_shared},
    {"latents", MLS_KEY_SIZE, offsetof(params, latents), .hint = "N",
     .help = "rope=shared: as many latents and rope keys, each for a group of KV heads",
     .least = 1, .most = MLS_HEADS_MAX, .said = "1", .bound = "G", .limit = heads,
     .what = "the KV heads", .refuse = not_shared},
    {"rope_keys", MLS_KEY_SIZE, offsetof(params, keys), .hint = "N",
     .help = "rope=shared: rope keys, each for a group of KV heads", .least = 1,
     .most = MLS_HEADS_MAX, .like = "latents", .bound = "G", .limit = heads,
     .what = "the KV heads", .refuse = not_shared},
    {"turn", MLS_KEY_WORD, offsetof(params, turn), .words = turn_words,
     .help = "rope=shared: what the rope key gathers, the energy of keys or what "
             "outputs mind",
     .refuse = not_shared},
    {"rank", MLS_KEY_SIZE, offsetof(params, rank), .hint = "N",
     .help = "numbers of the latents", .least = 1, .most = MLS_WIDTH_MAX,
     .otherwise = half, .said = "G D / 2", .bound = "min(2 G D - d_r, E)",
     .limit = rows, .what = "the rank of keys and values"},
    {"weight", MLS_KEY_WORD, offsetof(params, weight), .words = weight_words,
     .help = "what errors cost"},
    {"balance", MLS_KEY_REAL, offsetof(params, balance), .hint = "X",
     .help = "factor of what errors in values cost", .usual = 1, .least = 1e-6,
     .most = 1e6},
    {"refit", MLS_KEY_WORD, offsetof(params, refit), .words = refit_words,
     .help = "fitted by least squares to what is cached: nothing, the queries, or the "
             "output projection too",
     .refuse = not_absorbed},
    {"centre", MLS_KEY_WORD, offsetof(params, centre), .words = centre_words,
     .help = "rope=shared: the latent is of keys and values less their means, which "
             "biases give back; vLLM and SGLang take none",
     .refuse = not_shared},
    {"basis", MLS_KEY_WORD, offsetof(params, basis), .words = mls_unit_first.words,
     .values = mls_unit_first.values,
     .help = "singular values on the down side, or their roots on both"},
    MLS_KEYS_END};

static mls_status settle(const mls_parsed *parsed, const mls_config *c, mls_err *err)
{
    params *p = parsed->params;
    const char *method = parsed->method->name;

    const size_t C = c->D / 2;

    p->D = c->D;
    p->after = strcmp(p->rope, "after") == 0;
    p->shared = strcmp(p->rope, "shared") == 0;
    if (!p->shared)
        return MLS_OK;
    p->latents = p->latents ? p->latents : 1;
    p->keys = p->keys ? p->keys : 1;
    if (c->G % p->keys || (p->latents != 1 && p->latents != p->keys))
        return mls_fail(err, MLS_E_INPUT,
                        "%s: %zu rope keys and %zu latents do not share out %zu KV "
                        "heads: rope_keys divides them, latents is 1 or the same",
                        method, p->keys, p->latents, c->G);
    if (p->rank % p->latents)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: rank=%zu does not divide into %zu latents; the nearest "
                        "possible is %zu",
                        method, p->rank, p->latents,
                        p->rank + p->latents - p->rank % p->latents);
    if (p->keep) {
        p->rope_dim = rope_dims(c, p);
        if (p->fold == 0 || C % p->fold || p->keep > c->G / p->keys * p->fold)
            return mls_fail(err, MLS_E_INPUT,
                            "%s: keep=%zu needs freqfold=N that divides %zu chunks, "
                            "and a fold has %zu components",
                            method, p->keep, C, c->G / p->keys * p->fold);
        return MLS_OK;
    }
    if (c->D % p->rope_dim || p->rope_dim % 2 || C % (c->D / p->rope_dim)) {
        size_t near = c->D;

        while (near > p->rope_dim && near % 4 == 0)
            near /= 2;
        return mls_fail(err, MLS_E_INPUT,
                        "%s: rope_dim=%zu does not divide the head dimension %zu; the "
                        "nearest possible is %zu",
                        method, p->rope_dim, c->D, near);
    }
    const size_t collapse = c->D / p->rope_dim;

    if (p->fold % collapse || C % p->fold)
        return mls_fail(
            err, MLS_E_INPUT,
            "%s: freqfold=%zu must be a multiple of %zu and divide %zu; the "
            "nearest possible is %zu",
            method, p->fold, collapse, C, usual_fold(c, p));
    return MLS_OK;
}

static mls_kq_shared shared_of(const params *p)
{
    return (mls_kq_shared){.rope_dim = p->rope_dim,
                           .collapse = p->keep ? 1 : p->D / p->rope_dim,
                           .keep = p->keep,
                           .fold = p->fold,
                           .keys = p->keys,
                           .latents = p->latents,
                           .rank = p->rank,
                           .balance = p->balance,
                           .by_output = p->turn == TURN_OUTPUT,
                           .centred = p->centre == CENTRE_YES,
                           .basis = (mls_basis)p->basis};
}

static mls_status shape(mls_latent_form *f, const mls_config *c,
                        const mls_parsed *parsed, const void *prepared, size_t l,
                        mls_err *err)
{
    const params *p = parsed->params;
    const bool rotates = !c->layer[l].no_rope;
    const size_t chunks = rotates ? p->chunks : 0;
    size_t count[MLS_HEADS_MAX];
    mls_status st;

    (void)prepared;
    if (p->shared && rotates) {
        const mls_kq_shared how = shared_of(p);

        return mls_kq_shared_shape(f, &how, c, l, err);
    }
    for (size_t g = 0; g < c->G; g++)
        count[g] = chunks;
    st = mls_partial_begin(f, c, l, count, 1, err);
    if (st)
        return st;
    f->latent[0] = (mls_latent_vector){.r = p->rank,
                                       .down = mls_affine_shape(p->rank, c->E, true),
                                       .holds_keys = true,
                                       .holds_values = true,
                                       .n_tail = 2 * c->G * (c->D - chunks) + 1};
    for (size_t g = 0; g < c->G; g++) {
        mls_read_head *h = &f->head[g];

        if (h->n_key) {
            h->key_latent = 0;
            h->rotation =
                p->after && rotates ? MLS_ROTATE_AFTER_READ : MLS_ROTATE_NEVER;
            h->key = mls_affine_shape(h->n_key, p->rank, true);
        }
        h->value_latent = 0;
        h->value = mls_affine_shape(h->n_value, p->rank, true);
    }
    return MLS_OK;
}

/*
 * Per KV head: nope rows of the key, then the value; the form's dims in the same order.
 */
static mls_status stack(mls_kq_stack *y, const mls_config *c, const mls_layer *layer,
                        const mls_selection *chosen, const mls_sensitivity *weight,
                        const params *p, mls_err *err)
{
    const size_t D = c->D, E = c->E;
    size_t rope[MLS_DIM_MAX], nope[MLS_DIM_MAX], at = 0;
    double *block = mls_calloc3(D, D, 1, sizeof *block);
    mls_status st = MLS_OK;

    if (!block)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the latent of layer %zu",
                        layer->index);
    for (size_t g = 0; !st && g < c->G; g++) {
        const size_t n = D - 2 * chosen->count[g];
        const double *key = (p->after ? weight->key : weight->key_plain) + g * D * D;

        mls_partial_dims(chosen, g, rope, nope);
        for (size_t i = 0; i < n; i++) {
            const size_t row = g * D + nope[i];

            memcpy(y->w + (at + i) * E, layer->wk + row * E, E * sizeof *y->w);
            y->b[at + i] = layer->bk ? layer->bk[row] : 0;
            for (size_t j = 0; j < n; j++)
                block[i * n + j] = key[nope[i] * D + nope[j]];
        }
        if (n)
            st = mls_kq_stack_weigh(y, at, block, n, err);
        at += n;
        memcpy(y->w + at * E, layer->wv + g * D * E, D * E * sizeof *y->w);
        for (size_t i = 0; i < D; i++)
            y->b[at + i] = layer->bv ? layer->bv[g * D + i] : 0;
        for (size_t i = 0; i < D * D; i++)
            block[i] = p->balance * weight->value[g * D * D + i];
        if (!st)
            st = mls_kq_stack_weigh(y, at, block, D, err);
        at += D;
    }
    free(block);
    return st;
}

/* One latent, read back per KV head in the order of stack(). */
static mls_status fill(mls_latent_form *f, const mls_config *c, const mls_layer *layer,
                       const mls_layer_stats *stats, const mls_selection *chosen,
                       const mls_sensitivity *weight, const params *p, mls_err *err)
{
    mls_kq_stack y = {0};
    size_t at = 0;
    mls_status st = mls_kq_stack_new(&y, f->latent[0].n_tail - 1, c->E, err);

    y.basis = (mls_basis)p->basis;
    if (!st)
        st = stack(&y, c, layer, chosen, weight, p, err);
    if (!st)
        st = mls_kq_stack_reduce(&y, f, stats, err);
    for (size_t g = 0; !st && g < f->G; g++) {
        mls_read_head *h = &f->head[g];

        if (h->n_key)
            mls_kq_stack_read(&y, at, &h->key);
        mls_kq_stack_read(&y, at + h->n_key, &h->value);
        at += h->n_key + h->n_value;
    }
    mls_kq_stack_free(&y);
    return st;
}

/* What reads the cache, by least squares on the captured windows. */
static mls_status refit(mls_latent_form *f, const mls_method_input *in,
                        const mls_layer *layer, size_t what, mls_err *err)
{
    mls_latent_form original = {0};
    mls_status st = mls_refit_queries(f, in->capture, REFIT_WINDOWS, REFIT_STEPS,
                                      mls_model_compute(in->model), in->pool, err);

    if (!st && what == REFIT_ALL)
        st = mls_latent_identity(&original, in->config, layer, err);
    if (!st && what == REFIT_ALL)
        st = mls_refit_output(f, &original, in->capture, REFIT_WINDOWS,
                              mls_model_compute(in->model), in->pool, err);
    mls_latent_free(&original);
    return st;
}

static mls_status build(const mls_method_input *in, const mls_parsed *parsed,
                        const void *prepared, const mls_layer *layer,
                        const mls_layer_stats *stats, mls_latent_form *f, mls_err *err)
{
    const params *p = parsed->params;
    const mls_config *c = in->config;
    mls_selection chosen = {0};
    mls_sensitivity own = {0};
    const mls_sensitivity *weight = &own;
    mls_status st;

    (void)prepared;
    if (!stats || !in->capture)
        return mls_needs_capture(parsed->method->name, NULL, err);
    st = p->weight == WEIGHT_OUTPUT
             ? mls_shared_sensitivity(&weight, in->capture, layer, in->pool, err)
             : mls_kq_query_weights(&own, c, layer, stats,
                                    mls_capture_length(in->capture), err);
    if (!st && p->shared && !c->layer[layer->index].no_rope) {
        const mls_kq_shared how = shared_of(p);

        st = mls_kq_shared_fill(f, &how, c, layer, stats, weight, err);
    } else if (!st) {
        st = p->after || p->shared
                 ? mls_selection_new(&chosen, c->G, c->D / 2, err)
                 : mls_partial_select(&chosen, parsed->method->name, in, p->rope,
                                      p->chunks, layer, stats, err);
        if (!st)
            st = mls_partial_start(f, c, layer, &chosen, err);
        if (!st)
            st = fill(f, c, layer, stats, &chosen, weight, p, err);
    }
    if (!st && p->refit != REFIT_NONE)
        st = refit(f, in, layer, p->refit, err);
    mls_sensitivity_free(&own);
    mls_selection_free(&chosen);
    return st;
}

static void fit(const mls_config *c, size_t elements, mls_fits *out)
{
    const size_t C = c->D / 2, share[] = {4, 8, 2};

    if (elements > 0)
        mls_fits_add(out, "rank=%zu", elements);
    /* First those whose latent has as many numbers as the rope key or more. */
    for (int scant = 0; scant < 2; scant++)
        for (size_t d_r = c->D; d_r >= 8; d_r /= 2)
            if (c->D % d_r == 0 && elements > d_r &&
                (elements - d_r < d_r) == (scant == 1))
                mls_fits_add(out,
                             "rope=shared rope_dim=%zu rank=%zu refit=all centre=no",
                             d_r, elements - d_r);
    for (size_t i = 0; i < sizeof share / sizeof share[0]; i++) {
        const size_t chunks = C / share[i];

        if (chunks > 0 && elements > 2 * chunks * c->G)
            mls_fits_add(out, "rope=2-norm chunks=%zu rank=%zu", chunks,
                         elements - 2 * chunks * c->G);
    }
}

const mls_method mls_method_kq = {
    .folds_norm = true,
    .name = "kq",
    .title = "kq (ours)",
    .source = "docs/METHODS.md; KQ-SVD, arXiv 2512.05916, for the query weighting",
    .keys = keys,
    .formula = "rank; rope=shared: d_r + rank; rope=RULE: G d_r + rank",
    .full_rope = true, /* unless rope=RULE or rope=shared leaves rope keys apart */
    .exact = true,
    .identity = true,
    .fits_need_data = true,
    .params_size = sizeof(params),
    .settle = settle,
    .shape = shape,
    .fit = fit,
    .build = build,
};
