/*
 * EliteKV (arXiv 2503.01586): chunks found by a greedy search keep their rotation;
 * J-LRD factorizes the other keys and the values together, S-LRD apart. The project
 * works on MHA; with GQA a chunk is kept per KV head.
 */
#include "bench/frame/common_keys.h"
#include "bench/frame/fit.h"
#include "bench/frame/method.h"
#include "bench/frame/partial.h"

enum { SVD_JOINT, SVD_SPLIT };
static const char *const svd_words[] = {"joint", "split", NULL};

static const char default_rule[] = "ropelite-l1";

typedef struct params {
    size_t svd;
    size_t chunks;         /* r, per KV head */
    size_t rank;           /* J-LRD: R of the layer */
    size_t rank_k, rank_v; /* S-LRD: of the layer */
} params;

static mls_status read_params(params *p, const mls_config *c, const mls_setting *s,
                              mls_err *err)
{
    const size_t C = c->D / 2, GD = c->G * c->D;
    mls_status st;

    *p = (params){0};
    if ((st = mls_common_rope(s, err)) ||
        (st = mls_setting_word(s, "svd", svd_words, &p->svd, err)) ||
        (st = mls_setting_size(s, "chunks", C * 3 / 16 ? C * 3 / 16 : 1, 0, MLS_DIM_MAX,
                               &p->chunks, err)) ||
        (st = mls_at_most(s, "chunks", p->chunks, C, "the chunks of a head", err)))
        return st;

    const size_t nope = GD - 2 * p->chunks * c->G;
    const size_t max = mls_least(nope + GD, c->E);
    const size_t max_k = mls_least(nope, c->E), max_v = mls_least(GD, c->E);
    if (p->svd == SVD_JOINT) {
        if (mls_setting_get(s, "rank_k") || mls_setting_get(s, "rank_v"))
            return mls_fail(err, MLS_E_INPUT,
                            "%s: rank_k and rank_v belong to svd=split; svd=joint "
                            "takes rank",
                            s->method);
        if ((st = mls_setting_size(s, "rank", mls_least(GD / 2, max), 1, MLS_WIDTH_MAX,
                                   &p->rank, err)))
            return st;
        return mls_at_most(s, "rank", p->rank, max, "the rank of [K without RoPE; V]",
                           err);
    }
    if (mls_setting_get(s, "rank"))
        return mls_fail(err, MLS_E_INPUT,
                        "%s: rank belongs to svd=joint; svd=split takes rank_k and "
                        "rank_v",
                        s->method);
    if ((st = mls_setting_size(s, "rank_k", mls_least(GD / 4, max_k), nope ? 1 : 0,
                               MLS_WIDTH_MAX, &p->rank_k, err)) ||
        (st = mls_at_most(s, "rank_k", p->rank_k, max_k, "the rank of K without RoPE",
                          err)) ||
        (st = mls_setting_size(s, "rank_v", mls_least(GD / 4, max_v), 1, MLS_WIDTH_MAX,
                               &p->rank_v, err)))
        return st;
    return mls_at_most(s, "rank_v", p->rank_v, max_v, "the rank of V", err);
}

static mls_status layout(const mls_config *config, const mls_setting *s,
                         mls_cache_layout *out, mls_err *err)
{
    mls_common_keys k;
    params p;
    mls_status st;

    if ((st = mls_common_convert(out, &k, config, s, err)) ||
        (st = read_params(&p, config, s, err)) ||
        (p.svd == SVD_JOINT && (st = mls_common_joint(&k, s, err))))
        return st;
    for (size_t l = 0; l < config->L && !st; l++) {
        mls_cache_layer *layer = &out->layer[l];
        const size_t d_r = config->layer[l].no_rope ? 0 : 2 * p.chunks;

        if (!k.converted[l])
            continue;
        if ((st = mls_cache_add(layer, MLS_PART_ROPE_KEY, d_r, config->G, false,
                                &k.rope_key, err)) ||
            (st = mls_cache_add(layer, MLS_PART_LATENT, p.rank, 1, true, &k.latent,
                                err)) ||
            (st = mls_cache_add(layer, MLS_PART_KEY_LATENT, p.rank_k, 1, true, &k.key,
                                err)))
            return st;
        st = mls_cache_add(layer, MLS_PART_LATENT, p.rank_v, 1, true, &k.value, err);
    }
    return st;
}

static mls_status prepare(const mls_method_input *in, const mls_setting *s, void **plan,
                          mls_err *err)
{
    params p;
    const mls_status st = read_params(&p, in->config, s, err);

    *plan = NULL;
    return st ? st : mls_partial_prepare(plan, in, s, default_rule, p.chunks, err);
}

static mls_status build(const mls_method_input *in, const mls_setting *s,
                        const void *plan, const mls_layer *layer,
                        const mls_layer_stats *stats, mls_latent_form *out,
                        mls_err *err)
{
    mls_selection chosen = {0};
    params p;
    mls_status st;

    *out = (mls_latent_form){0};
    if ((st = read_params(&p, in->config, s, err)) ||
        (st = mls_partial_chosen(&chosen, plan, in, s, default_rule, p.chunks, layer,
                                 stats, err)))
        return st;

    const size_t n_keys = p.svd == SVD_SPLIT && mls_partial_nope_heads(&chosen) > 0;

    st = mls_partial_begin(out, in->config, layer, &chosen, n_keys + 1, err);
    if (!st && p.svd == SVD_JOINT)
        st = mls_partial_latent(out, layer, &chosen, 0, true, true, p.rank, err);
    if (!st && n_keys > 0)
        st = mls_partial_latent(out, layer, &chosen, 0, true, false, p.rank_k, err);
    if (!st && p.svd == SVD_SPLIT)
        st =
            mls_partial_latent(out, layer, &chosen, n_keys, false, true, p.rank_v, err);
    mls_selection_free(&chosen);
    return mls_partial_end(out, st, err);
}

/* The README keeps 12 of 64 chunks; other splits of the same bytes follow. */
static void fit(const mls_config *c, size_t elements, mls_fits *out)
{
    const size_t C = c->D / 2, chunks[] = {C * 3 / 16, C / 4, C / 2, C / 8, C / 16};

    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++)
        if (chunks[i] > 0 && elements > 2 * chunks[i] * c->G)
            mls_fits_add(out, "chunks=%zu rank=%zu", chunks[i],
                         elements - 2 * chunks[i] * c->G);
}

const mls_method mls_method_elitekv = {
    .name = "elitekv",
    .title = "EliteKV",
    .source = "arXiv 2503.01586; CiaranZhou/EliteKV convert/convert.py",
    .keys = "rope=RULE chunks=N scope=head|layer|global rank=N svd=joint|split "
            "rank_k=N rank_v=N",
    .formula = "G d_r + rank; svd=split: G d_r + rank_k + rank_v",
    .exact = true,
    .identity = true,
    .fits_need_data = true,
    .layout = layout,
    .fit = fit,
    .prepare = prepare,
    .release = mls_partial_release,
    .build = build,
};
