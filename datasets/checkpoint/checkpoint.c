/* Opening a checkpoint and reading its tensors, of folders and of GGUF files alike. */
#include "datasets/checkpoint/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"
#include "common/numbers/finite.h"
#include "common/system/files.h"
#include "datasets/checkpoint/checkpoint_inner.h"
#include "datasets/checkpoint/tensors.h"

/* ---- what the tensors say beside the config ---- */

static bool has(const mls_checkpoint *c, const char *name)
{
    return mls_checkpoint_find(c, name, NULL) != NULL;
}

/* A tensor of layer 0 that is there although the config does not announce it. */
static void infer(mls_checkpoint *c, bool *flag, const char *name, const char *what)
{
    if (*flag || !has(c, name))
        return;
    *flag = true;
    mls_checkpoint_warn(
        c, "%s: %s does not announce %s, but \"%s\" is there: it is used", c->folder,
        c->gguf.n ? "the metadata" : "config.json", what, name);
}

static void infer_config(mls_checkpoint *c)
{
    mls_config *k = &c->config;

    infer(c, &k->qkv_bias, "model.layers.0.self_attn.q_proj.bias", "biases of q, k, v");
    infer(c, &k->o_bias, "model.layers.0.self_attn.o_proj.bias", "a bias of o");
    infer(c, &k->mlp_bias, "model.layers.0.mlp.gate_proj.bias", "biases of the MLP");
    infer(c, &k->qk_norm, "model.layers.0.self_attn.q_norm.weight", "norms of q and k");
}

/* Are the bytes of tensors i and j the same? False at the first difference. */
static bool same_bytes(const mls_checkpoint *c, size_t i, size_t j)
{
    enum { PIECE = 1 << 20 };
    const uint64_t n = c->tensors[i].info->n_bytes;
    char *a = malloc(2 * (size_t)PIECE), *b = a ? a + PIECE : NULL;
    bool same = a && !c->tensors[i].packed && !c->tensors[j].packed &&
                n == c->tensors[j].info->n_bytes &&
                strcmp(c->tensors[i].info->dtype, c->tensors[j].info->dtype) == 0;

    for (uint64_t at = 0; same && at < n; at += PIECE) {
        const size_t piece = n - at < PIECE ? (size_t)(n - at) : PIECE;

        same = !mls_checkpoint_read_raw(c, i, at, piece, a, NULL) &&
               !mls_checkpoint_read_raw(c, j, at, piece, b, NULL) &&
               memcmp(a, b, piece) == 0;
    }
    free(a);
    return same;
}

/*
 * A config that ties the head to the embeddings, and a head of its own in the file:
 * transformers uses the file's from version 5 on, and so does llama.cpp's converter. A
 * copy of the embeddings is no head of its own.
 */
static void infer_head(mls_checkpoint *c)
{
    mls_config untied = c->config;
    mls_tensor_need embed, head;
    const mls_tensor_info *found;
    size_t i, j;

    if (!c->config.tied_embeddings || c->gguf.n)
        return;
    untied.tied_embeddings = false;
    embed = mls_tensor_embed(&untied);
    head = mls_tensor_head(&untied);
    found = mls_checkpoint_find(c, head.name, &j);
    if (!found || !mls_checkpoint_find(c, embed.name, &i) ||
        mls_checkpoint_has(c, head.name, head.rows, head.cols, NULL) ||
        same_bytes(c, i, j))
        return;
    c->config.tied_embeddings = false;
    mls_checkpoint_warn(c,
                        "%s: config.json ties the output head to the embeddings, but "
                        "\"%s\" is another: the file's head is used, as transformers "
                        "from 5 on does",
                        c->folder, head.name);
    c->head_remark = c->n_warnings;
}

static int compare_need(const void *a, const void *b)
{
    return strcmp(((const mls_tensor_need *)a)->name,
                  ((const mls_tensor_need *)b)->name);
}

/*
 * Where the names of tensors that belong together end: behind a layer's number, or the
 * first word that says which part of the model they are.
 */
static size_t group_length(const mls_config *config, const char *name)
{
    const char *prefix = config->net.prefix ? config->net.prefix : "model.layers.%zu.";
    const char *number = strstr(prefix, "%zu"), *word = strchr(prefix, '.');
    const size_t layers = number ? (size_t)(number - prefix) : 0;
    const size_t root = word ? (size_t)(word - prefix) + 1 : 0;
    const char *at = name;

    if (layers && strncmp(name, prefix, layers) == 0)
        at += layers;
    else if (strncmp(name, prefix, root) == 0)
        at += root;
    at = strchr(at, '.');
    return at ? (size_t)(at - name) + 1 : strlen(name);
}

/* n tensors from entry e on, by name, are of one group. */
static void remark_group(mls_checkpoint *c, size_t n, const mls_checkpoint_entry *e,
                         size_t length)
{
    const char *path = c->shards[e->shard].path, *name = e->info->name;

    if (n == 1)
        mls_checkpoint_warn(c, "%s: tensor \"%.200s\" is not used by the model", path,
                            name);
    else if (n > 1)
        mls_checkpoint_warn(c,
                            "%s: %zu tensors that begin with \"%.*s\" are not used by "
                            "the model",
                            path, n, length > 200 ? 200 : (int)length, name);
}

/* Tensors that nothing asks for; buffers that old files carry along do no harm. */
static mls_status remark_unneeded(mls_checkpoint *c, mls_err *err)
{
    static const char buffer[] = ".rotary_emb.inv_freq";
    static const char frequencies[] = "rope_freqs.weight"; /* read with the config */
    const size_t n = mls_tensor_needs(&c->config);
    mls_tensor_need *needs = mls_calloc3(n, 1, 1, sizeof *needs);
    const mls_checkpoint_entry *group = NULL;
    size_t in_group = 0, length = 0;

    if (!needs)
        return mls_checkpoint_no_memory(c, err);
    for (size_t i = 0; i < n; i++)
        needs[i] = mls_tensor_need_at(&c->config, i);
    qsort(needs, n, sizeof *needs, compare_need);
    for (size_t i = 0; i < c->n_tensors; i++) {
        const char *name = c->by_name[i]->info->name;
        mls_tensor_need key = {.rows = 0};

        snprintf(key.name, sizeof key.name, "%s", name);
        if ((strlen(name) < sizeof key.name &&
             bsearch(&key, needs, n, sizeof *needs, compare_need)) ||
            strstr(name, buffer) || (c->gguf.n && strcmp(name, frequencies) == 0))
            continue;
        if (group && length == group_length(&c->config, name) &&
            strncmp(group->info->name, name, length) == 0) {
            in_group++;
            continue;
        }
        if (group)
            remark_group(c, in_group, group, length);
        group = c->by_name[i];
        length = group_length(&c->config, name);
        in_group = 1;
    }
    if (group)
        remark_group(c, in_group, group, length);
    free(needs);
    return MLS_OK;
}

/* ---- public ---- */

mls_status mls_checkpoint_open(mls_checkpoint **out, const char *folder, mls_err *err)
{
    mls_checkpoint *c = calloc(1, sizeof *c);
    const char *kind;
    mls_status st;

    *out = NULL;
    if (!c || !(c->folder = strdup(folder))) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory to open %s", folder);
        goto done;
    }
    if (mls_folder_exists(folder))
        st = mls_checkpoint_open_folder(c, err);
    else if (mls_gguf_is(folder))
        st = mls_checkpoint_open_gguf(c, err);
    else if ((kind = mls_file_kind(folder)))
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: is %s, expected a folder with a model or a GGUF file",
                      folder, kind);
    else if (*folder)
        st = mls_fail(err, MLS_E_INPUT,
                      mls_file_exists(folder)
                          ? "%s: is not a folder with a model, and not a GGUF file"
                          : "%s: is not a folder with a model",
                      folder);
    else
        st = mls_fail(err, MLS_E_INPUT, "the name of the model's folder is empty");
    if (st)
        goto done;
    if (!c->config.unsupported[0] && !c->gguf.n &&
        (st = mls_checkpoint_find_root(c, err)))
        goto done;
    infer_config(c);
    if (!c->config.unsupported[0])
        infer_head(c);
    if (!c->config.unsupported[0] && (st = remark_unneeded(c, err)))
        goto done;
    *out = c;
    c = NULL;

done:
    mls_checkpoint_close(c);
    return st;
}

void mls_checkpoint_close(mls_checkpoint *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n_shards; i++) {
        mls_safetensors_close(c->shards[i].file);
        free(c->shards[i].path);
        free(c->shards[i].name);
    }
    for (size_t i = 0; i < c->n_warnings; i++)
        free(c->warnings[i]);
    free(c->warnings);
    mls_gguf_parts_close(&c->gguf);
    if (c->tensors)
        mls_checkpoint_free_packed(c);
    free(c->renamed);
    free(c->by_name);
    free(c->tensors);
    free(c->shards);
    free(c->config_json);
    free(c->folder);
    free(c);
}

const char *mls_checkpoint_folder(const mls_checkpoint *c)
{
    return c->folder;
}

const char *mls_checkpoint_head_remark(const mls_checkpoint *c)
{
    return c->head_remark ? c->warnings[c->head_remark - 1] : NULL;
}

const mls_config *mls_checkpoint_config(const mls_checkpoint *c)
{
    return &c->config;
}

const char *mls_checkpoint_config_json(const mls_checkpoint *c, size_t *len)
{
    *len = c->config_json_len;
    return c->config_json;
}

const mls_gguf *mls_checkpoint_gguf(const mls_checkpoint *c)
{
    return c->gguf.n ? c->gguf.part[0] : NULL;
}

size_t mls_checkpoint_warnings(const mls_checkpoint *c)
{
    return c->n_warnings;
}

const char *mls_checkpoint_warning(const mls_checkpoint *c, size_t i)
{
    return c->warnings[i];
}

size_t mls_checkpoint_shards(const mls_checkpoint *c)
{
    return c->n_shards;
}

const char *mls_checkpoint_shard_path(const mls_checkpoint *c, size_t i)
{
    return c->shards[i].path;
}

const char *mls_checkpoint_shard_name(const mls_checkpoint *c, size_t i)
{
    return c->shards[i].name;
}

static bool is_readable(const mls_checkpoint_entry *e)
{
    return e->packed  ? true
           : e->place ? mls_gguf_reads(e->place->stored) &&
                            (!e->place->stored2 || mls_gguf_reads(e->place->stored2))
                      : mls_dtype_is_float(e->info->dtype);
}

bool mls_checkpoint_has_shape(const mls_tensor_info *t, size_t rows, size_t cols)
{
    /* A convolution is (channels, 1, taps), in MLX's folders (channels, taps, 1). */
    const bool mlx = t->n_dims == 3 && t->shape[2] == 1;
    const uint64_t last = t->n_dims ? t->shape[t->n_dims - 1 - mlx] : 1;

    return t->n_elements == (uint64_t)rows * (cols ? cols : 1) &&
           (cols == 0 || last == cols);
}

/* The tensor of a name with the shape (rows, cols). */
static mls_status find_shaped(const mls_checkpoint *c, const char *name, size_t rows,
                              size_t cols, const mls_checkpoint_entry **entry,
                              mls_err *err)
{
    const uint64_t want[2] = {rows, cols};
    const size_t n = cols ? 2 : 1;
    char found[128], expected[128];
    const mls_tensor_info *info;

    *entry = mls_checkpoint_entry_of(c, name);
    if (!*entry)
        return mls_fail(err, MLS_E_INPUT, "%s: tensor \"%s\" is missing", c->folder,
                        name);
    info = (*entry)->info;
    if (mls_checkpoint_has_shape(info, rows, cols))
        return MLS_OK;
    return mls_fail(err, MLS_E_INPUT, "%s: tensor \"%s\" has shape %s, expected %s",
                    c->shards[(*entry)->shard].path, name,
                    mls_shape_text(found, info->shape, info->n_dims),
                    mls_shape_text(expected, want, n));
}

mls_status mls_checkpoint_has(const mls_checkpoint *c, const char *name, size_t rows,
                              size_t cols, mls_err *err)
{
    const mls_checkpoint_entry *e;
    const mls_status st = find_shaped(c, name, rows, cols, &e, err);

    if (st || is_readable(e))
        return st;
    return mls_fail(err, MLS_E_INPUT, "%s: tensor \"%s\" has dtype %s, expected %s",
                    c->shards[e->shard].path, name, e->info->dtype,
                    e->place ? "one that is decoded" : "F32, BF16, F16 or F64");
}

mls_status mls_checkpoint_complete(const mls_checkpoint *c, mls_err *err)
{
    const size_t n = mls_tensor_needs(&c->config);

    for (size_t i = 0; i < n; i++) {
        const mls_tensor_need need = mls_tensor_need_at(&c->config, i);
        const mls_status st =
            mls_checkpoint_has(c, need.name, need.rows, need.cols, err);

        if (st)
            return st;
    }
    return MLS_OK;
}

void mls_checkpoint_want(const mls_checkpoint *c, const char *name)
{
    const mls_checkpoint_entry *e = mls_checkpoint_entry_of(c, name);

    if (e && !e->packed && !e->place)
        mls_safetensors_want(c->shards[e->shard].file, e->info);
}

mls_status mls_checkpoint_read(const mls_checkpoint *c, const char *name, size_t rows,
                               size_t cols, float *out, mls_err *err)
{
    return mls_checkpoint_read_rows(c, name, rows, cols, 0, rows, out, err);
}

/* Elements of a tensor in Hugging Face's order, within its size. */
static mls_status read_elements(const mls_checkpoint *c, const mls_checkpoint_entry *e,
                                uint64_t first, size_t n, float *out, mls_err *err)
{
    const mls_checkpoint_shard_file *s = &c->shards[e->shard];

    if ((e->packed || e->place) &&
        (first > e->info->n_elements || n > e->info->n_elements - first))
        return mls_fail(err, MLS_E_ARG,
                        "%s: tensor \"%s\": %zu elements from %llu were asked for",
                        s->path, e->info->name, n, (unsigned long long)first);
    if (e->packed)
        return mls_packed_read(e->packed, first, n, out, err);
    return e->place ? mls_gguf_place_read(e->place, first, n, out, err)
                    : mls_safetensors_read_f32(s->file, e->info, first, n, out, err);
}

mls_status mls_checkpoint_read_rows(const mls_checkpoint *c, const char *name,
                                    size_t rows, size_t cols, size_t first, size_t n,
                                    float *out, mls_err *err)
{
    const size_t width = cols ? cols : 1;
    const mls_checkpoint_entry *e;
    mls_status st = find_shaped(c, name, rows, cols, &e, err);

    if (st)
        return st;
    if (first > rows || n > rows - first)
        return mls_fail(err, MLS_E_ARG,
                        "%s: rows %zu to %zu of tensor \"%s\" were asked for, it has "
                        "%zu",
                        c->folder, first, first + n, name, rows);
    st = read_elements(c, e, (uint64_t)first * width, n * width, out, err);
    if (st)
        return st;
    const size_t bad = mls_first_not_finite(out, n * width);
    if (bad == n * width)
        return MLS_OK;
    char at[128];

    return mls_fail(err, MLS_E_INPUT,
                    "%s: tensor \"%s\" holds %g at %s; a weight must be finite",
                    c->shards[e->shard].path, name, (double)out[bad],
                    mls_index_text(at, e->info, (uint64_t)first * width + bad));
}

size_t mls_checkpoint_tensors(const mls_checkpoint *c)
{
    return c->n_tensors;
}

const mls_tensor_info *mls_checkpoint_tensor(const mls_checkpoint *c, size_t i,
                                             size_t *shard)
{
    if (shard)
        *shard = c->tensors[i].shard;
    return c->tensors[i].info;
}

bool mls_checkpoint_readable(const mls_checkpoint *c, size_t i)
{
    return is_readable(&c->tensors[i]);
}

mls_status mls_checkpoint_read_at(const mls_checkpoint *c, size_t i, uint64_t first,
                                  size_t n, float *out, mls_err *err)
{
    return read_elements(c, &c->tensors[i], first, n, out, err);
}

bool mls_checkpoint_copyable(const mls_checkpoint *c, size_t i)
{
    const mls_checkpoint_entry *e = &c->tensors[i];

    return !e->packed && (!e->place || (mls_gguf_place_is_plain(e->place) &&
                                        mls_dtype_is_float(e->info->dtype)));
}

mls_status mls_checkpoint_read_raw(const mls_checkpoint *c, size_t i,
                                   uint64_t first_byte, size_t n, void *out,
                                   mls_err *err)
{
    const mls_checkpoint_entry *e = &c->tensors[i];
    const mls_checkpoint_shard_file *s = &c->shards[e->shard];

    if (e->packed)
        return mls_safetensors_read_raw(e->packed->code.file, e->packed->code.info,
                                        first_byte, n, out, err);
    if (e->place)
        return mls_gguf_read_raw(s->gguf, e->place->stored, first_byte, n, out, err);
    return mls_safetensors_read_raw(s->file, e->info, first_byte, n, out, err);
}

uint64_t mls_checkpoint_bytes(const mls_checkpoint *c)
{
    return c->bytes;
}

uint64_t mls_checkpoint_parameters(const mls_checkpoint *c)
{
    return c->parameters;
}
