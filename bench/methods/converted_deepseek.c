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

/* Rows of one rope part, n of `columns` numbers: interleaved pairs to half-split. */
static mls_status split_halves(float *rows, size_t n, size_t columns, mls_err *err)
{
    float *copy = mls_calloc3(n, columns, 1, sizeof *copy);

    if (!copy)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu rows", n);
    memcpy(copy, rows, n * columns * sizeof *copy);
    for (size_t i = 0; i < n; i++)
        memcpy(rows + (i / 2 + i % 2 * (n / 2)) * columns, copy + i * columns,
               columns * sizeof *rows);
    free(copy);
    return MLS_OK;
}

static mls_status half_split(const layer *y, float *rows, size_t columns, mls_err *err)
{
    return y->how->rope_interleaved && rows
               ? split_halves(rows, y->of->mla_rope_dim, columns, err)
               : MLS_OK;
}

static mls_status read_queries(const layer *y, mls_err *err)
{
    mls_latent_form *f = y->f;
    const size_t nope = y->of->mla_nope_dim, width = nope + y->of->mla_rope_dim;
    const bool low = mls_converted_has(y->c, y->l, "q_a_proj.weight");
    const size_t columns = low ? y->of->mla_q_lora_rank : f->E;
    mls_status st = MLS_OK;

    if (low) {
        f->q_rank = columns;
        if ((st = mls_converted_read(&f->q_down.w, y->c, y->l, "q_a_proj.weight",
                                     columns, f->E, err)) ||
            (st = mls_converted_read_bias(&f->q_down.b, y->c, y->l, "q_a_proj.bias",
                                          columns, err)) ||
            (st = mls_converted_read_bias(&f->q_down_norm, y->c, y->l,
                                          "q_a_layernorm.weight", columns, err)))
            return st;
    }
    if ((st = mls_converted_read(&f->query.w, y->c, y->l,
                                 low ? "q_b_proj.weight" : "q_proj.weight",
                                 f->H * width, columns, err)) ||
        (st = mls_converted_read_bias(&f->query.b, y->c, y->l,
                                      low ? "q_b_proj.bias" : "q_proj.bias",
                                      f->H * width, err)))
        return st;
    for (size_t h = 0; h < f->H && !st; h++) {
        st = half_split(y, f->query.w + (h * width + nope) * columns, columns, err);
        if (!st)
            st = half_split(y, f->query.b ? f->query.b + h * width + nope : NULL, 1,
                            err);
    }
    return st;
}

/* The latent and the rope key, stacked in one tensor. */
static mls_status read_down(const layer *y, mls_err *err)
{
    mls_latent_form *f = y->f;
    const size_t r = y->of->mla_kv_lora_rank, n = y->of->mla_rope_dim;
    float *w = NULL, *b = NULL;
    bool failed = false;
    mls_status st;

    if ((st = mls_converted_read(&w, y->c, y->l, "kv_a_proj_with_mqa.weight", r + n,
                                 f->E, err)) ||
        (st = mls_converted_read_bias(&b, y->c, y->l, "kv_a_proj_with_mqa.bias", r + n,
                                      err)) ||
        (st = mls_converted_read_bias(&f->latent[0].norm, y->c, y->l,
                                      "kv_a_layernorm.weight", r, err)) ||
        (st = half_split(y, w + r * f->E, f->E, err)) ||
        (st = half_split(y, b ? b + r : NULL, 1, err)))
        goto done;
    f->latent[0].r = r;
    f->latent[0].holds_keys = true;
    f->latent[0].holds_values = true;
    f->latent[0].down.w = mls_converted_copy(w, 0, r, f->E, &failed);
    f->latent[0].down.b = mls_converted_copy(b, 0, r, 1, &failed);
    f->rope_key[0].n = n;
    f->rope_key[0].map.w = mls_converted_copy(w, r, n, f->E, &failed);
    f->rope_key[0].map.b = mls_converted_copy(b, r, n, 1, &failed);
    f->rope_key[0].inv_freq = mls_calloc3(n / 2, 1, 1, sizeof(double));
    if (failed || !f->rope_key[0].inv_freq)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for layer %zu", y->l);
    else
        mls_rope_frequencies(f->rope_key[0].inv_freq, &y->of->rope, n);

done:
    free(w);
    free(b);
    return st;
}

static mls_status read_up(const layer *y, mls_err *err)
{
    const size_t r = y->of->mla_kv_lora_rank, nope = y->of->mla_nope_dim;
    const size_t value = y->of->mla_value_dim, rows = nope + value;
    float *w;
    bool failed = false;
    mls_status st =
        mls_converted_read(&w, y->c, y->l, "kv_b_proj.weight", y->f->H * rows, r, err);

    for (size_t h = 0; h < y->f->H && !st; h++) {
        y->f->head[h] = (mls_read_head){
            .n_key = nope,
            .key.w = mls_converted_copy(w, h * rows, nope, r, &failed),
            .n_value = value,
            .value.w = mls_converted_copy(w, h * rows + nope, value, r, &failed)};
        if (failed)
            st = mls_fail(err, MLS_E_NOMEM, "no memory for layer %zu", y->l);
    }
    free(w);
    return st;
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
    f->norm_eps = how->norm_eps > 0 ? how->norm_eps : of->rms_eps;
    f->scale = 1.0 / sqrt(how->query_scalar > 0 ? how->query_scalar : width);
    if ((st = read_queries(&y, err)) || (st = read_down(&y, err)) ||
        (st = read_up(&y, err)) ||
        (st = mls_converted_read(&f->output.w, c, l, "o_proj.weight", f->E,
                                 f->H * of->mla_value_dim, err)) ||
        (st = mls_converted_read_bias(&f->output.b, c, l, "o_proj.bias", f->E, err)) ||
        (st = mls_latent_check(f, err)))
        mls_latent_free(f);
    return st;
}
