/*
 * sentencepiece_model.proto, as protobuf writes it: a field is a varint of its number
 * times 8 plus its wire type (0 varint, 1 eight bytes, 2 a length and as many bytes, 5
 * four bytes). Read are pieces (1: text 1, score 2, type 3), trainer_spec (2:
 * model_type 3, treat_whitespace_as_suffix 24, byte_fallback 35) and normalizer_spec
 * (3: precompiled_charsmap 2, add_dummy_prefix 3, remove_extra_whitespaces 4,
 * escape_whitespaces 5); every length is held against what is left of the message
 * around it, and nothing nests deeper.
 *
 * What Hugging Face's converter makes of a model is made here: merges by the scores of
 * the pieces or the pieces with their scores (unigram), spaces as U+2581, <s> in front
 * (convert_slow_tokenizer.py, LlamaConverter). A charsmap is taken as SentencePiece
 * takes it, and so are spaces that it removes: those of both ends, all but one between.
 */
#include "datasets/tokenizer/spm_model.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"
#include "common/base/shape.h"
#include "datasets/base/utf8.h"
#include "datasets/tokenizer/normalizer.h"
#include "datasets/tokenizer/spm_pieces.h"

typedef struct message {
    const unsigned char *at, *end;
} message;

typedef struct field {
    uint64_t number;
    unsigned wire;
    uint64_t value; /* of a varint, or of four bytes */
    const unsigned char *data;
    size_t len; /* wire 2 */
} field;

static bool read_varint(message *m, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (m->at == m->end)
            return false;
        const unsigned char byte = *m->at++;

        if (shift == 63 && byte > 1)
            return false;
        *out |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return true;
    }
    return false;
}

/* false at what is no field. */
static bool next_field(message *m, field *f)
{
    uint64_t tag;

    *f = (field){0};
    if (!read_varint(m, &tag) || tag >> 3 == 0)
        return false;
    f->number = tag >> 3;
    f->wire = (unsigned)(tag & 7);
    if (f->wire == 0)
        return read_varint(m, &f->value);
    if (f->wire == 2) {
        uint64_t len;

        if (!read_varint(m, &len) || len > (uint64_t)(m->end - m->at))
            return false;
        f->data = m->at;
        f->len = (size_t)len;
        m->at += len;
        return true;
    }
    const size_t n = f->wire == 5 ? 4 : f->wire == 1 ? 8 : 0;

    if (n == 0 || (size_t)(m->end - m->at) < n)
        return false;
    if (n == 4)
        for (size_t i = 0; i < 4; i++)
            f->value |= (uint64_t)m->at[i] << 8 * i;
    m->at += n;
    return true;
}

typedef struct maker {
    const char *name;
    mls_piece *piece;
    size_t n, room;
    uint64_t model_type; /* 1 unigram, 2 BPE */
    bool byte_fallback, prefix, shrink, escape, suffix;
    const unsigned char *charsmap;
    size_t charsmap_len;
    json_t *root, *vocab, *merges, *added;
    mls_err *err;
} maker;

static mls_status no_memory(const maker *m)
{
    return mls_fail(m->err, MLS_E_NOMEM, "no memory for the tokenizer of %s", m->name);
}

static mls_status broken(const maker *m, const char *what)
{
    return mls_fail(m->err, MLS_E_INPUT, "%s: is not a SentencePiece model: %s",
                    m->name, what);
}

static mls_status read_piece(maker *m, const field *outer)
{
    message in = {outer->data, outer->data + outer->len};
    mls_piece p = {.type = MLS_PIECE_NORMAL};

    while (in.at < in.end) {
        field f;

        if (!next_field(&in, &f))
            return broken(m, "a piece is damaged");
        if (f.number == 1 && f.wire == 2) {
            p.text = (const char *)f.data;
            p.len = f.len;
        } else if (f.number == 2 && f.wire == 5) {
            const uint32_t bits = (uint32_t)f.value;

            memcpy(&p.score, &bits, 4);
        } else if (f.number == 3 && f.wire == 0)
            p.type = f.value;
    }
    if (p.len == 0 || memchr(p.text, 0, p.len) ||
        mls_utf8_check(p.text, p.len) < p.len || !isfinite(p.score))
        return mls_fail(m->err, MLS_E_INPUT,
                        "%s: piece %zu is empty, not UTF-8 without NUL or has no "
                        "finite score",
                        m->name, m->n);
    if (m->n == MLS_VOCAB_MAX)
        return broken(m, "it has more pieces than any vocabulary");
    if (m->n == m->room) {
        const size_t room = m->room ? 2 * m->room : 1 << 14;
        mls_piece *bigger = realloc(m->piece, room * sizeof *bigger);

        if (!bigger)
            return no_memory(m);
        m->piece = bigger;
        m->room = room;
    }
    m->piece[m->n++] = p;
    return MLS_OK;
}

static mls_status read_spec(maker *m, const field *outer, bool normalizer)
{
    message in = {outer->data, outer->data + outer->len};

    while (in.at < in.end) {
        field f;

        if (!next_field(&in, &f))
            return broken(m, "a specification is damaged");
        if (normalizer && f.number == 2 && f.wire == 2)
            m->charsmap = f.data, m->charsmap_len = f.len;
        else if (normalizer && f.number == 3 && f.wire == 0)
            m->prefix = f.value != 0;
        else if (normalizer && f.number == 4 && f.wire == 0)
            m->shrink = f.value != 0;
        else if (normalizer && f.number == 5 && f.wire == 0)
            m->escape = f.value != 0;
        else if (!normalizer && f.number == 3 && f.wire == 0)
            m->model_type = f.value;
        else if (!normalizer && f.number == 24 && f.wire == 0)
            m->suffix = f.value != 0;
        else if (!normalizer && f.number == 35 && f.wire == 0)
            m->byte_fallback = f.value != 0;
    }
    return MLS_OK;
}

static mls_status read_model(maker *m, const char *data, size_t size)
{
    message in = {(const unsigned char *)data, (const unsigned char *)data + size};
    mls_status st = MLS_OK;

    while (!st && in.at < in.end) {
        field f;

        if (!next_field(&in, &f))
            return broken(m, "a field is damaged");
        if (f.number == 1 && f.wire == 2)
            st = read_piece(m, &f);
        else if ((f.number == 2 || f.number == 3) && f.wire == 2)
            st = read_spec(m, &f, f.number == 3);
    }
    return st || m->n > 0 ? st : broken(m, "it has no pieces");
}

static mls_status judge(const maker *m)
{
    const char *what = m->model_type != 1 && m->model_type != 2
                           ? "it is a word or char model, and only BPE and unigram "
                             "are done"
                       : m->suffix  ? "treat_whitespace_as_suffix is not done"
                       : !m->escape ? "escape_whitespaces off is not done"
                                    : NULL;

    for (size_t i = 0; !what && m->model_type == 1 && i < m->n; i++)
        if (m->piece[i].type == MLS_PIECE_UNUSED)
            what = "unused pieces of a unigram model are not done";
    return what ? mls_fail(m->err, MLS_E_INPUT,
                           "%s: %s; put the model's own tokenizer.json beside it",
                           m->name, what)
                : MLS_OK;
}

static mls_status put_pieces(maker *m)
{
    for (size_t i = 0; i < m->n; i++) {
        const mls_piece *p = &m->piece[i];

        if (json_object_getn(m->vocab, p->text, p->len))
            return mls_fail(m->err, MLS_E_INPUT, "%s: piece %zu is there twice",
                            m->name, i);
        if (json_object_setn_new(m->vocab, p->text, p->len,
                                 json_integer((json_int_t)i)))
            return no_memory(m);
        if (p->type != MLS_PIECE_CONTROL && p->type != MLS_PIECE_UNKNOWN &&
            p->type != MLS_PIECE_USER_DEFINED)
            continue;
        if (json_array_append_new(
                m->added,
                json_pack("{s:I,s:o,s:b,s:b,s:b,s:b,s:b}", "id", (json_int_t)i,
                          "content", json_stringn(p->text, p->len), "single_word", 0,
                          "lstrip", 0, "rstrip", 0, "normalized", 0, "special",
                          p->type != MLS_PIECE_USER_DEFINED)))
            return no_memory(m);
    }
    return m->model_type == 1
               ? MLS_OK
               : mls_spm_merges(m->piece, m->n, m->vocab, m->merges, m->name, m->err);
}

/* <s> in front of every text, where there is such a piece. */
static json_t *first_token(const maker *m)
{
    const json_t *id = json_object_get(m->vocab, "<s>");

    return id ? json_pack("{s:s,s:[{s:{s:s,s:i}},{s:{s:s,s:i}}],s:[],s:{s:{s:s,s:[O],"
                          "s:[s]}}}",
                          "type", "TemplateProcessing", "single", "SpecialToken", "id",
                          "<s>", "type_id", 0, "Sequence", "id", "A", "type_id", 0,
                          "pair", "special_tokens", "<s>", "id", "<s>", "ids", id,
                          "tokens", "<s>")
              : json_null();
}

/* RFC 4648, as a tokenizer.json holds a charsmap; NULL when memory is short. */
static json_t *base64(const unsigned char *data, size_t len)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *text = malloc(4 * (len / 3 + 1) + 1), *end = text;
    json_t *out;

    for (size_t i = 0; text && i < len; i += 3) {
        const size_t n = len - i < 3 ? len - i : 3;
        const uint32_t bits = (uint32_t)data[i] << 16 |
                              (n > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
                              (n > 2 ? data[i + 2] : 0);

        for (size_t k = 0; k < 4; k++)
            *end++ = k <= n ? digits[bits >> (18 - 6 * k) & 63] : '=';
    }
    out = text ? json_stringn(text, (size_t)(end - text)) : NULL;
    free(text);
    return out;
}

static int add_replace(json_t *steps, const char *kind, const char *pattern,
                       const char *content)
{
    return json_array_append_new(steps, json_pack("{s:s,s:{s:s},s:s}", "type",
                                                  "Replace", "pattern", kind, pattern,
                                                  "content", content));
}

static int add_prefix(json_t *steps)
{
    return json_array_append_new(
        steps, json_pack("{s:s,s:s}", "type", "Prepend", "prepend", "\u2581"));
}

static json_t *normalizer(const maker *m)
{
    json_t *steps = json_array();

    /* Where spaces stay, a text that becomes nothing has its prefix, too. */
    if (m->prefix && !m->shrink)
        add_prefix(steps);
    if (m->charsmap_len)
        json_array_append_new(steps,
                              json_pack("{s:s,s:o}", "type", MLS_NORMALIZER_LONGEST,
                                        "precompiled_charsmap",
                                        base64(m->charsmap, m->charsmap_len)));
    if (m->shrink) {
        add_replace(steps, "Regex", "\\A +|[ \u2581]+\\z", "");
        add_replace(steps, "Regex", " {2,}", " ");
    }
    if (m->prefix && m->shrink)
        add_prefix(steps);
    add_replace(steps, "String", " ", "\u2581");
    return json_pack("{s:s,s:o}", "type", "Sequence", "normalizers", steps);
}

/* Pieces with their scores. */
static json_t *unigram(const maker *m)
{
    json_t *vocab = json_array();
    json_t *model = json_pack("{s:s,s:o,s:b}", "type", "Unigram", "vocab", vocab,
                              "byte_fallback", m->byte_fallback);

    for (size_t i = 0; i < m->n; i++)
        json_array_append_new(vocab,
                              json_pack("[s%,f]", m->piece[i].text, m->piece[i].len,
                                        (double)m->piece[i].score));
    return model;
}

static mls_status put_parts(maker *m)
{
    json_t *model = m->model_type == 1
                        ? unigram(m)
                        : json_pack("{s:s,s:O,s:O,s:b,s:b}", "type", "BPE", "vocab",
                                    m->vocab, "merges", m->merges, "byte_fallback",
                                    m->byte_fallback, "fuse_unk", 1);

    for (size_t i = 0; i < m->n; i++)
        if (m->piece[i].type == MLS_PIECE_UNKNOWN && m->model_type == 1)
            json_object_set_new(model, "unk_id", json_integer((json_int_t)i));
        else if (m->piece[i].type == MLS_PIECE_UNKNOWN)
            json_object_set_new(model, "unk_token",
                                json_stringn(m->piece[i].text, m->piece[i].len));
    json_object_set_new(m->root, "normalizer", normalizer(m));
    json_object_set(m->root, "added_tokens", m->added);
    json_object_set_new(m->root, "post_processor", first_token(m));
    json_object_set_new(m->root, "version", json_string("1.0"));
    return json_object_set_new(m->root, "model", model) ? no_memory(m) : MLS_OK;
}

mls_status mls_spm_model(const char *data, size_t size, const char *name, char **json,
                         size_t *len, mls_err *err)
{
    /* What the fields are when they are missing. */
    maker m = {.name = name,
               .model_type = 1,
               .prefix = true,
               .shrink = true,
               .escape = true,
               .root = json_object(),
               .vocab = json_object(),
               .merges = json_array(),
               .added = json_array(),
               .err = err};
    mls_status st;

    *json = NULL;
    st = m.root && m.vocab && m.merges && m.added ? read_model(&m, data, size)
                                                  : no_memory(&m);
    if (!st && !(st = judge(&m)) && !(st = put_pieces(&m)) && !(st = put_parts(&m))) {
        *json = json_dumps(m.root, JSON_COMPACT | JSON_REAL_PRECISION(17));
        if (*json)
            *len = strlen(*json);
        else
            st = no_memory(&m);
    }
    json_decref(m.added);
    json_decref(m.merges);
    json_decref(m.vocab);
    json_decref(m.root);
    free(m.piece);
    return st;
}
