/* A checkpoint that MHA2MLA wrote, read back as latent forms. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/frequency/select_fixed.h"
#include "analysis/model/rope.h"
#include "bench/frame/partial.h"
#include "bench/methods/converted.h"
#include "bench/methods/converted_tensors.h"
#include "common/base/checked.h"
#include "common/system/files.h"
#include "datasets/files/rankfile.h"

/* --- Which chunks --- */

/* The rank file beside the checkpoint, or where config.json says. */
static mls_status find_rank_file(char **path, const mls_checkpoint *c,
                                 const mls_converted_config *how, mls_err *err)
{
    const char *slash = strrchr(how->rank_file, '/');
    const char *folder = mls_checkpoint_folder(c);

    *path = NULL;
    if (!how->rank_file[0])
        return mls_fail(err, MLS_E_INPUT,
                        "%s: config.json: partial_rope_version is \"%s\", which needs "
                        "a rank file, but qk_tensor_path is missing",
                        folder, how->rule);
    *path = mls_path_join(folder, slash ? slash + 1 : how->rank_file);
    if (*path && !mls_file_exists(*path)) {
        free(*path);
        *path = strdup(how->rank_file);
    }
    if (!*path)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a file name");
    if (mls_file_exists(*path))
        return MLS_OK;
    free(*path);
    *path = NULL;
    return mls_fail(err, MLS_E_INPUT,
                    "%s does not say which chunks it keeps, only that %s does, and "
                    "that file is not there: put it beside the checkpoint",
                    folder, how->rank_file);
}

static mls_status chunks_of_file(mls_selection *s, const mls_checkpoint *c,
                                 const mls_converted_config *how,
                                 const mls_config *config, size_t heads, mls_err *err)
{
    const size_t C = config->D / 2;
    mls_rankfile f = {0};
    char *path;
    mls_status st = find_rank_file(&path, c, how, err);

    if (!st)
        st = mls_rankfile_read(&f, path, err);
    if (!st && (f.L != config->L || f.heads != heads || f.C != C))
        st = mls_fail(err, MLS_E_INPUT,
                      "%s has %zu layers, %zu heads and %zu chunks, but the checkpoint "
                      "in %s has %zu, %zu and %zu",
                      path, f.L, f.heads, f.C, mls_checkpoint_folder(c), config->L,
                      heads, C);
    for (size_t l = 0; !st && l < config->L; l++)
        memcpy(s[l].order, f.order + l * heads * C, heads * C * sizeof *f.order);
    mls_rankfile_free(&f);
    free(path);
    return st;
}

/* The same chunks in every head of every layer. */
static mls_status chunks_of_rule(mls_selection *s, const mls_checkpoint *c,
                                 const mls_converted_config *how,
                                 const mls_config *config, size_t heads, mls_err *err)
{
    const size_t C = config->D / 2, kept = how->rope_dim / 2;
    uint16_t order[MLS_DIM_MAX / 2];
    mls_status st = MLS_OK;

    if (strcmp(how->rule, "high") == 0)
        mls_order_high(order, C);
    else if (strcmp(how->rule, "low") == 0)
        mls_order_low(order, C);
    else if (strcmp(how->rule, "uniform") == 0)
        st = mls_order_uniform(order, C, kept, how->uniform_start, err);
    else
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: config.json: partial_rope_version is \"%s\", expected "
                      "2-norm, mkl, high, low or uniform",
                      mls_checkpoint_folder(c), how->rule);
    for (size_t l = 0; !st && l < config->L; l++)
        for (size_t h = 0; h < heads; h++)
            memcpy(s[l].order + h * C, order, C * sizeof *order);
    return st;
}

mls_status mls_converted_mha2mla_chunks(mls_selection *s, const mls_checkpoint *c,
                                        const mls_converted_config *how,
                                        const mls_config *config, mls_err *err)
{
    const bool from_file =
        strcmp(how->rule, "2-norm") == 0 || strcmp(how->rule, "mkl") == 0;
    const size_t heads = how->per_query_head ? config->H : config->G;
    mls_status st = MLS_OK;

    for (size_t l = 0; l < config->L; l++)
        s[l] = (mls_selection){0};
    if (how->rope_dim > config->D)
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: config.json: rope_dim_for_mla is %zu, but a head has %zu "
                      "dims",
                      mls_checkpoint_folder(c), how->rope_dim, config->D);
    for (size_t l = 0; !st && l < config->L; l++)
        st = mls_selection_new(&s[l], heads, config->D / 2, err);
    for (size_t l = 0; !st && l < config->L; l++)
        for (size_t h = 0; h < heads; h++)
            s[l].count[h] = how->rope_dim / 2;
    if (!st)
        st = from_file ? chunks_of_file(s, c, how, config, heads, err)
                       : chunks_of_rule(s, c, how, config, heads, err);
    for (size_t l = 0; st && l < config->L; l++)
        mls_selection_free(&s[l]);
    return st;
}

/* --- One layer --- */

/* Sizes of a layer and where its parts come from. */
typedef struct {
    mls_latent_form *f;
    const mls_checkpoint *c;
    const mls_config *config;
    size_t l, heads, rope, nope; /* heads: those of the keys; dims of each */
} layer;

/*
 * Rows of the file, [all heads' rope][all heads' nope], to [nope; rope] of each head.
 */
static mls_status read_queries(const layer *y, mls_err *err)
{
    const size_t H = y->config->H, D = y->config->D, E = y->config->E;
    float *w = NULL, *b = NULL;
    mls_status st;

    if ((st = mls_converted_read(&w, y->c, y->l, "q_proj.weight", H * D, E, err)) ||
        (st = mls_converted_read_bias(&b, y->c, y->l, "q_proj.bias", H * D, err)))
        goto done;
    y->f->query.w = mls_calloc3(H * D, E, 1, sizeof *w);
    y->f->query.b = b ? mls_calloc3(H * D, 1, 1, sizeof *b) : NULL;
    if (!y->f->query.w || (b && !y->f->query.b)) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for layer %zu", y->l);
        goto done;
    }
    for (size_t h = 0; h < H; h++)
        for (size_t i = 0; i < D; i++) {
            const size_t from =
                i < y->nope ? H * y->rope + h * y->nope + i : h * y->rope + i - y->nope;

            memcpy(y->f->query.w + (h * D + i) * E, w + from * E, E * sizeof *w);
            if (b)
                y->f->query.b[h * D + i] = b[from];
        }

done:
    free(w);
    free(b);
    return st;
}

static mls_status read_rope_keys(const layer *y, const mls_selection *s, mls_err *err)
{
    const size_t E = y->config->E;
    double inv_freq[MLS_DIM_MAX / 2];
    size_t rope[MLS_DIM_MAX], nope[MLS_DIM_MAX];
    float *w = NULL, *b = NULL;
    bool failed = false;
    mls_status st;

    if ((st = mls_converted_read(&w, y->c, y->l, "k_r_proj.weight", y->heads * y->rope,
                                 E, err)) ||
        (st = mls_converted_read_bias(&b, y->c, y->l, "k_r_proj.bias",
                                      y->heads * y->rope, err)))
        goto done;
    mls_rope_frequencies(inv_freq, &y->config->rope, y->config->D);
    for (size_t h = 0; h < y->heads; h++) {
        mls_rope_key *key = &y->f->rope_key[h];

        mls_partial_dims(s, h, rope, nope);
        key->n = y->rope;
        key->map.w = mls_converted_copy(w, h * y->rope, y->rope, E, &failed);
        key->map.b = mls_converted_copy(b, h * y->rope, y->rope, 1, &failed);
        key->inv_freq = mls_calloc3(y->rope / 2, 1, 1, sizeof *key->inv_freq);
        if (failed || !key->inv_freq) {
            st = mls_fail(err, MLS_E_NOMEM, "no memory for layer %zu", y->l);
            goto done;
        }
        for (size_t i = 0; i < y->rope / 2; i++)
            key->inv_freq[i] = inv_freq[rope[i]];
        y->f->head[h].rope_key = (int)h;
    }

done:
    free(w);
    free(b);
    return st;
}

/* What one side, keys or values, is read from. */
typedef struct {
    const char *down, *up, *up_bias; /* names */
    size_t n;                        /* rows of up for one head */
    size_t heads;                    /* of this side in the file */
    bool keys;
} side;

/* A latent of its own for the side, or `at` of another that holds both. */
static mls_status read_latent(const layer *y, size_t at, const char *down, bool keys,
                              bool values, mls_err *err)
{
    mls_latent_vector *v = &y->f->latent[at];
    mls_status st = mls_converted_rows(&v->r, y->c, y->l, down, err);

    v->holds_keys = keys;
    v->holds_values = values;
    return st ? st
              : mls_converted_read(&v->down.w, y->c, y->l, down, v->r, y->config->E,
                                   err);
}

/*
 * Up-projections of every head as read back, from latent `at`; without a latent the
 * side is a plain linear map of x, which each head of the file caches as it is.
 */
static mls_status read_side(const layer *y, const side *s, size_t at, bool low_rank,
                            mls_err *err)
{
    const size_t columns = low_rank ? y->f->latent[at].r : y->config->E;
    const size_t repeat = y->f->G / s->heads;
    float *up = NULL, *b = NULL;
    bool failed = false;
    mls_status st;

    if ((st = mls_converted_read(&up, y->c, y->l, s->up, s->heads * s->n, columns,
                                 err)) ||
        (st =
             mls_converted_read_bias(&b, y->c, y->l, s->up_bias, s->heads * s->n, err)))
        goto done;
    for (size_t h = 0; !low_rank && h < s->heads; h++)
        y->f->latent[at + h] = (mls_latent_vector){
            .r = s->n,
            .holds_keys = s->keys,
            .holds_values = !s->keys,
            .down.w = mls_converted_copy(up, h * s->n, s->n, columns, &failed),
            .down.b = mls_converted_copy(b, h * s->n, s->n, 1, &failed)};
    for (size_t g = 0; g < y->f->G; g++) {
        mls_read_head *head = &y->f->head[g];
        const size_t h = g / repeat;
        const int latent = (int)(low_rank ? at : at + h);
        float *rows = NULL, *bias = NULL;

        if (low_rank) {
            rows = mls_converted_copy(up, h * s->n, s->n, columns, &failed);
            bias = mls_converted_copy(b, h * s->n, s->n, 1, &failed);
        }
        if (s->keys) {
            head->key_latent = latent;
            head->n_key = s->n;
            head->key.w = rows;
            head->key.b = bias;
        } else {
            head->value_latent = latent;
            head->n_value = s->n;
            head->value.w = rows;
            head->value.b = bias;
        }
    }
    if (failed)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for layer %zu", y->l);

done:
    free(up);
    free(b);
    return st;
}

static mls_status read_kv(const layer *y, bool joint, bool low_k, bool low_v,
                          mls_err *err)
{
    const side k = {"kv_proj.down_k.weight",
                    "kv_proj.up_k.weight",
                    "kv_proj.up_k.bias",
                    y->nope,
                    y->heads,
                    true};
    const side v = {"kv_proj.down_v.weight",
                    "kv_proj.up_v.weight",
                    "kv_proj.up_v.bias",
                    y->config->D,
                    y->config->G,
                    false};
    const size_t n_k = y->nope == 0 ? 0 : low_k ? 1 : y->heads;
    mls_status st = MLS_OK;

    if (joint)
        st = read_latent(y, 0, "kv_proj.down_kv.weight", true, true, err);
    if (!st && !joint && low_k)
        st = read_latent(y, 0, k.down, true, false, err);
    if (!st && !joint && low_v)
        st = read_latent(y, n_k, v.down, false, true, err);
    if (!st && y->nope > 0)
        st = read_side(y, &k, 0, joint || low_k, err);
    return st ? st : read_side(y, &v, joint ? 0 : n_k, joint || low_v, err);
}

mls_status mls_converted_mha2mla(mls_latent_form *f, const mls_checkpoint *c,
                                 const mls_selection *s, const mls_config *config,
                                 size_t l, mls_err *err)
{
    const bool joint = mls_converted_has(c, l, "kv_proj.down_kv.weight");
    const bool low_k = mls_converted_has(c, l, "kv_proj.down_k.weight");
    const bool low_v = mls_converted_has(c, l, "kv_proj.down_v.weight");
    const size_t rope = 2 * s->count[0], nope = config->D - rope;
    const layer y = {f, c, config, l, s->G, rope, nope};
    size_t n_latents = 1;
    mls_status st;

    *f = (mls_latent_form){0};
    if (!joint)
        n_latents = (nope == 0 ? 0 : low_k ? 1 : s->G) + (low_v ? 1 : config->G);
    if (config->qk_norm)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: the model has QK-norm, which MHA2MLA's conversion applies "
                        "to permuted rows: it is another function at any rank",
                        mls_checkpoint_folder(c));
    if (config->layer[l].no_rope || config->layer[l].window)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: layer %zu does not rotate or sees a window only, which "
                        "MHA2MLA does not convert",
                        mls_checkpoint_folder(c), l);
    if ((st = mls_converted_begin(f, config, l, s->G, n_latents, s->G, err)))
        return st;
    f->scale = 1.0 / sqrt((double)config->D);
    for (size_t g = 0; g < s->G; g++)
        f->head[g] = (mls_read_head){
            .key_latent = MLS_NONE, .rope_key = MLS_NONE, .value_latent = MLS_NONE};
    if ((st = read_queries(&y, err)) || (st = read_rope_keys(&y, s, err)) ||
        (st = read_kv(&y, joint, low_k, low_v, err)) ||
        (st = mls_converted_read(&f->output.w, c, l, "o_proj.weight", config->E,
                                 config->H * config->D, err)) ||
        (st = mls_converted_read_bias(&f->output.b, c, l, "o_proj.bias", config->E,
                                      err)) ||
        (st = mls_latent_check(f, err)))
        mls_latent_free(f);
    return st;
}
