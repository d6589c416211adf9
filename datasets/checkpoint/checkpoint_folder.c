/*
 * File names in an index are data: only plain names in the same folder are opened. A
 * single model.safetensors goes before an index, as in the library that wrote it.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"
#include "common/system/files.h"
#include "datasets/base/json.h"
#include "datasets/checkpoint/checkpoint_inner.h"

enum { INDEX_BYTES_MAX = 1 << 27, CONFIG_BYTES_MAX = 1 << 24, SHARDS_MAX = 4096 };

static mls_status add_shard(mls_checkpoint *c, const char *name, mls_err *err)
{
    mls_checkpoint_shard_file *s = &c->shards[c->n_shards++];

    s->name = strdup(name);
    s->path = mls_path_join(c->folder, name);
    return s->name && s->path ? MLS_OK : mls_checkpoint_no_memory(c, err);
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
        return mls_checkpoint_no_memory(c, err);
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
        st = mls_checkpoint_no_memory(c, err);
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
        size_t i;
        const mls_tensor_info *info = mls_checkpoint_find(c, tensor, &i);
        const char *file = info ? c->shards[c->tensors[i].shard].name : "no shard";

        if (!info || strcmp(file, json_string_value(v)) != 0)
            return mls_fail(err, MLS_E_INPUT,
                            "%s: tensor \"%.200s\" should be in %s, but is in %s",
                            index, tensor, json_string_value(v), file);
    }
    for (size_t i = 0; i < c->n_tensors; i++)
        if (!json_object_get(map, c->tensors[i].info->name))
            mls_checkpoint_warn(c, "%s: tensor \"%.200s\" is not in the index",
                                c->shards[c->tensors[i].shard].path,
                                c->tensors[i].info->name);
    if (total && json_number_value(total) != (double)c->bytes)
        mls_checkpoint_warn(c, "%s: total_size is %.0f, the tensors have %llu bytes",
                            index, json_number_value(total),
                            (unsigned long long)c->bytes);
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
    if (!st && !(st = open_shards(c, err)) && !(st = mls_checkpoint_join(c, err)))
        st = check_index(c, index, root, err);
    json_decref(root);
    return st;
}

static mls_status open_single(mls_checkpoint *c, mls_err *err)
{
    mls_status st;

    c->shards = mls_calloc3(1, 1, 1, sizeof *c->shards);
    if (!c->shards)
        return mls_checkpoint_no_memory(c, err);
    if (!(st = add_shard(c, "model.safetensors", err)) && !(st = open_shards(c, err)))
        st = mls_checkpoint_join(c, err);
    return st;
}

/* Like the library that wrote it: one file goes before an index. */
mls_status mls_checkpoint_open_weights(mls_checkpoint *c, mls_err *err)
{
    char *single = mls_path_join(c->folder, "model.safetensors");
    char *index = mls_path_join(c->folder, "model.safetensors.index.json");
    char *pickle = mls_path_join(c->folder, "pytorch_model.bin");
    mls_status st;

    if (!single || !index || !pickle)
        st = mls_checkpoint_no_memory(c, err);
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

static mls_status read_config(mls_checkpoint *c, mls_err *err)
{
    char *path = mls_path_join(c->folder, "config.json");
    mls_status st = path
                        ? mls_file_read_regular(path, CONFIG_BYTES_MAX, &c->config_json,
                                                &c->config_json_len, err)
                        : mls_checkpoint_no_memory(c, err);

    if (!st)
        st =
            mls_config_parse(&c->config, c->config_json, c->config_json_len, path, err);
    free(path);
    return st;
}

mls_status mls_checkpoint_open_folder(mls_checkpoint *c, mls_err *err)
{
    mls_status st = read_config(c, err);

    if (!st)
        st = mls_checkpoint_open_weights(c, err);
    if (!st)
        st = mls_checkpoint_find_packed(c, err);
    if (!st)
        mls_checkpoint_find_mlx(c);
    return st;
}
