/*
 * Keys of a GGUF file, and the tokenizer among them: the source's own keys where it is
 * a GGUF file, else what llama.cpp's converter makes of a tokenizer.json of byte-level
 * BPE, whose way of cutting a text it knows by name (tokenizer.ggml.pre).
 */
#include "reports/export/export_gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"
#include "common/system/files.h"
#include "datasets/base/json.h"
#include "datasets/tokenizer/gguf_cuts.h"

void mls_gguf_put_u32(mls_buf *b, uint32_t x)
{
    mls_buf_add(b, (const char *)&x, sizeof x);
}

void mls_gguf_put_u64(mls_buf *b, uint64_t x)
{
    mls_buf_add(b, (const char *)&x, sizeof x);
}

void mls_gguf_put_string(mls_buf *b, const char *text, size_t len)
{
    mls_gguf_put_u64(b, len);
    mls_buf_add(b, text, len);
}

static void put_key(mls_gguf_keys *k, const char *key, mls_gguf_type type)
{
    mls_gguf_put_string(&k->bytes, key, strlen(key));
    mls_gguf_put_u32(&k->bytes, (uint32_t)type);
    k->n++;
}

void mls_gguf_key_u32(mls_gguf_keys *k, const char *key, size_t x)
{
    put_key(k, key, MLS_GGUF_U32);
    mls_gguf_put_u32(&k->bytes, (uint32_t)x);
}

void mls_gguf_key_f32(mls_gguf_keys *k, const char *key, double x)
{
    const float value = (float)x;

    put_key(k, key, MLS_GGUF_F32);
    mls_buf_add(&k->bytes, (const char *)&value, sizeof value);
}

void mls_gguf_key_text(mls_gguf_keys *k, const char *key, const char *text)
{
    put_key(k, key, MLS_GGUF_STRING);
    mls_gguf_put_string(&k->bytes, text, strlen(text));
}

static void key_array(mls_gguf_keys *k, const char *key, mls_gguf_type type, uint64_t n)
{
    put_key(k, key, MLS_GGUF_ARRAY);
    mls_gguf_put_u32(&k->bytes, (uint32_t)type);
    mls_gguf_put_u64(&k->bytes, n);
}

/* The keys of a GGUF file as they are. */
static void copy_tokenizer(mls_gguf_keys *k, const mls_gguf *f)
{
    const mls_gguf_header *h = mls_gguf_head(f);

    for (size_t i = 0; i < h->n_values; i++) {
        const mls_gguf_value *v = &h->value[i];

        if (strncmp(v->key, "tokenizer.", 10) != 0)
            continue;
        if (v->is_array)
            key_array(k, v->key, v->type, v->n);
        else
            put_key(k, v->key, v->type);
        mls_buf_add(&k->bytes, (const char *)v->data, v->bytes);
    }
}

/* A pre_tokenizer as one sequence of steps, without what does not change tokens. */
static json_t *steps_of(const json_t *pre)
{
    const json_t *inner = json_object_get(pre, "pretokenizers");
    json_t *steps =
        inner ? json_deep_copy(inner) : json_pack("[o]", json_deep_copy(pre));
    json_t *one;
    size_t i;

    json_array_foreach(steps, i, one) json_object_del(one, "trim_offsets");
    return steps;
}

/* tokenizer.ggml.pre by what it makes of tokenizer.json; NULL: not known. */
static const char *find_cut(const json_t *pre)
{
    static const char *const tried[] = {"gpt-2",  "smollm",      "llama-bpe", "qwen2",
                                        "tekken", "deepseek-v3", "gpt-4o",    "qwen35"};
    json_t *ours = pre ? steps_of(pre) : NULL;
    const char *found = NULL;

    for (size_t i = 0; i < sizeof tried / sizeof tried[0] && !found && ours; i++) {
        json_t *cut = mls_gguf_cut_json(mls_gguf_cut_find(tried[i]));
        json_t *steps = cut ? steps_of(cut) : NULL;

        if (steps && json_equal(steps, ours))
            found = tried[i];
        json_decref(steps);
        json_decref(cut);
    }
    json_decref(ours);
    return found;
}

static void put_merges(mls_gguf_keys *k, const json_t *merges)
{
    size_t i;
    const json_t *one;

    key_array(k, "tokenizer.ggml.merges", MLS_GGUF_STRING, json_array_size(merges));
    json_array_foreach(merges, i, one)
    {
        const char *a = json_string_value(json_array_get(one, 0));
        const char *b = json_string_value(json_array_get(one, 1));
        mls_buf text = {0};

        if (json_is_string(one))
            mls_buf_puts(&text, json_string_value(one));
        else
            mls_buf_printf(&text, "%s %s", a ? a : "", b ? b : "");
        mls_gguf_put_string(&k->bytes, text.data ? text.data : "", text.len);
        mls_buf_free(&text);
    }
}

static mls_status put_vocabulary(mls_gguf_keys *k, const mls_config *c, json_t *vocab,
                                 const json_t *added, mls_err *err)
{
    enum { NORMAL = 1, CONTROL = 3, USER = 4, UNUSED = 5 };
    const size_t V = c->V;
    const char **text = mls_calloc3(V, 1, 1, sizeof *text);
    uint32_t *type = mls_calloc3(V, 1, 1, sizeof *type);
    const char *word;
    json_t *id;
    size_t i;

    if (!text || !type) {
        mls_free_all(text, type);
        return mls_fail(err, MLS_E_NOMEM, "no memory for a vocabulary of %zu", V);
    }
    json_object_foreach(vocab, word, id)
    {
        const json_int_t at = json_integer_value(id);

        if (at >= 0 && (size_t)at < V) {
            text[at] = word;
            type[at] = NORMAL;
        }
    }
    json_array_foreach(added, i, id)
    {
        const json_int_t at = json_integer_value(json_object_get(id, "id"));

        if (at >= 0 && (size_t)at < V) {
            text[at] = json_string_value(json_object_get(id, "content"));
            type[at] = json_is_true(json_object_get(id, "special")) ? CONTROL : USER;
        }
    }
    key_array(k, "tokenizer.ggml.tokens", MLS_GGUF_STRING, V);
    for (i = 0; i < V; i++) {
        char pad[32];

        snprintf(pad, sizeof pad, "[PAD%zu]", i);
        if (!text[i])
            type[i] = UNUSED;
        mls_gguf_put_string(&k->bytes, text[i] ? text[i] : pad,
                            strlen(text[i] ? text[i] : pad));
    }
    key_array(k, "tokenizer.ggml.token_type", MLS_GGUF_I32, V);
    mls_buf_add(&k->bytes, (const char *)type, V * sizeof *type);
    mls_free_all(text, type);
    return MLS_OK;
}

/* Byte-level BPE of a tokenizer.json; of another kind the file has no vocabulary. */
static mls_status make_tokenizer(mls_gguf_keys *k, mls_export_work *w,
                                 const char *folder, mls_err *err)
{
    const mls_config *c = w->config;
    char *path = mls_path_join(folder, "tokenizer.json");
    json_t *file = NULL;
    mls_err why = {0};
    const json_t *model;
    const char *cut;
    mls_status st = MLS_OK;

    if (!path)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a file name");
    if (!mls_json_read(&file, path, (size_t)1 << 28, NULL, &why)) {
        model = json_object_get(file, "model");
        cut = find_cut(json_object_get(file, "pre_tokenizer"));
        if (cut && !json_is_true(json_object_get(model, "byte_fallback"))) {
            mls_gguf_key_text(k, "tokenizer.ggml.model", "gpt2");
            mls_gguf_key_text(k, "tokenizer.ggml.pre", cut);
            put_merges(k, json_object_get(model, "merges"));
            st = put_vocabulary(k, c, json_object_get(model, "vocab"),
                                json_object_get(file, "added_tokens"), err);
            if (c->bos_id >= 0)
                mls_gguf_key_u32(k, "tokenizer.ggml.bos_token_id", (size_t)c->bos_id);
            if (c->eos_id >= 0)
                mls_gguf_key_u32(k, "tokenizer.ggml.eos_token_id", (size_t)c->eos_id);
            put_key(k, "tokenizer.ggml.add_bos_token", MLS_GGUF_BOOL);
            mls_buf_add(&k->bytes, "", 1);
        } else {
            snprintf(why.text, sizeof why.text,
                     "its tokenizer is no byte-level BPE that is cut in a known way");
            cut = NULL;
        }
    } else {
        cut = NULL;
    }
    if (!st && !cut) {
        mls_gguf_key_text(k, "tokenizer.ggml.model", "no_vocab");
        mls_buf_printf(&w->known, "- There is no vocabulary in it: %s.\n", why.text);
    }
    json_decref(file);
    free(path);
    return st;
}

mls_status mls_gguf_key_tokenizer(mls_gguf_keys *k, mls_export_work *w, mls_err *err)
{
    const mls_checkpoint *source = mls_model_checkpoint(w->job->in->model);

    if (!mls_checkpoint_gguf(source))
        return make_tokenizer(k, w, mls_checkpoint_folder(source), err);
    copy_tokenizer(k, mls_checkpoint_gguf(source));
    return MLS_OK;
}
