/* A checkpoint that EliteKV wrote, read back as latent forms. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/frequency/select_fixed.h"
#include "analysis/model/rope.h"
#include "bench/frame/partial.h"
#include "bench/methods/converted.h"
#include "bench/methods/converted_tensors.h"
#include "common/system/files.h"
#include "datasets/files/rankfile.h"

/* --- Which chunks --- */

static mls_status chunks_of_file(mls_selection *s, const mls_checkpoint *c,
                                 size_t chunks, const mls_config *config, mls_err *err)
{
    const size_t C = config->D / 2, H = config->H;
    char name[48], *path;
    mls_rankfile f = {0};
    mls_status st = MLS_OK;

    snprintf(name, sizeof name, "RoPElite_%zu.pkl", chunks);
    path = mls_path_join(mls_checkpoint_folder(c), name);
    if (!path)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a file name");
    if (!mls_file_exists(path))
        st = mls_fail(err, MLS_E_INPUT,
                      "%s does not say which chunks it keeps: put %s, which it was "
                      "converted with, beside it",
                      mls_checkpoint_folder(c), name);
    if (!st)
        st = mls_rankfile_read(&f, path, err);
    if (!st && (f.L != config->L || f.heads != H || f.C != C))
        st = mls_fail(err, MLS_E_INPUT,
                      "%s has %zu layers, %zu heads and %zu chunks, but the checkpoint "
                      "has %zu, %zu and %zu",
                      path, f.L, f.heads, f.C, config->L, H, C);
    for (size_t l = 0; !st && l < config->L; l++)
        memcpy(s[l].order, f.order + l * H * C, H * C * sizeof *f.order);
    mls_rankfile_free(&f);
    free(path);
    return st;
}

mls_status mls_converted_elitekv_chunks(mls_selection *s, const mls_checkpoint *c,
                                        const mls_converted_config *how,
                                        const mls_config *config, mls_err *err)
{
    const size_t C = config->D / 2, H = config->H;
    mls_status st = MLS_OK;

    for (size_t l = 0; l < config->L; l++)
        s[l] = (mls_selection){0};
    if (how->chunks == 0 || how->chunks > C)
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: config.json: half_of_rope_dim is %zu, but a head has %zu "
                      "chunks",
                      mls_checkpoint_folder(c), how->chunks, C);
    for (size_t l = 0; !st && l < config->L; l++)
        st = mls_selection_new(&s[l], H, C, err);
    for (size_t l = 0; !st && l < config->L; l++)
        for (size_t h = 0; h < H; h++) {
            s[l].count[h] = how->chunks;
            if (how->uniform_chunks)
                mls_order_uniform_elite(s[l].order + h * C, C, how->chunks);
        }
    if (!st && !how->uniform_chunks)
        st = chunks_of_file(s, c, how->chunks, config, err);
    for (size_t l = 0; st && l < config->L; l++)
        mls_selection_free(&s[l]);
    return st;
}

/* --- One layer --- */

/* Rows of one part of all heads' queries to its place in each head's. */
static mls_status read_queries(mls_latent_form *f, const mls_checkpoint *c,
                               const char *name, size_t l, size_t first, size_t n,
                               mls_err *err)
{
    const size_t width = f->query.rows / f->H;
    mls_affine all;
    const mls_status st = mls_converted_take(&all, c, l, name, f->H * n, f->E, err);

    for (size_t h = 0; h < f->H && !st; h++) {
        const mls_affine rows = mls_affine_rows(&all, h * n, n);

        mls_affine_put(&f->query, h * width + first, &rows, NULL, n);
    }
    free(all.w);
    return st;
}

static mls_status read_rope_keys(mls_latent_form *f, const mls_checkpoint *c,
                                 const mls_selection *s, const mls_config *config,
                                 size_t l, mls_err *err)
{
    const size_t n = 2 * s->count[0];
    double inv_freq[MLS_DIM_MAX / 2];
    size_t rope[MLS_DIM_MAX], nope[MLS_DIM_MAX];
    mls_affine all;
    const mls_status st =
        mls_converted_take(&all, c, l, "k_rope_proj", f->H * n, f->E, err);

    mls_layer_frequencies(inv_freq, config, l);
    for (size_t h = 0; h < f->H && !st; h++) {
        const mls_affine key = mls_affine_rows(&all, h * n, n);

        mls_partial_dims(s, h, rope, nope);
        mls_affine_put(&f->rope_key[h].map, 0, &key, NULL, n);
        for (size_t i = 0; i < n / 2; i++)
            f->rope_key[h].inv_freq[i] = inv_freq[rope[i]];
    }
    free(all.w);
    return st;
}

/* kv_b_proj: of each head its keys that do not turn, then its values. */
static mls_status read_up(mls_latent_form *f, const mls_checkpoint *c, size_t l,
                          mls_err *err)
{
    const size_t nope = f->head[0].n_key, D = f->D;
    mls_affine up;
    const mls_status st = mls_converted_take(&up, c, l, "kv_b_proj", f->H * (nope + D),
                                             f->latent[0].r, err);

    for (size_t h = 0; h < f->H && !st; h++) {
        const mls_affine value = mls_affine_rows(&up, h * (nope + D) + nope, D);

        if (nope) {
            const mls_affine key = mls_affine_rows(&up, h * (nope + D), nope);

            mls_affine_put(&f->head[h].key, 0, &key, NULL, nope);
        }
        mls_affine_put(&f->head[h].value, 0, &value, NULL, D);
    }
    free(up.w);
    return st;
}

mls_status mls_converted_elitekv(mls_latent_form *f, const mls_checkpoint *c,
                                 const mls_selection *s, const mls_config *config,
                                 size_t l, mls_err *err)
{
    const size_t rope = 2 * s->count[0], nope = config->D - rope, H = config->H;
    const bool biased = mls_converted_has(c, l, "kv_b_proj.bias");
    mls_status st;

    *f = (mls_latent_form){0};
    if (config->qk_norm || config->layer[l].no_rope || config->layer[l].window)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: layer %zu has QK-norm, does not rotate or sees a window "
                        "only, which EliteKV does not convert",
                        mls_checkpoint_folder(c), l);
    if ((st = mls_converted_begin(f, config, l, H, 1, H, err)))
        return st;
    f->query.biased = mls_converted_has(c, l, "q_rope_proj.bias");
    f->output.biased = mls_converted_has(c, l, "o_proj.bias");
    f->latent[0].holds_keys = nope > 0;
    f->latent[0].holds_values = true;
    if ((st = mls_converted_rows(&f->latent[0].r, c, l, "kv_a_proj.weight", err)))
        return mls_latent_end(f, st, err);
    f->latent[0].down = mls_affine_shape(f->latent[0].r, f->E,
                                         mls_converted_has(c, l, "kv_a_proj.bias"));
    for (size_t h = 0; h < H; h++) {
        f->rope_key[h] = (mls_rope_key){
            .n = rope,
            .map = mls_affine_shape(rope, f->E,
                                    mls_converted_has(c, l, "k_rope_proj.bias"))};
        f->head[h] = (mls_read_head){
            .rope_key = (int)h,
            .key_latent = nope ? 0 : -1,
            .n_key = nope,
            .key = mls_affine_shape(nope, nope ? f->latent[0].r : 0, nope && biased),
            .n_value = f->D,
            .value = mls_affine_shape(f->D, f->latent[0].r, biased)};
    }
    st = mls_latent_allocate(f, err);
    if (!st && nope)
        st = read_queries(f, c, "q_nope_proj", l, 0, nope, err);
    if (!st && !(st = read_queries(f, c, "q_rope_proj", l, nope, rope, err)) &&
        !(st = read_rope_keys(f, c, s, config, l, err)) &&
        !(st = mls_converted_map(&f->latent[0].down, c, l, "kv_a_proj", err)) &&
        !(st = read_up(f, c, l, err)))
        st = mls_converted_map(&f->output, c, l, "o_proj", err);
    return mls_latent_end(f, st, err);
}
