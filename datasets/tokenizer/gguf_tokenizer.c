/*
 * A GGUF file keeps vocabulary, types, scores or merges, and a name for the rest; from
 * these the tokenizer.json is written that the model came with, so that one tokenizer
 * serves both. SentencePiece's scores become merges (spm_pieces.c) unless all are zero.
 */
#include "datasets/tokenizer/gguf_tokenizer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/base/checked.h"
#include "common/base/shape.h"
#include "datasets/base/utf8.h"
#include "datasets/tokenizer/gguf_cuts.h"
#include "datasets/tokenizer/spm_pieces.h"

/* What tokenizer.ggml.model names. */
typedef struct kind {
    const char *model;
    bool spm;          /* pieces as SentencePiece spells them */
    bool merges;       /* are in the file, whatever the scores are */
    bool space_prefix; /* when tokenizer.ggml.add_space_prefix is missing */
} kind;

static const kind kinds[] = {
    {"gpt2", false, true, false},
    {"llama", true, false, true},
    {"gemma4", true, true, false},
};

typedef struct maker {
    const mls_gguf *f;
    mls_piece *piece; /* (n), by id */
    size_t n;
    const kind *kind;
    json_t *vocab;  /* spelling: id */
    json_t *merges; /* [left, right], by rank */
    json_t *added;
    mls_err *err;
} maker;

static mls_status fail_memory(const maker *m)
{
    return mls_fail(m->err, MLS_E_NOMEM, "no memory for the tokenizer of %s",
                    mls_gguf_path(m->f));
}

/* ---- pieces ---- */

static mls_status check_length(const maker *m, const char *key, const mls_gguf_value *v)
{
    if (v && v->n != m->n)
        return mls_fail(m->err, MLS_E_INPUT,
                        "%s: key \"%s\" has %" PRIu64
                        " items, expected one for each of the %zu tokens",
                        mls_gguf_path(m->f), key, v->n, m->n);
    return MLS_OK;
}

static mls_status read_texts(maker *m)
{
    mls_gguf_walk walk = {0};
    const mls_gguf_value *v;
    mls_status st =
        mls_gguf_array(m->f, "tokenizer.ggml.tokens", MLS_GGUF_STRING, &v, m->err);

    if (st)
        return st;
    if (!v || v->n == 0 || v->n > MLS_VOCAB_MAX)
        return mls_fail(m->err, MLS_E_INPUT,
                        "%s: key \"tokenizer.ggml.tokens\" has %" PRIu64
                        " items, expected 1 to %d",
                        mls_gguf_path(m->f), v ? v->n : 0, MLS_VOCAB_MAX);
    m->n = (size_t)v->n;
    m->piece = mls_calloc3(m->n, 1, 1, sizeof *m->piece);
    if (!m->piece)
        return fail_memory(m);
    for (size_t i = 0; i < m->n; i++) {
        mls_piece *p = &m->piece[i];

        p->text = mls_gguf_next_string(v, &walk, &p->len);
        p->type = MLS_PIECE_NORMAL;
        if (p->len == 0 || memchr(p->text, 0, p->len) ||
            mls_utf8_check(p->text, p->len) < p->len)
            return mls_fail(
                m->err, MLS_E_INPUT, "%s: tokenizer.ggml.tokens: token %zu is %s",
                mls_gguf_path(m->f), i, p->len ? "not UTF-8 without NUL" : "empty");
    }
    return MLS_OK;
}

static mls_status read_pieces(maker *m)
{
    const mls_gguf_value *types =
        mls_gguf_header_value(mls_gguf_head(m->f), "tokenizer.ggml.token_type");
    const mls_gguf_value *scores;
    mls_status st;

    if ((st = read_texts(m)) ||
        (st = check_length(m, "tokenizer.ggml.token_type", types)) ||
        (st = mls_gguf_array(m->f, "tokenizer.ggml.scores", MLS_GGUF_F32, &scores,
                             m->err)) ||
        (st = check_length(m, "tokenizer.ggml.scores", scores)))
        return st;
    if (m->kind->spm && !m->kind->merges && !scores)
        return mls_fail(m->err, MLS_E_INPUT,
                        "%s: key \"tokenizer.ggml.scores\" is missing, which "
                        "tokenizer.ggml.model \"llama\" needs",
                        mls_gguf_path(m->f));
    for (size_t i = 0; !st && i < m->n; i++) {
        if (types)
            st = mls_gguf_whole_at(m->f, "tokenizer.ggml.token_type", i,
                                   &m->piece[i].type, m->err);
        if (scores)
            memcpy(&m->piece[i].score, scores->data + 4 * i, 4);
        if (m->piece[i].score != m->piece[i].score)
            return mls_fail(m->err, MLS_E_INPUT,
                            "%s: tokenizer.ggml.scores: the score of token %zu is NaN",
                            mls_gguf_path(m->f), i);
    }
    return st;
}

/* ---- vocabulary, added tokens ---- */

static mls_status put_token(maker *m, size_t i)
{
    const mls_piece *p = &m->piece[i];

    if (p->type == MLS_PIECE_UNUSED)
        return MLS_OK;
    if (json_object_getn(m->vocab, p->text, p->len))
        return mls_fail(m->err, MLS_E_INPUT,
                        "%s: tokenizer.ggml.tokens: tokens %" JSON_INTEGER_FORMAT
                        " and %zu are both \"%.*s\"",
                        mls_gguf_path(m->f),
                        json_integer_value(json_object_getn(m->vocab, p->text, p->len)),
                        i, (int)(p->len < 64 ? p->len : 64), p->text);
    if (json_object_setn_new(m->vocab, p->text, p->len, json_integer((json_int_t)i)))
        return fail_memory(m);
    if (p->type != MLS_PIECE_CONTROL && p->type != MLS_PIECE_USER_DEFINED &&
        !(p->type == MLS_PIECE_UNKNOWN && m->kind->spm))
        return MLS_OK;
    /* Llama 2's own tokenizer.json looks for <s> and the like in normalized text. */
    return json_array_append_new(
               m->added,
               json_pack("{s:I,s:o,s:b,s:b,s:b,s:b,s:b}", "id", (json_int_t)i,
                         "content", json_stringn(p->text, p->len), "single_word", 0,
                         "lstrip", 0, "rstrip", 0, "normalized",
                         m->kind->spm && p->type != MLS_PIECE_USER_DEFINED, "special",
                         p->type != MLS_PIECE_USER_DEFINED))
               ? fail_memory(m)
               : MLS_OK;
}

static mls_status put_tokens(maker *m)
{
    mls_status st = MLS_OK;

    for (size_t i = 0; !st && i < m->n; i++)
        st = put_token(m, i);
    return st;
}

/* ---- merges ---- */

/*
 * "a b": neither side holds a space, which byte-level vocabularies spell U+0120 and
 * SentencePiece's U+2581.
 */
static mls_status put_merges(maker *m)
{
    mls_gguf_walk walk = {0};
    const mls_gguf_value *v;
    mls_status st =
        mls_gguf_array(m->f, "tokenizer.ggml.merges", MLS_GGUF_STRING, &v, m->err);

    if (!st && !v)
        st = mls_fail(m->err, MLS_E_INPUT,
                      "%s: key \"tokenizer.ggml.merges\" is missing, which "
                      "tokenizer.ggml.model \"%s\" needs",
                      mls_gguf_path(m->f), m->kind->model);
    for (uint64_t i = 0; !st && i < v->n; i++) {
        size_t len;
        const char *text = mls_gguf_next_string(v, &walk, &len);

        if (memchr(text, 0, len) || mls_utf8_check(text, len) < len)
            return mls_fail(m->err, MLS_E_INPUT,
                            "%s: tokenizer.ggml.merges: merge %" PRIu64
                            " is not UTF-8 without NUL",
                            mls_gguf_path(m->f), i);
        if (json_array_append_new(m->merges, json_stringn(text, len)))
            return fail_memory(m);
    }
    return st;
}

/* ---- the other parts ---- */

/* The token that a text begins or ends with: NULL in *out when none is added. */
static mls_status read_edge(const maker *m, const char *add_key, const char *id_key,
                            bool add, json_t **out)
{
    uint64_t id = UINT64_MAX;
    mls_status st;

    *out = NULL;
    if ((st = mls_gguf_bool(m->f, add_key, &add, m->err)) || !add ||
        (st = mls_gguf_whole(m->f, id_key, &id, m->err)))
        return st;
    if (id >= m->n || m->piece[id].type == MLS_PIECE_UNUSED)
        return mls_fail(m->err, MLS_E_INPUT,
                        "%s: a token is added to every text, but %s is %s",
                        mls_gguf_path(m->f), id_key,
                        id == UINT64_MAX ? "missing" : "not in the vocabulary");
    *out =
        json_pack("{s:s%,s:[I],s:[s%]}", "id", m->piece[id].text, m->piece[id].len,
                  "ids", (json_int_t)id, "tokens", m->piece[id].text, m->piece[id].len);
    return *out ? MLS_OK : fail_memory(m);
}

static mls_status put_edges(const maker *m, json_t *root, bool add_bos)
{
    json_t *bos = NULL, *eos = NULL;
    mls_status st;

    if (!(st = read_edge(m, "tokenizer.ggml.add_bos_token",
                         "tokenizer.ggml.bos_token_id", add_bos, &bos)))
        st = read_edge(m, "tokenizer.ggml.add_eos_token", "tokenizer.ggml.eos_token_id",
                       false, &eos);
    if (!st && (bos || eos)) {
        json_t *single = json_array(), *tokens = json_object();
        json_t *const edge[] = {bos, eos};

        for (size_t i = 0; i < 2; i++) {
            if (edge[i]) {
                json_object_set(
                    tokens, json_string_value(json_object_get(edge[i], "id")), edge[i]);
                json_array_append_new(
                    single, json_pack("{s:{s:O,s:i}}", "SpecialToken", "id",
                                      json_object_get(edge[i], "id"), "type_id", 0));
            }
            if (i == 0)
                json_array_append_new(single, json_pack("{s:{s:s,s:i}}", "Sequence",
                                                        "id", "A", "type_id", 0));
        }
        json_object_set_new(root, "post_processor",
                            json_pack("{s:s,s:o,s:[],s:o}", "type",
                                      "TemplateProcessing", "single", single, "pair",
                                      "special_tokens", tokens));
    }
    json_decref(bos);
    json_decref(eos);
    return st;
}

/* Scores that say nothing: then the merges of the file, where it has them, do. */
static bool scores_are_zero(const maker *m)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->piece[i].type == MLS_PIECE_NORMAL && m->piece[i].score != 0.0f)
            return false;
    return true;
}

static mls_status put_piece_merges(maker *m)
{
    const bool has_merges =
        mls_gguf_header_value(mls_gguf_head(m->f), "tokenizer.ggml.merges") != NULL;

    return m->kind->merges || (has_merges && scores_are_zero(m))
               ? put_merges(m)
               : mls_spm_merges(m->piece, m->n, m->vocab, m->merges,
                                mls_gguf_path(m->f), m->err);
}

/* Spaces are U+2581; the text begins with one unless add_space_prefix is false. */
static mls_status put_spm(maker *m, json_t *root, json_t *model)
{
    bool prefix = m->kind->space_prefix;
    uint64_t unknown = 0;
    json_t *steps = json_array();
    mls_status st;

    if ((st =
             mls_gguf_bool(m->f, "tokenizer.ggml.add_space_prefix", &prefix, m->err)) ||
        (st = mls_gguf_whole(m->f, "tokenizer.ggml.unknown_token_id", &unknown,
                             m->err)) ||
        (st = put_piece_merges(m))) {
        json_decref(steps);
        return st;
    }
    if (prefix)
        json_array_append_new(
            steps, json_pack("{s:s,s:s}", "type", "Prepend", "prepend", "\u2581"));
    json_array_append_new(steps,
                          json_pack("{s:s,s:{s:s},s:s}", "type", "Replace", "pattern",
                                    "String", " ", "content", "\u2581"));
    json_object_set_new(
        root, "normalizer",
        json_pack("{s:s,s:o}", "type", "Sequence", "normalizers", steps));
    json_object_set_new(model, "byte_fallback", json_true());
    json_object_set_new(model, "fuse_unk", json_true());
    if (unknown < m->n && m->piece[unknown].type != MLS_PIECE_UNUSED)
        json_object_set_new(
            model, "unk_token",
            json_stringn(m->piece[unknown].text, m->piece[unknown].len));
    json_object_set_new(
        root, "decoder",
        json_pack("{s:s,s:[{s:s,s:{s:s},s:s},{s:s},{s:s},{s:s,s:s,s:i,s:i}]}", "type",
                  "Sequence", "decoders", "type", "Replace", "pattern", "String",
                  "\u2581", "content", " ", "type", "ByteFallback", "type", "Fuse",
                  "type", "Strip", "content", " ", "start", prefix ? 1 : 0, "stop", 0));
    return put_edges(m, root, true);
}

/* Bytes are spelled as GPT-2 does; tokenizer.ggml.pre says where text is cut. */
static mls_status put_gpt2(maker *m, json_t *root, json_t *model)
{
    const mls_gguf_cut *cut;
    char *pre = NULL;
    mls_status st = mls_gguf_text(m->f, "tokenizer.ggml.pre", &pre, m->err);

    if (st)
        return st;
    cut = mls_gguf_cut_find(pre ? pre : "default");
    if (!cut)
        st = mls_fail(m->err, MLS_E_INPUT,
                      "%s: tokenizer.ggml.pre \"%.64s\" is not done",
                      mls_gguf_path(m->f), pre);
    free(pre);
    if (st || (st = put_merges(m)))
        return st;
    json_object_set_new(root, "pre_tokenizer", mls_gguf_cut_json(cut));
    if (cut->nfc)
        json_object_set_new(root, "normalizer", json_pack("{s:s}", "type", "NFC"));
    json_object_set_new(model, "ignore_merges", json_boolean(cut->ignore_merges));
    json_object_set_new(root, "decoder",
                        json_pack("{s:s,s:b,s:b,s:b}", "type", "ByteLevel",
                                  "add_prefix_space", 0, "trim_offsets", 1, "use_regex",
                                  1));
    return put_edges(m, root, cut->add_bos);
}

static mls_status make(maker *m, json_t *root)
{
    json_t *model = json_pack("{s:s,s:O,s:O}", "type", "BPE", "vocab", m->vocab,
                              "merges", m->merges);
    mls_status st;

    if (!model || json_object_set_new(root, "version", json_string("1.0")) ||
        json_object_set(root, "added_tokens", m->added) ||
        json_object_set_new(root, "model", model))
        return fail_memory(m);
    if ((st = read_pieces(m)) || (st = put_tokens(m)))
        return st;
    return m->kind->spm ? put_spm(m, root, model) : put_gpt2(m, root, model);
}

static mls_status read_kind(maker *m)
{
    char *model = NULL;
    mls_status st = mls_gguf_text(m->f, "tokenizer.ggml.model", &model, m->err);

    if (st)
        return st;
    for (size_t i = 0; model && i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(model, kinds[i].model) == 0)
            m->kind = &kinds[i];
    if (!model)
        st =
            mls_fail(m->err, MLS_E_INPUT, "%s: key \"tokenizer.ggml.model\" is missing",
                     mls_gguf_path(m->f));
    else if (!m->kind)
        st = mls_fail(m->err, MLS_E_INPUT,
                      "%s: tokenizer.ggml.model \"%.64s\" is not done, only gpt2, "
                      "llama and gemma4",
                      mls_gguf_path(m->f), model);
    free(model);
    return st;
}

mls_status mls_gguf_tokenizer(const mls_gguf *f, char **json, size_t *len, mls_err *err)
{
    maker m = {.f = f, .err = err};
    json_t *root = json_object();
    mls_status st;

    *json = NULL;
    m.vocab = json_object();
    m.merges = json_array();
    m.added = json_array();
    if (!root || !m.vocab || !m.merges || !m.added)
        st = fail_memory(&m);
    else if (!(st = read_kind(&m)) && !(st = make(&m, root))) {
        *json = json_dumps(root, JSON_COMPACT);
        if (*json)
            *len = strlen(*json);
        else
            st = fail_memory(&m);
    }
    json_decref(root);
    json_decref(m.added);
    json_decref(m.merges);
    json_decref(m.vocab);
    free(m.piece);
    return st;
}
