/*
 * The files by which a folder answers a prompt: copied from the model's folder, or made
 * of a GGUF file's keys, which hold the same: tokenizer.ggml.tokens and merges, the ids
 * that begin and end a text, the chat template.
 */
#include <stdlib.h>

#include "common/base/checked.h"
#include "common/system/files.h"
#include "datasets/tokenizer/gguf_tokenizer.h"
#include "reports/export/export_inner.h"

/* Files of the tokenizer and of generation, copied when they are there. */
static const char *const copied[] = {"tokenizer.json",
                                     "tokenizer_config.json",
                                     "special_tokens_map.json",
                                     "added_tokens.json",
                                     "vocab.json",
                                     "merges.txt",
                                     "tokenizer.model",
                                     "chat_template.jinja",
                                     "chat_template.json",
                                     "generation_config.json"};

static mls_status copy_files(mls_export_work *w, const char *folder, mls_err *err)
{
    mls_status st = MLS_OK;

    for (size_t i = 0; i < sizeof copied / sizeof copied[0] && !st; i++) {
        char *from = mls_path_join(folder, copied[i]);
        char *to = mls_path_join(w->folder, copied[i]), *data = NULL;
        size_t len;

        if (!from || !to) {
            st = mls_fail(err, MLS_E_NOMEM, "no memory for a file name");
        } else if (mls_file_exists(from)) {
            st = mls_file_read_regular(from, (uint64_t)1 << 28, &data, &len, err);
            if (!st)
                st = mls_file_write(to, data, len, err);
            mls_export_listed(w, copied[i], "copied");
        }
        mls_free_all(data, to, from);
    }
    return st;
}

/* ---- from a GGUF file ---- */

/* What is not done is said, not refused. */
static mls_status write_tokenizer(mls_export_work *w, const mls_gguf *f, bool *there,
                                  mls_err *err)
{
    char *json = NULL, *path = NULL;
    mls_err why = {0};
    size_t len = 0;
    mls_status st = mls_gguf_tokenizer(f, &json, &len, &why);

    *there = !st;
    if (st == MLS_E_INPUT) {
        mls_buf_printf(&w->known, "- There is no tokenizer.json: %s.\n", why.text);
        return MLS_OK;
    }
    if (st)
        return mls_fail(err, st, "%s", why.text);
    st = mls_export_path(w, "tokenizer.json", &path, err);
    if (!st)
        st = mls_file_write(path, json, len, err);
    mls_export_listed(w, "tokenizer.json", "made of the GGUF file's vocabulary");
    mls_free_all(path, json);
    return st;
}

/* The text of a token; NULL when there is no such id. */
static json_t *token_text(const mls_gguf *f, uint64_t id)
{
    const mls_gguf_value *tokens = NULL;
    mls_gguf_walk walk = {0};
    mls_err ignored = {0};
    const char *text = NULL;
    size_t len = 0;

    if (mls_gguf_array(f, "tokenizer.ggml.tokens", MLS_GGUF_STRING, &tokens,
                       &ignored) ||
        !tokens || id >= tokens->n)
        return NULL;
    for (uint64_t i = 0; i <= id; i++)
        text = mls_gguf_next_string(tokens, &walk, &len);
    return json_stringn(text, len);
}

/* Special tokens: their ids for generation, their texts for the tokenizer. */
static mls_status put_special(const mls_gguf *f, json_t *tokenizer, json_t *generation,
                              mls_err *err)
{
    static const char *const special[][3] = {
        {"tokenizer.ggml.bos_token_id", "bos_token", "bos_token_id"},
        {"tokenizer.ggml.eos_token_id", "eos_token", "eos_token_id"},
        {"tokenizer.ggml.padding_token_id", "pad_token", "pad_token_id"},
        {"tokenizer.ggml.unknown_token_id", "unk_token", NULL}};
    uint64_t turn = UINT64_MAX;

    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++) {
        uint64_t id = UINT64_MAX;
        const mls_status st = mls_gguf_whole(f, special[i][0], &id, err);
        json_t *text = st || id == UINT64_MAX ? NULL : token_text(f, id);

        if (st)
            return st;
        if (!text)
            continue;
        json_object_set_new(tokenizer, special[i][1], text);
        if (special[i][2])
            json_object_set_new(generation, special[i][2],
                                json_integer((json_int_t)id));
    }
    /* The end of a turn ends an answer as the end of a text does. */
    const mls_status st = mls_gguf_whole(f, "tokenizer.ggml.eot_token_id", &turn, err);
    json_t *eos = json_object_get(generation, "eos_token_id");

    if (!st && turn != UINT64_MAX && eos && json_integer_value(eos) != (json_int_t)turn)
        json_object_set_new(generation, "eos_token_id",
                            json_pack("[O,I]", eos, (json_int_t)turn));
    return st;
}

static mls_status write_configs(mls_export_work *w, const mls_gguf *f, mls_err *err)
{
    json_t *tokenizer =
        json_pack("{s:s,s:b}", "tokenizer_class", "PreTrainedTokenizerFast",
                  "clean_up_tokenization_spaces", 0);
    json_t *generation = json_pack("{s:b}", "_from_model_config", 1);
    char *chat = NULL;
    mls_status st = tokenizer && generation
                        ? put_special(f, tokenizer, generation, err)
                        : mls_fail(err, MLS_E_NOMEM, "no memory for a tokenizer");

    if (!st)
        st = mls_gguf_text(f, "tokenizer.chat_template", &chat, err);
    if (chat)
        json_object_set_new(tokenizer, "chat_template", json_string(chat));
    if (!st && w->config->max_position)
        json_object_set_new(tokenizer, "model_max_length",
                            json_integer((json_int_t)w->config->max_position));
    if (!st)
        st = mls_export_json(w, "tokenizer_config.json", tokenizer,
                             "special tokens and chat template of the GGUF file", err);
    if (!st)
        st = mls_export_json(w, "generation_config.json", generation,
                             "which tokens begin and end a text", err);
    free(chat);
    json_decref(generation);
    json_decref(tokenizer);
    return st;
}

mls_status mls_export_tokenizer(mls_export_work *w, mls_err *err)
{
    const mls_checkpoint *source = mls_model_checkpoint(w->job->in->model);
    const mls_gguf *gguf = mls_checkpoint_gguf(source);
    bool there = false;
    mls_status st;

    if (!gguf)
        return copy_files(w, mls_checkpoint_folder(source), err);
    st = write_tokenizer(w, gguf, &there, err);
    return st || !there ? st : write_configs(w, gguf, err);
}
