/*
 * GQA written as MLA without any loss: the latents are the keys of all KV heads before
 * their rotation, and the values; the up-projection repeats them for the query heads.
 * The cache is as large as before, but shared: tensor parallelism replicates it.
 */
#include <stdlib.h>
#include <string.h>

#include "bench/frame/common_keys.h"
#include "bench/frame/method.h"
#include "common/base/checked.h"

static mls_status layout(const mls_config *config, const mls_setting *s,
                         mls_cache_layout *out, mls_err *err)
{
    const size_t GD = config->G * config->D;
    mls_common_keys k;
    mls_status st = mls_common_convert(out, &k, config, s, err);

    for (size_t l = 0; l < config->L && !st; l++) {
        mls_cache_layer *layer = &out->layer[l];

        if (!k.converted[l])
            continue;
        if (!(st = mls_cache_add(layer, MLS_PART_KEY_LATENT, GD, 1, true, &k.key, err)))
            st = mls_cache_add(layer, MLS_PART_LATENT, GD, 1, true, &k.value, err);
    }
    return st;
}

/* A copy of n floats; NULL stays NULL. */
static float *copy(const float *x, size_t n, bool *failed)
{
    float *y = x ? mls_calloc3(n, 1, 1, sizeof *y) : NULL;

    if (x && !y)
        *failed = true;
    if (y)
        memcpy(y, x, n * sizeof *y);
    return y;
}

/* (D, G D) with ones where row i meets number g D + i of the latent. */
static float *repeat(size_t g, size_t G, size_t D, bool *failed)
{
    float *y = mls_calloc3(D, G * D, 1, sizeof *y);

    if (!y)
        *failed = true;
    for (size_t i = 0; y && i < D; i++)
        y[i * G * D + g * D + i] = 1.0F;
    return y;
}

static mls_status build(const mls_method_input *in, const mls_setting *s,
                        const void *plan, const mls_layer *layer,
                        const mls_layer_stats *stats, mls_latent_form *out,
                        mls_err *err)
{
    const mls_config *c = in->config;
    const size_t G = c->G, D = c->D, E = c->E;
    const bool no_rope = c->layer[layer->index].no_rope;
    bool failed = false;
    mls_status st;

    (void)s, (void)plan, (void)stats;
    *out = (mls_latent_form){0};
    if (layer->k_norm && no_rope)
        return mls_fail(err, MLS_E_INPUT,
                        "layer %zu has QK-norm without RoPE, which has no latent form",
                        layer->index);
    st = mls_latent_begin(out, c, layer, 2, 0, err);
    if (st)
        return st;
    out->latent[0] = (mls_latent_vector){
        .r = G * D,
        .down.w = copy(layer->wk, G * D * E, &failed),
        .down.b = copy(layer->bk, G * D, &failed),
        .holds_keys = true,
    };
    out->latent[1] = (mls_latent_vector){
        .r = G * D,
        .down.w = copy(layer->wv, G * D * E, &failed),
        .down.b = copy(layer->bv, G * D, &failed),
        .holds_values = true,
    };
    for (size_t g = 0; g < G; g++)
        out->head[g] = (mls_read_head){
            .key_latent = 0,
            .n_key = D,
            .key.w = repeat(g, G, D, &failed),
            .rotation = no_rope ? MLS_ROTATE_NEVER : MLS_ROTATE_AFTER_READ,
            .rope_key = MLS_NONE,
            .value_latent = 1,
            .n_value = D,
            .value.w = repeat(g, G, D, &failed),
        };
    out->query.w = copy(layer->wq, c->H * D * E, &failed);
    out->query.b = copy(layer->bq, c->H * D, &failed);
    out->q_norm = copy(layer->q_norm, D, &failed);
    out->k_norm = copy(layer->k_norm, D, &failed);
    if (failed)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the latent form of layer %zu",
                      layer->index);
    if (!st)
        st = mls_latent_check(out, err);
    if (st)
        mls_latent_free(out);
    return st;
}

const mls_method mls_method_gqa2mla = {
    .name = "gqa2mla",
    .title = "GQA as MLA",
    .source = "TransMLA, arXiv 2502.07864, section on the equivalence of GQA and MLA",
    .keys = "",
    .formula = "G D + G D",
    .full_rope = true,
    .exact = true,
    .identity = true,
    .layout = layout,
    .build = build,
};
