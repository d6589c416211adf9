/*
 * What a checkpoint and its readers of folders and of GGUF files share: remarks, the
 * tensors of all shards as one sorted list, and a tensor by its name.
 */
#include "datasets/checkpoint/checkpoint_inner.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"

enum { WARNINGS_MAX = 100 };

void mls_checkpoint_warn(mls_checkpoint *c, const char *format, ...)
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

mls_status mls_checkpoint_no_memory(const mls_checkpoint *c, mls_err *err)
{
    return mls_fail(err, MLS_E_NOMEM, "no memory to open %s", c->folder);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(const mls_checkpoint_entry *const *)a)->info->name,
                  (*(const mls_checkpoint_entry *const *)b)->info->name);
}

mls_status mls_checkpoint_sort(mls_checkpoint *c, mls_err *err)
{
    for (size_t k = 0; k < c->n_tensors; k++)
        c->by_name[k] = &c->tensors[k];
    qsort(c->by_name, c->n_tensors, sizeof *c->by_name, compare_names);
    for (size_t k = 1; k < c->n_tensors; k++)
        if (compare_names(&c->by_name[k - 1], &c->by_name[k]) == 0)
            return mls_fail(
                err, MLS_E_INPUT, "%s: tensor \"%.200s\" is in %s and in %s", c->folder,
                c->by_name[k]->info->name, c->shards[c->by_name[k - 1]->shard].name,
                c->shards[c->by_name[k]->shard].name);
    return MLS_OK;
}

/* A name may be in one file only. */
mls_status mls_checkpoint_join(mls_checkpoint *c, mls_err *err)
{
    size_t k = 0;

    c->tensors = mls_calloc3(c->n_tensors, 1, 1, sizeof *c->tensors);
    c->by_name = mls_calloc3(c->n_tensors, 1, 1, sizeof *c->by_name);
    if (!c->tensors || !c->by_name)
        return mls_checkpoint_no_memory(c, err);
    if (c->renamed)
        for (; k < c->n_tensors; k++) {
            mls_checkpoint_renamed *r = &c->renamed[k];

            r->info.name = r->name;
            c->tensors[k].info = &r->info;
            c->tensors[k].shard = r->shard;
            c->tensors[k].place = &r->place;
        }
    for (size_t i = 0; !c->renamed && i < c->n_shards; i++)
        for (size_t j = 0; j < mls_safetensors_count(c->shards[i].file); j++, k++) {
            c->tensors[k].shard = i;
            c->tensors[k].info = mls_safetensors_at(c->shards[i].file, j);
        }
    for (k = 0; k < c->n_tensors; k++) {
        /* Each fits, because the files do; so do the sums of thousands. */
        c->bytes += c->tensors[k].info->n_bytes;
        c->parameters += c->tensors[k].info->n_elements;
    }
    return mls_checkpoint_sort(c, err);
}

const mls_checkpoint_entry *mls_checkpoint_entry_of(const mls_checkpoint *c,
                                                    const char *name)
{
    const mls_tensor_info info = {.name = name};
    const mls_checkpoint_entry key = {.info = &info}, *at = &key;
    const mls_checkpoint_entry **found =
        bsearch(&at, c->by_name, c->n_tensors, sizeof *c->by_name, compare_names);

    return found ? *found : NULL;
}

const mls_tensor_info *mls_checkpoint_find(const mls_checkpoint *c, const char *name,
                                           size_t *i)
{
    const mls_checkpoint_entry *e = mls_checkpoint_entry_of(c, name);

    if (e && i)
        *i = (size_t)(e - c->tensors);
    return e ? e->info : NULL;
}
