/*
 * Tensors get Hugging Face's names, so that all that follows knows one layout.
 * llama.cpp's converter puts the two dims of a rotated pair side by side for some
 * families; those q and k are marked and taken back when read.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"
#include "datasets/checkpoint/checkpoint_inner.h"
#include "datasets/checkpoint/gguf_config.h"
#include "datasets/checkpoint/gguf_names.h"

static mls_status list_parts(mls_checkpoint *c, mls_err *err)
{
    c->shards = mls_calloc3(c->gguf.n, 1, 1, sizeof *c->shards);
    if (!c->shards)
        return mls_checkpoint_no_memory(c, err);
    for (size_t i = 0; i < c->gguf.n; i++) {
        mls_checkpoint_shard_file *s = &c->shards[c->n_shards++];
        const char *path = mls_gguf_path(c->gguf.part[i]);
        const char *slash = strrchr(path, '/');

        s->gguf = c->gguf.part[i];
        s->path = strdup(path);
        s->name = strdup(slash ? slash + 1 : path);
        if (!s->path || !s->name)
            return mls_checkpoint_no_memory(c, err);
        c->n_tensors += mls_gguf_head(s->gguf)->n_tensors;
    }
    return MLS_OK;
}

/* Every tensor under its name in Hugging Face's words. */
static mls_status rename_tensors(mls_checkpoint *c, mls_err *err)
{
    size_t k = 0;

    c->renamed = mls_calloc3(c->n_tensors, 1, 1, sizeof *c->renamed);
    if (!c->renamed)
        return mls_checkpoint_no_memory(c, err);
    for (size_t i = 0; i < c->gguf.n; i++) {
        const mls_gguf_header *h = mls_gguf_head(c->gguf.part[i]);

        for (size_t j = 0; j < h->n_tensors; j++, k++) {
            mls_checkpoint_renamed *r = &c->renamed[k];

            r->info = h->tensor[j];
            mls_gguf_tensor_name(h->tensor[j].name, &c->config, r->name);
            r->info.name = r->name;
        }
    }
    return MLS_OK;
}

/* Those of q and k whose rows have the two dims of a chunk side by side. */
static mls_status mark_interleaved(mls_checkpoint *c, mls_err *err)
{
    static const char *const ends[] = {
        ".self_attn.q_proj.weight", ".self_attn.q_proj.bias",
        ".self_attn.k_proj.weight", ".self_attn.k_proj.bias"};
    char *arch = NULL;
    const mls_status st =
        mls_gguf_text(c->gguf.part[0], "general.architecture", &arch, err);
    const mls_gguf_family *family = arch ? mls_gguf_family_find(arch) : NULL;
    const bool interleaved = family && family->interleaved;

    free(arch);
    if (st || !interleaved || c->config.unsupported[0])
        return st;
    for (size_t i = 0; i < c->n_tensors; i++) {
        const mls_tensor_info *t = c->tensors[i].info;
        const char *end = strstr(t->name, ".self_attn.");

        for (size_t k = 0; end && k < sizeof ends / sizeof ends[0]; k++)
            c->tensors[i].interleaved |=
                strcmp(end, ends[k]) == 0 && t->n_dims > 0 && t->n_dims <= 2 &&
                t->shape[0] % c->config.D == 0 && t->n_elements > 0;
    }
    return MLS_OK;
}

/* Where the reader of configs finds fault, its words are of config.json. */
static mls_status read_config(mls_checkpoint *c, mls_err *err)
{
    char name[512];
    const mls_status st =
        mls_gguf_config(&c->gguf, &c->config_json, &c->config_json_len, err);

    if (st)
        return st;
    snprintf(name, sizeof name, "%.400s: metadata as config.json", c->folder);
    return mls_config_parse(&c->config, c->config_json, c->config_json_len, name, err);
}

/* What the converter puts another way: experts in three stacks, all of q before k. */
static void settle_layout(mls_config *config)
{
    if (config->net.experts.n)
        config->net.experts.layout = MLS_EXPERTS_SPLIT;
    if (config->net.qkv != MLS_QKV_APART)
        config->net.qkv = MLS_QKV_STACKED;
}

static void remark_trailing(mls_checkpoint *c)
{
    for (size_t i = 0; i < c->gguf.n; i++) {
        const mls_gguf_header *h = mls_gguf_head(c->gguf.part[i]);
        const uint64_t size = mls_gguf_size(c->gguf.part[i]);

        /* The last tensor may be padded like the others. */
        if (h->end <= size && size - h->end >= h->alignment)
            mls_checkpoint_warn(c,
                                "%s: %llu bytes that belong to no tensor follow its "
                                "data, which ends at offset %llu",
                                c->shards[i].path, (unsigned long long)(size - h->end),
                                (unsigned long long)h->end);
    }
}

mls_status mls_checkpoint_open_gguf(mls_checkpoint *c, mls_err *err)
{
    mls_status st;

    if ((st = mls_gguf_parts_open(&c->gguf, c->folder, err)) ||
        (st = list_parts(c, err)) || (st = read_config(c, err)))
        return st;
    settle_layout(&c->config);
    if ((st = rename_tensors(c, err)) || (st = mls_checkpoint_join(c, err)))
        return st;
    remark_trailing(c);
    return mark_interleaved(c, err);
}
