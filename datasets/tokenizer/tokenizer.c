/*
 * text -> raw added tokens -> normalize -> the other added tokens -> words -> ids ->
 * template, in the tokenizers library's order. A text of one piece is bounded, and
 * every id that a template adds must be some token's.
 */
#include "datasets/tokenizer/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "common/system/files.h"
#include "common/system/hash.h"
#include "datasets/base/json.h"
#include "datasets/base/utf8.h"
#include "datasets/tokenizer/added_tokens.h"
#include "datasets/tokenizer/gguf_tokenizer.h"
#include "datasets/tokenizer/normalizer.h"
#include "datasets/tokenizer/postprocessor.h"
#include "datasets/tokenizer/pretokenizer.h"
#include "datasets/tokenizer/spm_model.h"
#include "datasets/tokenizer/token_model.h"

/* Bytes of a tokenizer.json; the largest of today's models have 34 million. */
enum { FILE_MAX = 1 << 28 };

struct mls_tokenizer {
    mls_normalizer *normalizer;
    mls_pretokenizer *pretokenizer;
    mls_token_model *model;
    mls_added_tokens *added;
    mls_postprocessor post;
    char sha256[MLS_SHA256_HEX];

    mls_buf normal;  /* the text in work, normalized */
    mls_words words; /* and cut */
};

void mls_tokenizer_close(mls_tokenizer *tok)
{
    if (!tok)
        return;
    mls_normalizer_free(tok->normalizer);
    mls_pretokenizer_free(tok->pretokenizer);
    mls_token_model_free(tok->model);
    mls_added_tokens_free(tok->added);
    mls_postprocessor_free(&tok->post);
    mls_buf_free(&tok->normal);
    mls_words_free(&tok->words);
    free(tok);
}

/* Every id that the post-processor adds must be some token's. */
static mls_status check_ids(const mls_tokenizer *tok, const mls_ids *ids, mls_err *err)
{
    for (size_t i = 0; i < ids->n; i++)
        if (!mls_tokenizer_token(tok, ids->id[i]))
            return mls_fail(err, MLS_E_INPUT, "post_processor: no token has id %d",
                            ids->id[i]);
    return MLS_OK;
}

static mls_status read_parts(mls_tokenizer *tok, const json_t *root, mls_err *err)
{
    static const char *const parts[] = {
        "version",       "truncation",     "padding", "added_tokens", "normalizer",
        "pre_tokenizer", "post_processor", "decoder", "model",        NULL,
    };
    const json_t *version = json_object_get(root, "version");
    mls_status st = mls_json_only(root, "tokenizer", parts, err);

    if (!st && version &&
        !(json_is_string(version) && strcmp(json_string_value(version), "1.0") == 0))
        st = mls_fail(err, MLS_E_INPUT, "\"version\": expected \"1.0\"");
    if (!st)
        st = mls_token_model_new(&tok->model, json_object_get(root, "model"), err);
    if (!st)
        st = mls_normalizer_new(&tok->normalizer, json_object_get(root, "normalizer"),
                                err);
    if (!st)
        st = mls_pretokenizer_new(&tok->pretokenizer,
                                  json_object_get(root, "pre_tokenizer"), err);
    if (!st && mls_pretokenizer_asks_first(tok->pretokenizer) &&
        mls_normalizer_grows(tok->normalizer))
        st =
            mls_fail(err, MLS_E_INPUT,
                     "pre_tokenizer: Metaspace: prepend_scheme \"first\" behind a step "
                     "that cuts and a normalizer that adds characters is not done");
    if (!st)
        st = mls_added_tokens_new(&tok->added, json_object_get(root, "added_tokens"),
                                  tok->model, tok->normalizer, err);
    if (!st)
        st = mls_postprocessor_read(&tok->post, json_object_get(root, "post_processor"),
                                    err);
    if (!st)
        st = check_ids(tok, &tok->post.before, err);
    if (!st)
        st = check_ids(tok, &tok->post.after, err);
    return st;
}

mls_status mls_tokenizer_parse(mls_tokenizer **out, const char *data, size_t len,
                               const char *name, mls_err *err)
{
    mls_tokenizer *tok = calloc(1, sizeof *tok);
    mls_sha256 *sha = NULL;
    json_t *root = NULL;
    mls_status st;

    *out = NULL;
    if (!tok)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a tokenizer");
    st = mls_sha256_new(&sha, err);
    if (st)
        goto done;
    mls_sha256_add(sha, data, len);
    mls_sha256_hex(sha, tok->sha256);
    st = mls_json_parse(&root, data, len, name, err);
    if (st)
        goto done;
    st = read_parts(tok, root, err);
    if (st)
        mls_fail_in(err, st, "%s", name);

done:
    json_decref(root);
    mls_sha256_free(sha);
    if (st)
        mls_tokenizer_close(tok);
    else
        *out = tok;
    return st;
}

/* "tokenizer.json" beside a file; NULL when memory is short. */
static char *beside(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    char *name = folder ? mls_path_join(folder, "tokenizer.json") : NULL;

    free(folder);
    return name;
}

/* Of the vocabulary in a GGUF file; where that is not done, of the file beside it. */
static mls_status open_gguf(mls_tokenizer **out, const char *path, mls_err *err)
{
    char *json = NULL, *other = beside(path);
    mls_gguf *f = NULL;
    mls_err why = {0};
    size_t len = 0;
    mls_status st = other ? mls_gguf_open(&f, path, err)
                          : mls_fail(err, MLS_E_NOMEM, "no memory for a path");

    if (st)
        goto done;
    st = mls_gguf_tokenizer(f, &json, &len, &why);
    if (!st)
        st = mls_tokenizer_parse(out, json, len, path, &why);
    if (st == MLS_E_INPUT && mls_file_exists(other))
        st = mls_tokenizer_open(out, other, err);
    else if (st == MLS_E_INPUT)
        st =
            mls_fail(err, st,
                     "%s; put the model's own tokenizer.json beside the file, which is "
                     "used then",
                     why.text);
    else if (st)
        st = mls_fail(err, st, "%s", why.text);

done:
    mls_gguf_close(f);
    free(json);
    free(other);
    return st;
}

static bool is_spm_model(const char *path)
{
    const size_t n = strlen(path);

    return n >= 6 && strcmp(path + n - 6, ".model") == 0;
}

/* A file of SentencePiece, which becomes a tokenizer.json. */
static mls_status open_spm(mls_tokenizer **out, const char *path, mls_err *err)
{
    char *data = NULL, *json = NULL;
    size_t size, len = 0;
    mls_status st = mls_file_read_regular(path, FILE_MAX, &data, &size, err);

    if (!st)
        st = mls_spm_model(data, size, path, &json, &len, err);
    if (!st)
        st = mls_tokenizer_parse(out, json, len, path, err);
    free(json);
    free(data);
    return st;
}

mls_status mls_tokenizer_open(mls_tokenizer **out, const char *path, mls_err *err)
{
    char *inside = NULL, *data = NULL;
    size_t len;
    mls_status st;

    *out = NULL;
    if (mls_gguf_is(path))
        return open_gguf(out, path, err);
    if (mls_folder_exists(path)) {
        char *model = mls_path_join(path, "tokenizer.model");

        path = inside = mls_path_join(path, "tokenizer.json");
        if (path && model && !mls_file_exists(path) && mls_file_exists(model)) {
            free(inside);
            path = inside = model;
        } else
            free(model);
        if (!path)
            return mls_fail(err, MLS_E_NOMEM, "no memory for a path");
    }
    if (is_spm_model(path)) {
        st = open_spm(out, path, err);
        free(inside);
        return st;
    }
    st = mls_file_read_regular(path, FILE_MAX, &data, &len, err);
    if (!st)
        st = mls_tokenizer_parse(out, data, len, path, err);
    free(data);
    free(inside);
    return st;
}

size_t mls_tokenizer_vocabulary(const mls_tokenizer *tok)
{
    const size_t model = mls_token_model_vocabulary(tok->model);
    const size_t added = mls_added_tokens_vocabulary(tok->added);

    return model > added ? model : added;
}

const char *mls_tokenizer_sha256(const mls_tokenizer *tok)
{
    return tok->sha256;
}

const int32_t *mls_tokenizer_first(const mls_tokenizer *tok, size_t *n)
{
    *n = tok->post.before.n;
    return tok->post.before.id;
}

const char *mls_tokenizer_token(const mls_tokenizer *tok, int32_t id)
{
    const char *token = mls_token_model_token(tok->model, id);

    return token ? token : mls_added_tokens_token(tok->added, id);
}

/* Normalized text without added tokens: cut it into words, encode each. */
static mls_status encode_words(mls_tokenizer *tok, const char *text, size_t len,
                               bool at_start, mls_ids *ids, mls_err *err)
{
    mls_status st =
        mls_pretokenizer_run(tok->pretokenizer, text, len, at_start, &tok->words, err);

    for (size_t i = 0; !st && i < tok->words.n; i++) {
        const mls_word w = tok->words.word[i];

        st = mls_token_model_encode(tok->model, tok->words.text.data + w.begin,
                                    w.end - w.begin, ids, err);
    }
    return st;
}

/* Text without raw added tokens: normalize it, then look for the normalized ones. */
static mls_status encode_piece(mls_tokenizer *tok, const char *text, size_t len,
                               bool at_start, mls_ids *ids, mls_err *err)
{
    mls_added_walk walk = {0};
    mls_status st = mls_normalizer_run(tok->normalizer, text, len, &tok->normal, err);
    const bool kept = at_start && mls_normalizer_start_kept(tok->normalizer);

    while (!st) {
        int32_t id;
        size_t begin, end;
        bool more;

        st = mls_added_tokens_next(tok->added, true, tok->normal.data, tok->normal.len,
                                   &walk, &more, &id, &begin, &end, err);
        if (st || !more)
            break;
        if (id >= 0)
            st = mls_ids_add(ids, id, err);
        else
            st = encode_words(tok, tok->normal.data + begin, end - begin,
                              kept && begin == 0, ids, err);
    }
    return st;
}

static mls_status encode_text(mls_tokenizer *tok, const char *text, size_t len,
                              mls_ids *ids, mls_err *err)
{
    mls_added_walk walk = {0};
    mls_status st = MLS_OK;

    while (!st) {
        int32_t id;
        size_t begin, end;
        bool more;

        st = mls_added_tokens_next(tok->added, false, text, len, &walk, &more, &id,
                                   &begin, &end, err);
        if (st || !more)
            break;
        if (id >= 0)
            st = mls_ids_add(ids, id, err);
        else
            st = encode_piece(tok, text + begin, end - begin, begin == 0, ids, err);
    }
    return st;
}

mls_status mls_tokenizer_encode(mls_tokenizer *tok, const char *text, size_t len,
                                bool special, int32_t **ids, size_t *n, mls_err *err)
{
    const size_t bad = mls_utf8_check(text, len);
    mls_ids list = {0};
    mls_status st = MLS_OK;

    *ids = NULL;
    *n = 0;
    if (bad < len)
        return mls_fail(err, MLS_E_INPUT, "text is not UTF-8 at byte %zu (0x%02X)", bad,
                        (unsigned)(unsigned char)text[bad]);
    if (len > MLS_TOKENIZER_TEXT_MAX)
        return mls_fail(err, MLS_E_INPUT,
                        "text of %zu bytes; at most %zu are taken as one", len,
                        MLS_TOKENIZER_TEXT_MAX);
    if (special)
        st = mls_ids_join(&list, tok->post.before.id, tok->post.before.n, err);
    if (!st)
        st = encode_text(tok, text, len, &list, err);
    if (!st && special)
        st = mls_ids_join(&list, tok->post.after.id, tok->post.after.n, err);
    if (st) {
        mls_ids_free(&list);
        return st;
    }
    *ids = list.id;
    *n = list.n;
    return MLS_OK;
}
