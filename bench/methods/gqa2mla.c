/*
 * GQA written as MLA without any loss: the latents are the keys of all KV heads before
 * their rotation, and the values; the up-projection repeats them for the query heads.
 * The cache is as large as before, but shared: tensor parallelism replicates it.
 */
#include "bench/frame/lowrank.h"
#include "bench/frame/method.h"

static mls_status shape(mls_latent_form *f, const mls_config *c, const mls_parsed *p,
                        const void *prepared, size_t l, mls_err *err)
{
    const mls_status st = mls_lowrank_shape(f, c, l, MLS_SIDES, err);

    (void)p, (void)prepared;
    for (size_t i = 0; !st && i < MLS_SIDES; i++) {
        const mls_rows all = {i == MLS_KEYS ? MLS_KEYS : MLS_VALUES, 0, c->G};

        mls_lowrank_place(f, c, i, &all, c->G * c->D, false);
        f->latent[i].down.biased = c->qkv_bias;
    }
    for (size_t g = 0; !st && g < c->G; g++)
        f->head[g].key.biased = f->head[g].value.biased = false;
    return st;
}

static mls_status build(const mls_method_input *in, const mls_parsed *p,
                        const void *prepared, const mls_layer *layer,
                        const mls_layer_stats *stats, mls_latent_form *f, mls_err *err)
{
    const mls_config *c = in->config;
    const size_t D = c->D, GD = c->G * D;
    const mls_affine keys = mls_latent_keys(c, layer);
    const mls_affine values = mls_latent_values(c, layer);
    const mls_status st = mls_lowrank_start(f, c, layer, err);

    (void)p, (void)prepared, (void)stats;
    if (st)
        return st;
    mls_affine_put(&f->latent[MLS_KEYS].down, 0, &keys, NULL, GD);
    mls_affine_put(&f->latent[MLS_VALUES].down, 0, &values, NULL, GD);
    for (size_t i = 0; i < GD; i++) { /* row i % D of head i / D is number i */
        f->head[i / D].key.w[i % D * GD + i] = 1.0F;
        f->head[i / D].value.w[i % D * GD + i] = 1.0F;
    }
    return MLS_OK;
}

const mls_method mls_method_gqa2mla = {
    .name = "gqa2mla",
    .title = "GQA as MLA",
    .source = "TransMLA, arXiv 2502.07864, section on the equivalence of GQA and MLA",
    .formula = "G D + G D",
    .full_rope = true,
    .exact = true,
    .identity = true,
    .shape = shape,
    .build = build,
};
