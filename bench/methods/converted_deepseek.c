/* A checkpoint in DeepSeek-V3's names, read back as latent forms. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/model/rope.h"
#include "bench/methods/converted.h"
#include "bench/methods/converted_tensors.h"
#include "common/base/checked.h"

/* A layer being read. */
typedef struct {
    mls_latent_form *f;
    const mls_checkpoint *c;
    const mls_converted_config *how;
    const mls_config *of; /* the checkpoint's own shape */
    size_t l;
} layer;

/*
 * Rows of one rope part, `columns` wide: interleaved pairs to half-split, where the
 * checkpoint has them so.
 */
static mls_status half_split(const layer *y, float *rows, size_t columns, mls_err *err)
{
    const size_t n = y->of->mla_rope_dim;
    float *copy;

    if (!y->how->rope_interleaved || !rows)
        return MLS_OK;
    copy = mls_calloc3(n, columns, 1, sizeof *copy);
    if (!copy)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu rows", n);
    memcpy(copy, rows, n * columns * sizeof *copy);
    for (size_t i = 0; i < n; i++)
        memcpy(rows + (i / 2 + i % 2 * (n / 2)) * columns, copy + i * columns,
               columns * sizeof *rows);
    free(copy);
    return MLS_OK;
}

/* What is cached and how it is read, from the names that are there. */
static void set_shape(const layer *y, bool low)
{
    const size_t r = y->of->mla_kv_lora_rank, E = y->f->E, n = y->of->mla_rope_dim;
    const bool biased = mls_converted_has(y->c, y->l, "kv_a_proj_with_mqa.bias");
    mls_latent_form *f = y->f;

    f->latent[0] = (mls_latent_vector){.r = r,
                                       .down = mls_affine_shape(r, E, biased),
                                       .holds_keys = true,
                                       .holds_values = true};
    if (mls_converted_has(y->c, y->l, "kv_a_layernorm.weight"))
        f->latent[0].norm.n = r;
    f->rope_key[0] = (mls_rope_key){.n = n, .map = mls_affine_shape(n, E, biased)};
    for (size_t h = 0; h < f->H; h++)
        f->head[h] =
            (mls_read_head){.n_key = y->of->mla_nope_dim,
                            .key = mls_affine_shape(y->of->mla_nope_dim, r, false),
                            .n_value = y->of->mla_value_dim,
                            .value = mls_affine_shape(y->of->mla_value_dim, r, false)};
    f->output.biased = mls_converted_has(y->c, y->l, "o_proj.bias");
    f->query.biased =
        mls_converted_has(y->c, y->l, low ? "q_b_proj.bias" : "q_proj.bias");
    if (!low)
        return;
    f->q_rank = y->of->mla_q_lora_rank;
    f->q_down =
        mls_affine_shape(f->q_rank, E, mls_converted_has(y->c, y->l, "q_a_proj.bias"));
    if (mls_converted_has(y->c, y->l, "q_a_layernorm.weight"))
        f->q_down_norm.n = f->q_rank;
}

static mls_status read_queries(const layer *y, bool low, mls_err *err)
{
    mls_latent_form *f = y->f;
    const size_t nope = y->of->mla_nope_dim, width = nope + y->of->mla_rope_dim;
    mls_status st = MLS_OK;

    if (low)
        st = mls_converted_map(&f->q_down, y->c, y->l, "q_a_proj", err);
    if (!st && f->q_down_norm.n)
        st = mls_converted_read(f->q_down_norm.w, y->c, y->l, "q_a_layernorm.weight",
                                f->q_rank, 0, err);
    if (!st)
        st = mls_converted_map(&f->query, y->c, y->l, low ? "q_b_proj" : "q_proj", err);
    for (size_t h = 0; h < f->H && !st; h++) {
        const mls_affine rope =
            mls_affine_rows(&f->query, h * width + nope, y->of->mla_rope_dim);

        st = half_split(y, rope.w, rope.cols, err);
        if (!st)
            st = half_split(y, rope.b, 1, err);
    }
    return st;
}

/* The latent and the rope key, stacked in one tensor. */
static mls_status read_down(const layer *y, mls_err *err)
{
    mls_latent_form *f = y->f;
    const size_t r = f->latent[0].r, n = f->rope_key[0].n;
    mls_affine both = {0};
    mls_status st;

    if ((st = mls_converted_take(&both, y->c, y->l, "kv_a_proj_with_mqa", r + n, f->E,
                                 err)) ||
        (f->latent[0].norm.n &&
         (st = mls_converted_read(f->latent[0].norm.w, y->c, y->l,
                                  "kv_a_layernorm.weight", r, 0, err))))
        goto done;
    const mls_affine latent = mls_affine_rows(&both, 0, r);
    const mls_affine rope = mls_affine_rows(&both, r, n);

    if ((st = half_split(y, rope.w, f->E, err)) || (st = half_split(y, rope.b, 1, err)))
        goto done;
    mls_affine_put(&f->latent[0].down, 0, &latent, NULL, r);
    mls_affine_put(&f->rope_key[0].map, 0, &rope, NULL, n);
    mls_rope_frequencies(f->rope_key[0].inv_freq, &y->of->rope, n);

done:
    free(both.w);
    return st;
}

static mls_status read_up(const layer *y, mls_err *err)
{
    const size_t r = y->of->mla_kv_lora_rank, nope = y->of->mla_nope_dim;
    const size_t value = y->of->mla_value_dim, rows = nope + value;
    mls_affine up;
    const mls_status st =
        mls_converted_take(&up, y->c, y->l, "kv_b_proj", y->f->H * rows, r, err);

    for (size_t h = 0; h < y->f->H && !st; h++) {
        const mls_affine key = mls_affine_rows(&up, h * rows, nope);
        const mls_affine values = mls_affine_rows(&up, h * rows + nope, value);

        mls_affine_put(&y->f->head[h].key, 0, &key, NULL, nope);
        mls_affine_put(&y->f->head[h].value, 0, &values, NULL, value);
    }
    free(up.w);
    return st;
}

/* What is added to the hidden states, as the original adds it. */
static void unscale(mls_affine *a, double residual)
{
    for (size_t i = 0; i < a->rows * a->cols; i++)
        a->w[i] = (float)((double)a->w[i] / residual);
    for (size_t i = 0; a->b && i < a->rows; i++)
        a->b[i] = (float)((double)a->b[i] / residual);
}

static mls_status refuse(const mls_checkpoint *c, size_t l, mls_err *err)
{
    const mls_config *of = mls_checkpoint_config(c);
    const char *folder = mls_checkpoint_folder(c);

    if (!of->mla_rope_dim || of->mla_rope_dim % 2 || !of->mla_nope_dim ||
        !of->mla_value_dim)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: qk_rope_head_dim %zu, qk_nope_head_dim %zu and v_head_dim "
                        "%zu make no attention",
                        folder, of->mla_rope_dim, of->mla_nope_dim, of->mla_value_dim);
    if (of->rope.type == MLS_ROPE_OTHER)
        return mls_fail(err, MLS_E_INPUT, "%s: its RoPE scaling is not computed",
                        folder);
    if (mls_converted_has(c, l, "kv_b_proj.bias"))
        return mls_fail(err, MLS_E_INPUT,
                        "%s: layer %zu has kv_b_proj.bias, which DeepSeek-V3 has not",
                        folder, l);
    return MLS_OK;
}

mls_status mls_converted_deepseek(mls_latent_form *f, const mls_checkpoint *c,
                                  const mls_converted_config *how,
                                  const mls_config *config, size_t l, mls_err *err)
{
    const mls_config *of = mls_checkpoint_config(c);
    const layer y = {f, c, how, of, l};
    const double width = (double)(of->mla_nope_dim + of->mla_rope_dim);
    mls_status st = refuse(c, l, err);

    *f = (mls_latent_form){0};
    if (st || (st = mls_converted_begin(f, config, l, of->H, 1, 1, err)))
        return st;
    const bool low = mls_converted_has(c, l, "q_a_proj.weight");

    f->norm_eps = how->norm_eps > 0 ? how->norm_eps : of->rms_eps;
    f->scale = 1.0 / sqrt(how->query_scalar > 0 ? how->query_scalar : width);
    set_shape(&y, low);
    st = mls_latent_allocate(f, err);
    if (!st && !(st = read_queries(&y, low, err)) && !(st = read_down(&y, err)) &&
        !(st = read_up(&y, err)))
        st = mls_converted_map(&f->output, c, l, "o_proj", err);
    if (!st && how->residual > 0)
        unscale(&f->output, how->residual);
    return mls_latent_end(f, st, err);
}
