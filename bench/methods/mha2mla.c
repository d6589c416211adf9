/*
 * MHA2MLA (arXiv 2502.14837): every KV head keeps the rotation of a few chunks; what
 * lost it is factorized with the values, one SVD per layer over all heads.
 */
#include "bench/frame/common_keys.h"
#include "bench/frame/fit.h"
#include "bench/frame/method.h"
#include "bench/frame/partial.h"

enum { SVD_JOINT, SVD_SPLIT, SVD_NONE, SVD_KEY, SVD_VALUE };
static const char *const svd_words[] = {"joint",    "split",      "none",
                                        "only_key", "only_value", NULL};

static const char default_rule[] = "2-norm";

typedef struct params {
    size_t svd;
    size_t chunks; /* kept per KV head */
    size_t rank;   /* low_rank of the project: per KV head and matrix */
} params;

static mls_status read_params(params *p, const mls_config *c, const mls_setting *s,
                              mls_err *err)
{
    const size_t C = c->D / 2, D = c->D;
    mls_status st;

    if ((st = mls_common_rope(s, err)) ||
        (st = mls_setting_word(s, "svd", svd_words, &p->svd, err)) ||
        (st = mls_setting_size(s, "chunks", C < 8 ? 1 : C / 8, 0, MLS_DIM_MAX,
                               &p->chunks, err)) ||
        (st = mls_at_most(s, "chunks", p->chunks, C, "the chunks of a head", err)))
        return st;
    if (p->svd == SVD_NONE) {
        p->rank = 0;
        if (mls_setting_get(s, "rank"))
            return mls_fail(err, MLS_E_INPUT, "%s: svd=none takes no rank", s->method);
        return MLS_OK;
    }

    /* The rank of the smallest matrix that is factorized, per KV head. */
    const size_t key = D - 2 * p->chunks;
    size_t rows = p->svd == SVD_JOINT ? key + D : D;
    if ((p->svd == SVD_SPLIT || p->svd == SVD_KEY) && key > 0)
        rows = key;
    const size_t max = mls_least(rows, c->E / c->G);
    if ((st = mls_setting_size(s, "rank", mls_least(D / 2, max), 1, MLS_WIDTH_MAX,
                               &p->rank, err)))
        return st;
    return mls_at_most(s, "rank", p->rank, max,
                       "the rank per KV head of what is factorized", err);
}

static mls_status layout(const mls_config *config, const mls_setting *s,
                         mls_cache_layout *out, mls_err *err)
{
    const size_t G = config->G, D = config->D;
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
        const size_t nope = D - d_r;
        const bool key_latent = p.svd == SVD_SPLIT || p.svd == SVD_KEY;
        const bool value_latent = p.svd == SVD_SPLIT || p.svd == SVD_VALUE;

        if (!k.converted[l])
            continue;
        st = mls_cache_add(layer, MLS_PART_ROPE_KEY, d_r, G, false, &k.rope_key, err);
        if (!st && p.svd == SVD_JOINT) {
            st = mls_cache_add(layer, MLS_PART_LATENT, G * p.rank, 1, true, &k.latent,
                               err);
            continue;
        }
        if (!st && nope > 0)
            st = key_latent
                     ? mls_cache_add(layer, MLS_PART_KEY_LATENT, G * p.rank, 1, true,
                                     &k.key, err)
                     : mls_cache_add(layer, MLS_PART_KEY, nope, G, false, &k.key, err);
        if (!st)
            st = value_latent
                     ? mls_cache_add(layer, MLS_PART_LATENT, G * p.rank, 1, true,
                                     &k.value, err)
                     : mls_cache_add(layer, MLS_PART_VALUE, D, G, false, &k.value, err);
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

    const size_t G = in->config->G, nope = mls_partial_nope_heads(&chosen);
    const size_t R = G * p.rank;
    const bool key_latent = p.svd == SVD_SPLIT || p.svd == SVD_KEY;
    const bool value_latent = p.svd == SVD_SPLIT || p.svd == SVD_VALUE;
    const size_t n_keys = key_latent ? nope > 0 : nope;
    const size_t n_values = value_latent ? 1 : G;

    st = mls_partial_begin(out, in->config, layer, &chosen,
                           p.svd == SVD_JOINT ? 1 : n_keys + n_values, err);
    if (!st && p.svd == SVD_JOINT)
        st = mls_partial_latent(out, layer, &chosen, 0, true, true, R, err);
    if (!st && p.svd != SVD_JOINT && nope > 0)
        st = key_latent
                 ? mls_partial_latent(out, layer, &chosen, 0, true, false, R, err)
                 : mls_partial_plain_keys(out, layer, &chosen, 0, err);
    if (!st && p.svd != SVD_JOINT)
        st = value_latent
                 ? mls_partial_latent(out, layer, &chosen, n_keys, false, true, R, err)
                 : mls_partial_plain_values(out, layer, n_keys, err);
    mls_selection_free(&chosen);
    return mls_partial_end(out, st, err);
}

/* Table 1 keeps C/8 chunks per KV head; other splits of the same bytes follow. */
static void fit(const mls_config *c, size_t elements, mls_fits *out)
{
    const size_t C = c->D / 2, share[] = {8, 4, 2, 16};

    for (size_t i = 0; i < sizeof share / sizeof share[0]; i++) {
        const size_t chunks = C / share[i], per_head = elements / c->G;

        if (chunks > 0 && per_head > 2 * chunks)
            mls_fits_add(out, "chunks=%zu rank=%zu", chunks, per_head - 2 * chunks);
    }
}

const mls_method mls_method_mha2mla = {
    .name = "mha2mla",
    .title = "MHA2MLA",
    .source = "arXiv 2502.14837; JT-Ushio/MHA2MLA src/mha2mla/patch_func.py",
    .keys = "rope=RULE chunks=N scope=head|layer|global rank=N "
            "svd=joint|split|none|only_key|only_value",
    .formula = "G d_r + G rank; svd=split: G d_r + 2 G rank",
    .exact = true,
    .identity = true,
    .fits_need_data = true,
    .layout = layout,
    .fit = fit,
    .prepare = prepare,
    .release = mls_partial_release,
    .build = build,
};
