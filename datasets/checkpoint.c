#include "datasets/checkpoint.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/checked.h"
#include "common/files.h"
#include "common/finite.h"
#include "datasets/json.h"
#include "datasets/tensors.h"

enum { INDEX_BYTES_MAX = 1 << 27, SHARDS_MAX = 4096, WARNINGS_MAX = 100 };

typedef struct entry {
    const mls_tensor_info *info;
    const mls_safetensors *shard;
} entry;

typedef struct shard_file {
    char *name, *path;
    mls_safetensors *file;
} shard_file;

struct mls_checkpoint {
    char *folder;
    mls_config config;
    shard_file *shards;
    size_t n_shards;
    entry *tensors; /* (n_tensors), of all shards, by name */
    size_t n_tensors;
    uint64_t bytes, parameters;
    char **warnings;
    size_t n_warnings;
};

__attribute__((format(printf, 2, 3))) static void warn(mls_checkpoint *c,
                                                       const char *format, ...)
{
    char text[1024];
    va_list args;
    char **bigger;

    if (c->n_warnings == WARNINGS_MAX)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    bigger = realloc(c->warnings, (c->n_warnings + 1) * sizeof *bigger);
    if (!bigger)
        return; /* a remark is lost, nothing else */
    c->warnings = bigger;
    c->warnings[c->n_warnings] = strdup(text);
    if (c->warnings[c->n_warnings])
        c->n_warnings++;
}

static mls_status fail_memory(const mls_checkpoint *c, mls_err *err)
{
    return mls_fail(err, MLS_E_NOMEM, "no memory to open %s", c->folder);
}

/* ---- the files of a folder ---- */

static mls_status add_shard(mls_checkpoint *c, const char *name, mls_err *err)
{
    shard_file *s = &c->shards[c->n_shards++];

    s->name = strdup(name);
    s->path = mls_path_join(c->folder, name);
    return s->name && s->path ? MLS_OK : fail_memory(c, err);
}

/* A file name from an index may only name a file of the same folder. */
static bool is_plain_name(const char *name)
{
    const size_t n = strlen(name);
    static const char end[] = ".safetensors";

    return n > sizeof end - 1 && strcmp(name + n - (sizeof end - 1), end) == 0 &&
           !strpbrk(name, "/\\") && !strstr(name, "..") && name[0] != '.';
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The distinct file names of a weight_map, sorted; all of them must be there. */
static mls_status list_shards(mls_checkpoint *c, const char *index, json_t *map,
                              mls_err *err)
{
    const size_t n = json_object_size(map);
    const char **names = mls_calloc3(n, 1, 1, sizeof *names);
    const char *tensor, *missing = NULL;
    char shown[MLS_JSON_SHOW];
    size_t k = 0, distinct = 0, n_missing = 0;
    json_t *v;
    mls_status st = MLS_OK;

    if (!names)
        return fail_memory(c, err);
    json_object_foreach(map, tensor, v)
    {
        if (!json_is_string(v) || !is_plain_name(json_string_value(v))) {
            st = mls_fail(err, MLS_E_INPUT,
                          "%s: tensor \"%.200s\" is in %s, expected the name of a "
                          ".safetensors file in the same folder",
                          index, tensor, mls_json_show(shown, v));
            goto done;
        }
        names[k++] = json_string_value(v);
    }
    qsort(names, n, sizeof *names, compare_text);
    for (k = 0; k < n; k++)
        if (k == 0 || strcmp(names[k], names[distinct - 1]) != 0)
            names[distinct++] = names[k];
    if (distinct == 0 || distinct > SHARDS_MAX) {
        st = mls_fail(err, MLS_E_INPUT, "%s: names %zu files, expected 1 to %d", index,
                      distinct, SHARDS_MAX);
        goto done;
    }
    c->shards = mls_calloc3(distinct, 1, 1, sizeof *c->shards);
    if (!c->shards) {
        st = fail_memory(c, err);
        goto done;
    }
    for (k = 0; !st && k < distinct; k++) {
        st = add_shard(c, names[k], err);
        if (!st && !mls_file_exists(c->shards[k].path) && n_missing++ == 0)
            missing = c->shards[k].path;
    }
    if (!st && n_missing)
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: is missing (%zu of the %zu shards that %s "
                      "names are)",
                      missing, n_missing, distinct, index);

done:
    free(names);
    return st;
}

static mls_status open_shards(mls_checkpoint *c, mls_err *err)
{
    for (size_t i = 0; i < c->n_shards; i++) {
        const mls_status st =
            mls_safetensors_open(&c->shards[i].file, c->shards[i].path, err);

        if (st)
            return st;
        c->n_tensors += mls_safetensors_count(c->shards[i].file);
    }
    return MLS_OK;
}

static const shard_file *shard_of(const mls_checkpoint *c, const mls_safetensors *file)
{
    const shard_file *s = c->shards;

    while (s->file != file)
        s++;
    return s;
}

static int compare_entry(const void *a, const void *b)
{
    return strcmp(((const entry *)a)->info->name, ((const entry *)b)->info->name);
}

/* One list of the tensors of all shards; a name may be in one of them only. */
static mls_status join_shards(mls_checkpoint *c, mls_err *err)
{
    size_t k = 0;

    c->tensors = mls_calloc3(c->n_tensors, 1, 1, sizeof *c->tensors);
    if (!c->tensors)
        return fail_memory(c, err);
    for (size_t i = 0; i < c->n_shards; i++)
        for (size_t j = 0; j < mls_safetensors_count(c->shards[i].file); j++, k++) {
            c->tensors[k].info = mls_safetensors_at(c->shards[i].file, j);
            c->tensors[k].shard = c->shards[i].file;
            /* Each fits, because the files do; so do the sums of SHARDS_MAX files. */
            c->bytes += c->tensors[k].info->n_bytes;
            c->parameters += c->tensors[k].info->n_elements;
        }
    qsort(c->tensors, c->n_tensors, sizeof *c->tensors, compare_entry);
    for (k = 1; k < c->n_tensors; k++)
        if (compare_entry(&c->tensors[k - 1], &c->tensors[k]) == 0)
            return mls_fail(
                err, MLS_E_INPUT, "%s: tensor \"%.200s\" is in %s and in %s", c->folder,
                c->tensors[k].info->name, shard_of(c, c->tensors[k - 1].shard)->name,
                shard_of(c, c->tensors[k].shard)->name);
    return MLS_OK;
}

/* Each tensor of the index is in its file; what the index does not list is remarked. */
static mls_status check_index(mls_checkpoint *c, const char *index, json_t *root,
                              mls_err *err)
{
    json_t *map = json_object_get(root, "weight_map");
    const json_t *total =
        json_object_get(json_object_get(root, "metadata"), "total_size");
    const char *tensor;
    json_t *v;

    json_object_foreach(map, tensor, v)
    {
        const mls_safetensors *file = NULL;
        const mls_tensor_info *info = mls_checkpoint_find(c, tensor, &file);

        if (!info || strcmp(shard_of(c, file)->name, json_string_value(v)) != 0)
            return mls_fail(err, MLS_E_INPUT,
                            "%s: tensor \"%.200s\" should be in %s, but is in %s",
                            index, tensor, json_string_value(v),
                            info ? shard_of(c, file)->name : "no shard");
    }
    for (size_t i = 0; i < c->n_tensors; i++)
        if (!json_object_get(map, c->tensors[i].info->name))
            warn(c, "%s: tensor \"%.200s\" is not in the index",
                 shard_of(c, c->tensors[i].shard)->path, c->tensors[i].info->name);
    if (total && json_number_value(total) != (double)c->bytes)
        warn(c, "%s: total_size is %.0f, the tensors have %llu bytes", index,
             json_number_value(total), (unsigned long long)c->bytes);
    return MLS_OK;
}

static mls_status open_index(mls_checkpoint *c, const char *index, mls_err *err)
{
    json_t *root = NULL;
    mls_status st = mls_json_read(&root, index, INDEX_BYTES_MAX, NULL, err);

    if (!st && !json_is_object(json_object_get(root, "weight_map")))
        st =
            mls_fail(err, MLS_E_INPUT, "%s: weight_map is missing or no object", index);
    if (!st)
        st = list_shards(c, index, json_object_get(root, "weight_map"), err);
    if (!st && !(st = open_shards(c, err)) && !(st = join_shards(c, err)))
        st = check_index(c, index, root, err);
    json_decref(root);
    return st;
}

static mls_status open_single(mls_checkpoint *c, mls_err *err)
{
    mls_status st;

    c->shards = mls_calloc3(1, 1, 1, sizeof *c->shards);
    if (!c->shards)
        return fail_memory(c, err);
    if (!(st = add_shard(c, "model.safetensors", err)) && !(st = open_shards(c, err)))
        st = join_shards(c, err);
    return st;
}

/* Like the library that wrote it: one file goes before an index. */
static mls_status open_weights(mls_checkpoint *c, mls_err *err)
{
    char *single = mls_path_join(c->folder, "model.safetensors");
    char *index = mls_path_join(c->folder, "model.safetensors.index.json");
    char *pickle = mls_path_join(c->folder, "pytorch_model.bin");
    mls_status st;

    if (!single || !index || !pickle)
        st = fail_memory(c, err);
    else if (mls_file_exists(single))
        st = open_single(c, err);
    else if (mls_file_exists(index))
        st = open_index(c, index, err);
    else
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: has neither model.safetensors nor "
                      "model.safetensors.index.json%s",
                      c->folder,
                      mls_file_exists(pickle)
                          ? "; pytorch_model.bin is not read, convert it"
                          : "");
    free(pickle);
    free(index);
    free(single);
    return st;
}

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
    warn(c, "%s: config.json does not announce %s, but \"%s\" is there: it is used",
         c->folder, what, name);
}

static void infer_config(mls_checkpoint *c)
{
    mls_config *k = &c->config;

    infer(c, &k->qkv_bias, "model.layers.0.self_attn.q_proj.bias", "biases of q, k, v");
    infer(c, &k->o_bias, "model.layers.0.self_attn.o_proj.bias", "a bias of o");
    infer(c, &k->mlp_bias, "model.layers.0.mlp.gate_proj.bias", "biases of the MLP");
    infer(c, &k->qk_norm, "model.layers.0.self_attn.q_norm.weight", "norms of q and k");
}

static int compare_need(const void *a, const void *b)
{
    return strcmp(((const mls_tensor_need *)a)->name,
                  ((const mls_tensor_need *)b)->name);
}

/* Tensors that nothing asks for; buffers that old files carry along do no harm. */
static mls_status remark_unneeded(mls_checkpoint *c, mls_err *err)
{
    static const char buffer[] = ".rotary_emb.inv_freq";
    const size_t n = mls_tensor_needs(&c->config);
    mls_tensor_need *needs = mls_calloc3(n, 1, 1, sizeof *needs);

    if (!needs)
        return fail_memory(c, err);
    for (size_t i = 0; i < n; i++)
        needs[i] = mls_tensor_need_at(&c->config, i);
    qsort(needs, n, sizeof *needs, compare_need);
    for (size_t i = 0; i < c->n_tensors; i++) {
        const char *name = c->tensors[i].info->name;
        mls_tensor_need key = {.rows = 0};

        snprintf(key.name, sizeof key.name, "%s", name);
        if (strlen(name) < sizeof key.name &&
            bsearch(&key, needs, n, sizeof *needs, compare_need))
            continue;
        if (!strstr(name, buffer))
            warn(c, "%s: tensor \"%.200s\" is not used by the model",
                 shard_of(c, c->tensors[i].shard)->path, name);
    }
    free(needs);
    return MLS_OK;
}

/* ---- public ---- */

mls_status mls_checkpoint_open(mls_checkpoint **out, const char *folder, mls_err *err)
{
    mls_checkpoint *c = calloc(1, sizeof *c);
    mls_status st;

    *out = NULL;
    if (!c || !(c->folder = strdup(folder))) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory to open %s", folder);
        goto done;
    }
    if (!mls_folder_exists(folder)) {
        st =
            *folder
                ? mls_fail(err, MLS_E_INPUT, "%s: is not a folder with a model", folder)
                : mls_fail(err, MLS_E_INPUT, "the name of the model's folder is empty");
        goto done;
    }
    if ((st = mls_config_read(&c->config, folder, err)) || (st = open_weights(c, err)))
        goto done;
    infer_config(c);
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
    free(c->tensors);
    free(c->shards);
    free(c->folder);
    free(c);
}

const char *mls_checkpoint_folder(const mls_checkpoint *c)
{
    return c->folder;
}

const mls_config *mls_checkpoint_config(const mls_checkpoint *c)
{
    return &c->config;
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

const mls_safetensors *mls_checkpoint_shard(const mls_checkpoint *c, size_t i)
{
    return c->shards[i].file;
}

const char *mls_checkpoint_shard_path(const mls_checkpoint *c, size_t i)
{
    return c->shards[i].path;
}

const char *mls_checkpoint_shard_name(const mls_checkpoint *c, size_t i)
{
    return c->shards[i].name;
}

const mls_tensor_info *mls_checkpoint_find(const mls_checkpoint *c, const char *name,
                                           const mls_safetensors **shard)
{
    const mls_tensor_info info = {.name = name};
    const entry key = {&info, NULL};
    const entry *found =
        bsearch(&key, c->tensors, c->n_tensors, sizeof *c->tensors, compare_entry);

    if (found && shard)
        *shard = found->shard;
    return found ? found->info : NULL;
}

/* The tensor of a name with the shape (rows, cols). */
static mls_status find_shaped(const mls_checkpoint *c, const char *name, size_t rows,
                              size_t cols, const mls_tensor_info **info,
                              const mls_safetensors **file, mls_err *err)
{
    const uint64_t want[2] = {rows, cols};
    const size_t n = cols ? 2 : 1;
    char found[128], expected[128];

    *info = mls_checkpoint_find(c, name, file);
    if (!*info)
        return mls_fail(err, MLS_E_INPUT, "%s: tensor \"%s\" is missing", c->folder,
                        name);
    if ((*info)->n_dims == n && memcmp((*info)->shape, want, n * sizeof *want) == 0)
        return MLS_OK;
    return mls_fail(err, MLS_E_INPUT, "%s: tensor \"%s\" has shape %s, expected %s",
                    shard_of(c, *file)->path, name,
                    mls_shape_text(found, (*info)->shape, (*info)->n_dims),
                    mls_shape_text(expected, want, n));
}

mls_status mls_checkpoint_has(const mls_checkpoint *c, const char *name, size_t rows,
                              size_t cols, mls_err *err)
{
    const mls_tensor_info *info;
    const mls_safetensors *file;
    mls_status st;

    st = find_shaped(c, name, rows, cols, &info, &file, err);
    if (!st && !mls_dtype_is_float(info->dtype))
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: tensor \"%s\" has dtype %s, expected F32, BF16, F16 or F64",
                      shard_of(c, file)->path, name, info->dtype);
    return st;
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

mls_status mls_checkpoint_read(const mls_checkpoint *c, const char *name, size_t rows,
                               size_t cols, float *out, mls_err *err)
{
    return mls_checkpoint_read_rows(c, name, rows, cols, 0, rows, out, err);
}

mls_status mls_checkpoint_read_rows(const mls_checkpoint *c, const char *name,
                                    size_t rows, size_t cols, size_t first, size_t n,
                                    float *out, mls_err *err)
{
    const size_t width = cols ? cols : 1;
    const mls_tensor_info *info;
    const mls_safetensors *file;
    const mls_status st = find_shaped(c, name, rows, cols, &info, &file, err);

    if (st)
        return st;
    if (first > rows || n > rows - first)
        return mls_fail(err, MLS_E_ARG,
                        "%s: rows %zu to %zu of tensor \"%s\" were asked for, it has "
                        "%zu",
                        c->folder, first, first + n, name, rows);
    const mls_status read = mls_safetensors_read_f32(
        file, info, (uint64_t)first * width, n * width, out, err);
    if (read)
        return read;
    const size_t bad = mls_first_not_finite(out, n * width);
    if (bad == n * width)
        return MLS_OK;
    char at[128];

    return mls_fail(err, MLS_E_INPUT,
                    "%s: tensor \"%s\" holds %g at %s; a weight must be finite",
                    shard_of(c, file)->path, name, (double)out[bad],
                    mls_index_text(at, info, (uint64_t)first * width + bad));
}

uint64_t mls_checkpoint_bytes(const mls_checkpoint *c)
{
    return c->bytes;
}

uint64_t mls_checkpoint_parameters(const mls_checkpoint *c)
{
    return c->parameters;
}
