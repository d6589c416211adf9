/*
 * Checkpoints in DeepSeek-V3's names, read back as latent forms; X-EcoMLA's have them
 * behind "mla.", ranks of their own in every layer, and layers left as they were.
 */
#include <math.h>
#include <stdio.h>
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
    bool mla; /* X-EcoMLA: names begin with "mla.", the output is out_proj */
} layer;

/* --- Its tensors, by DeepSeek's names --- */

enum { NAME = 64 };

static const char *name_of(char name[NAME], const layer *y, const char *what)
{
    snprintf(name, NAME, "%s%s", y->mla ? "mla." : "", what);
    return name;
}

static bool has(const layer *y, const char *what)
{
    char name[NAME];

    return mls_converted_has(y->c, y->l, name_of(name, y, what));
}

static mls_status read_vector(float *out, const layer *y, const char *what, size_t n,
                              mls_err *err)
{
    char name[NAME];

    return mls_converted_read(out, y->c, y->l, name_of(name, y, what), n, 0, err);
}

static mls_status read_map(mls_affine *to, const layer *y, const char *what,
                           mls_err *err)
{
    char name[NAME];

    return mls_converted_map(to, y->c, y->l, name_of(name, y, what), err);
}

static mls_status take(mls_affine *to, const layer *y, const char *what, size_t rows,
                       size_t cols, mls_err *err)
{
    char name[NAME];

    return mls_converted_take(to, y->c, y->l, name_of(name, y, what), rows, cols, err);
}

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
    const bool biased = has(y, "kv_a_proj_with_mqa.bias");
    mls_latent_form *f = y->f;

    f->latent[0] = (mls_latent_vector){.r = r,
                                       .down = mls_affine_shape(r, E, biased),
                                       .holds_keys = true,
                                       .holds_values = true};
    if (has(y, "kv_a_layernorm.weight"))
        f->latent[0].norm.n = r;
    f->rope_key[0] = (mls_rope_key){.n = n, .map = mls_affine_shape(n, E, biased)};
    for (size_t h = 0; h < f->H; h++)
        f->head[h] =
            (mls_read_head){.n_key = y->of->mla_nope_dim,
                            .key = mls_affine_shape(y->of->mla_nope_dim, r, false),
                            .n_value = y->of->mla_value_dim,
                            .value = mls_affine_shape(y->of->mla_value_dim, r, false)};
    f->output.biased = has(y, y->mla ? "out_proj.bias" : "o_proj.bias");
    f->query.biased = has(y, low ? "q_b_proj.bias" : "q_proj.bias");
    if (!low)
        return;
    f->q_rank = y->of->mla_q_lora_rank;
    f->q_down = mls_affine_shape(f->q_rank, E, has(y, "q_a_proj.bias"));
    if (has(y, "q_a_layernorm.weight"))
        f->q_down_norm.n = f->q_rank;
}

static mls_status read_queries(const layer *y, bool low, mls_err *err)
{
    mls_latent_form *f = y->f;
    const size_t nope = y->of->mla_nope_dim, width = nope + y->of->mla_rope_dim;
    mls_status st = MLS_OK;

    if (low)
        st = read_map(&f->q_down, y, "q_a_proj", err);
    if (!st && f->q_down_norm.n)
        st = read_vector(f->q_down_norm.w, y, "q_a_layernorm.weight", f->q_rank, err);
    if (!st)
        st = read_map(&f->query, y, low ? "q_b_proj" : "q_proj", err);
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

    if ((st = take(&both, y, "kv_a_proj_with_mqa", r + n, f->E, err)) ||
        (f->latent[0].norm.n &&
         (st = read_vector(f->latent[0].norm.w, y, "kv_a_layernorm.weight", r, err))))
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
    const mls_status st = take(&up, y, "kv_b_proj", y->f->H * rows, r, err);

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

/* The form of a layer whose sizes `of` says. */
static mls_status read_layer(mls_latent_form *f, const mls_checkpoint *c,
                             const mls_converted_config *how, const mls_config *of,
                             const mls_config *config, size_t l, mls_err *err)
{
    const layer y = {f, c, how, of, l, how->is_x_ecomla};
    const double width = (double)(of->mla_nope_dim + of->mla_rope_dim);
    mls_status st;

    if ((st = mls_converted_begin(f, config, l, of->H, 1, 1, err)))
        return st;
    const bool low = has(&y, "q_a_proj.weight");

    f->norm_eps = how->norm_eps > 0 ? how->norm_eps : of->rms_eps;
    f->scale = 1.0 / sqrt(how->query_scalar > 0 ? how->query_scalar : width);
    set_shape(&y, low);
    st = mls_latent_allocate(f, err);
    if (!st && !(st = read_queries(&y, low, err)) && !(st = read_down(&y, err)) &&
        !(st = read_up(&y, err)))
        st = read_map(&f->output, &y, y.mla ? "out_proj" : "o_proj", err);
    if (!st && how->residual > 0)
        unscale(&f->output, how->residual);
    return mls_latent_end(f, st, err);
}

mls_status mls_converted_deepseek(mls_latent_form *f, const mls_checkpoint *c,
                                  const mls_converted_config *how,
                                  const mls_config *config, size_t l, mls_err *err)
{
    const mls_status st = refuse(c, l, err);

    *f = (mls_latent_form){0};
    return st ? st : read_layer(f, c, how, mls_checkpoint_config(c), config, l, err);
}

/* --- X-EcoMLA --- */

/* A layer that was left as it is. */
static mls_status read_kept(mls_latent_form *f, const mls_checkpoint *c,
                            const mls_config *config, size_t l, mls_err *err)
{
    const size_t E = config->E, H = config->H, G = config->G, D = config->D;
    mls_affine q = {0}, k = {0}, v = {0}, o = {0};
    mls_status st;

    if (!(st = mls_converted_take(&q, c, l, "q_proj", H * D, E, err)) &&
        !(st = mls_converted_take(&k, c, l, "k_proj", G * D, E, err)) &&
        !(st = mls_converted_take(&v, c, l, "v_proj", G * D, E, err)))
        st = mls_converted_take(&o, c, l, "o_proj", E, H * D, err);
    if (!st) {
        const mls_layer own = {.index = l,
                               .wq = q.w,
                               .bq = q.b,
                               .wk = k.w,
                               .bk = k.b,
                               .wv = v.w,
                               .bv = v.b,
                               .wo = o.w,
                               .bo = o.b};

        st = mls_latent_identity(f, config, &own, err);
    }
    free(q.w);
    free(k.w);
    free(v.w);
    free(o.w);
    return st;
}

/* What YaRN multiplies rotated queries and keys by, and scores. */
static void apply_gains(mls_latent_form *f, const mls_converted_config *how)
{
    const float by = how->rope.attention > 0 ? (float)how->rope.attention : 1;
    const size_t width = how->nope_dim + how->rope_dim;
    mls_affine parts[MLS_HEADS_MAX + 1];
    size_t n = 0;

    for (size_t h = 0; h < f->H; h++)
        parts[n++] =
            mls_affine_rows(&f->query, h * width + how->nope_dim, how->rope_dim);
    parts[n++] = f->rope_key[0].map;
    for (size_t p = 0; p < n; p++)
        for (size_t i = 0; i < parts[p].rows; i++) {
            for (size_t j = 0; j < parts[p].cols; j++)
                parts[p].w[i * parts[p].cols + j] *= by;
            if (parts[p].b)
                parts[p].b[i] *= by;
        }
    if (how->rope_scale > 0)
        f->scale *= how->rope_scale;
}

mls_status mls_converted_x_ecomla(mls_latent_form *f, const mls_checkpoint *c,
                                  const mls_converted_config *how,
                                  const mls_config *config, size_t l, mls_err *err)
{
    const char *folder = mls_checkpoint_folder(c);
    mls_config of = *mls_checkpoint_config(c);
    size_t rows = 0;
    mls_status st;

    *f = (mls_latent_form){0};
    if (!mls_converted_has(c, l, "mla.kv_b_proj.weight"))
        return read_kept(f, c, config, l, err);
    if (!how->rope_dim || how->rope_dim % 2 || !how->nope_dim || !how->value_dim)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: qk_rope_head_dim %zu, qk_nope_head_dim %zu and v_head_dim "
                        "%zu make no attention",
                        folder, how->rope_dim, how->nope_dim, how->value_dim);
    st = mls_converted_rows(&rows, c, l, "mla.kv_a_proj_with_mqa.weight", err);
    if (!st && rows <= how->rope_dim)
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: layer %zu: mla.kv_a_proj_with_mqa.weight has %zu rows, and "
                      "qk_rope_head_dim is %zu",
                      folder, l, rows, how->rope_dim);
    of.mla_kv_lora_rank = rows - how->rope_dim;
    if (!st && mls_converted_has(c, l, "mla.q_a_proj.weight"))
        st = mls_converted_rows(&of.mla_q_lora_rank, c, l, "mla.q_a_proj.weight", err);
    if (st)
        return st;
    of.mla_rope_dim = how->rope_dim;
    of.mla_nope_dim = how->nope_dim;
    of.mla_value_dim = how->value_dim;
    of.rope = how->rope;
    st = read_layer(f, c, how, &of, config, l, err);
    if (!st)
        apply_gains(f, how);
    return st;
}
