/* A checkpoint that MHA2MLA wrote, read back as latent forms. */
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
    const size_t H = y->config->H, D = y->config->D;
    mls_affine all;
    const mls_status st =
        mls_converted_take(&all, y->c, y->l, "q_proj", H * D, y->config->E, err);

    for (size_t h = 0; h < H && !st; h++) {
        size_t rows[MLS_DIM_MAX];

        for (size_t i = 0; i < D; i++)
            rows[i] =
                i < y->nope ? H * y->rope + h * y->nope + i : h * y->rope + i - y->nope;
        mls_affine_put(&y->f->query, h * D, &all, rows, D);
    }
    free(all.w);
    return st;
}

static mls_status read_rope_keys(const layer *y, const mls_selection *s, mls_err *err)
{
    double inv_freq[MLS_DIM_MAX / 2];
    size_t rope[MLS_DIM_MAX], nope[MLS_DIM_MAX];
    mls_affine all;
    const mls_status st = mls_converted_take(&all, y->c, y->l, "k_r_proj",
                                             y->heads * y->rope, y->config->E, err);

    mls_layer_frequencies(inv_freq, y->config, y->l);
    for (size_t h = 0; h < y->heads && !st; h++) {
        const mls_affine key = mls_affine_rows(&all, h * y->rope, y->rope);

        mls_partial_dims(s, h, rope, nope);
        mls_affine_put(&y->f->rope_key[h].map, 0, &key, NULL, y->rope);
        for (size_t i = 0; i < y->rope / 2; i++)
            y->f->rope_key[h].inv_freq[i] = inv_freq[rope[i]];
    }
    free(all.w);
    return st;
}

/* What one side, keys or values, is read from. */
typedef struct {
    const char *up;    /* name, or of the plain map where there is no latent */
    size_t n;          /* rows of it for one head */
    size_t heads;      /* of this side in the file */
    size_t at;         /* its latent, or the first of its heads' */
    bool keys, latent; /* latent: factorized */
    bool biased;
} side;

/* A latent of the rows of tensor `down`. */
static mls_status place_latent(const layer *y, size_t at, const char *down, bool keys,
                               bool values, mls_err *err)
{
    mls_latent_vector *v = &y->f->latent[at];
    const mls_status st = mls_converted_rows(&v->r, y->c, y->l, down, err);

    v->holds_keys = keys;
    v->holds_values = values;
    v->down = mls_affine_shape(v->r, y->config->E, false);
    return st;
}

/*
 * Every head as read back reads latent `at`; without a latent the side is a plain
 * linear map of x, which each head of the file caches as it is.
 */
static void place_side(const layer *y, const side *s)
{
    for (size_t h = 0; !s->latent && h < s->heads; h++)
        y->f->latent[s->at + h] = (mls_latent_vector){
            .r = s->n,
            .holds_keys = s->keys,
            .holds_values = !s->keys,
            .down = mls_affine_shape(s->n, y->config->E, s->biased)};
    for (size_t g = 0; g < y->f->G; g++) {
        mls_read_head *head = &y->f->head[g];
        const size_t at = s->at + (s->latent ? 0 : g / (y->f->G / s->heads));

        *(s->keys ? &head->key_latent : &head->value_latent) = (int)at;
        *(s->keys ? &head->n_key : &head->n_value) = s->n;
        if (s->latent)
            *(s->keys ? &head->key : &head->value) =
                mls_affine_shape(s->n, y->f->latent[at].r, s->biased);
    }
}

static mls_status read_side(const layer *y, const side *s, mls_err *err)
{
    const size_t columns = s->latent ? y->f->latent[s->at].r : y->config->E;
    mls_affine up;
    const mls_status st =
        mls_converted_take(&up, y->c, y->l, s->up, s->heads * s->n, columns, err);

    for (size_t g = 0; g < y->f->G && !st; g++) {
        const size_t h = g / (y->f->G / s->heads);
        const mls_affine rows = mls_affine_rows(&up, h * s->n, s->n);
        mls_affine *to = !s->latent ? &y->f->latent[s->at + h].down
                         : s->keys  ? &y->f->head[g].key
                                    : &y->f->head[g].value;

        mls_affine_put(to, 0, &rows, NULL, s->n);
    }
    free(up.w);
    return st;
}

/* Latents of both sides, placed and then read. */
static mls_status read_kv(const layer *y, bool joint, bool low_k, bool low_v,
                          const mls_selection *s, mls_err *err)
{
    static const char down_kv[] = "kv_proj.down_kv.weight";
    static const char down_k[] = "kv_proj.down_k.weight";
    static const char down_v[] = "kv_proj.down_v.weight";
    const size_t n_k = y->nope == 0 ? 0 : low_k ? 1 : y->heads;
    mls_latent_form *f = y->f;
    const side k = {.up = "kv_proj.up_k",
                    .n = y->nope,
                    .heads = y->heads,
                    .keys = true,
                    .latent = joint || low_k,
                    .biased = mls_converted_has(y->c, y->l, "kv_proj.up_k.bias")};
    const side v = {.up = "kv_proj.up_v",
                    .n = y->config->D,
                    .heads = y->config->G,
                    .at = joint ? 0 : n_k,
                    .latent = joint || low_v,
                    .biased = mls_converted_has(y->c, y->l, "kv_proj.up_v.bias")};
    mls_status st = MLS_OK;

    if (joint)
        st = place_latent(y, 0, down_kv, true, true, err);
    if (!st && !joint && n_k && low_k)
        st = place_latent(y, 0, down_k, true, false, err);
    if (!st && !joint && low_v)
        st = place_latent(y, n_k, down_v, false, true, err);
    if (st)
        return st;
    if (y->nope > 0)
        place_side(y, &k);
    place_side(y, &v);
    for (size_t h = 0; h < y->heads; h++) {
        f->rope_key[h] = (mls_rope_key){
            .n = y->rope,
            .map = mls_affine_shape(y->rope, y->config->E,
                                    mls_converted_has(y->c, y->l, "k_r_proj.bias"))};
        f->head[h].rope_key = (int)h;
    }
    if ((st = mls_latent_allocate(f, err)) || (st = read_queries(y, err)) ||
        (st = read_rope_keys(y, s, err)))
        return st;
    if (joint || (n_k && low_k))
        st = mls_converted_read(f->latent[0].down.w, y->c, y->l,
                                joint ? down_kv : down_k, f->latent[0].r, f->E, err);
    if (!st && !joint && low_v)
        st = mls_converted_read(f->latent[n_k].down.w, y->c, y->l, down_v,
                                f->latent[n_k].r, f->E, err);
    if (!st && y->nope > 0)
        st = read_side(y, &k, err);
    return st ? st : read_side(y, &v, err);
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
    f->query.biased = mls_converted_has(c, l, "q_proj.bias");
    f->output.biased = mls_converted_has(c, l, "o_proj.bias");
    st = read_kv(&y, joint, low_k, low_v, s, err);
    if (!st)
        st = mls_converted_map(&f->output, c, l, "o_proj", err);
    return mls_latent_end(f, st, err);
}
