/*
 * A GGUF file as a checkpoint: its metadata become a config, its tensors get Hugging
 * Face's names (gguf_places.c), so that all that follows knows one layout.
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
static void settle_layout(const mls_gguf_parts *p, mls_config *config)
{
    mls_experts *x = &config->net.experts;
    char name[64];

    if (x->n) {
        x->layout = MLS_EXPERTS_SPLIT;
        x->shared_apart = true;
    }
    for (size_t l = 0; x->n && l < config->L; l++) {
        snprintf(name, sizeof name, "blk.%zu.ffn_gate_up_exps.weight", l);
        if (mls_gguf_parts_find(p, name, NULL))
            x->layout = MLS_EXPERTS_STACKED;
    }
    if (config->net.qkv != MLS_QKV_APART)
        config->net.qkv = MLS_QKV_STACKED;
    if (strcmp(config->model_type, "granitemoehybrid") == 0)
        config->net.gate_up = false;
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

/*
 * Mistral, Mixtral and StarCoder 2 may have a window, which their converters do not
 * write. A file named after another model cannot be told from one without a window.
 */
static void remark_window(mls_checkpoint *c)
{
    static const char *const keys[] = {"general.name", "general.basename"};
    const mls_gguf *f = c->gguf.part[0];
    bool may = strcmp(c->config.model_type, "starcoder2") == 0 ||
               strcmp(c->config.model_type, "mixtral") == 0;

    for (size_t i = 0; !may && i < sizeof keys / sizeof keys[0]; i++) {
        char *name = NULL;

        if (!mls_gguf_text(f, keys[i], &name, NULL) && name)
            may = strstr(name, "istral") || strstr(name, "ixtral");
        free(name);
    }
    for (size_t l = 0; may && l < c->config.L; l++)
        may = c->config.layer[l].window == 0;
    if (may)
        mls_checkpoint_warn(c,
                            "%s: no sliding window is in it, and converters drop that "
                            "of such models: longer texts see all tokens here, as in "
                            "llama.cpp, and the cache grows with all of them",
                            c->folder);
}

mls_status mls_checkpoint_open_gguf(mls_checkpoint *c, mls_err *err)
{
    mls_status st;

    if ((st = mls_gguf_parts_open(&c->gguf, c->folder, err)) ||
        (st = list_parts(c, err)) || (st = read_config(c, err)))
        return st;
    settle_layout(&c->gguf, &c->config);
    if ((st = mls_checkpoint_place_tensors(c, err)) ||
        (st = mls_checkpoint_join(c, err)))
        return st;
    remark_trailing(c);
    remark_window(c);
    return MLS_OK;
}
