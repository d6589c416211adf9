/*
 * Merges of a word are a heap of rank and place: the smallest rank goes first, of equal
 * ones the leftmost, as in the tokenizers library. What was queued is checked again
 * when it is taken, since a neighbour may have been merged meanwhile. Words come back
 * often, so that their ids are remembered by hash; the text is compared, never the hash
 * alone.
 */
#include "datasets/tokenizer/bpe.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/system/hash.h"
#include "datasets/base/utf8.h"
#include "datasets/tokenizer/merges.h"

enum {
    CACHE_SLOTS = 1 << 14,
    CACHED_BYTES = 54, /* longest word that is remembered */
    CACHED_IDS = 16,
};
#define NONE UINT32_MAX

/* The ids of a word encoded before. */
typedef struct memory {
    uint64_t hash;
    uint8_t len, n; /* len is 0 in a free slot */
    char word[CACHED_BYTES];
    int32_t id[CACHED_IDS];
} memory;

/* A token of the word being encoded, linked with its neighbours. */
typedef struct symbol {
    int32_t id; /* -1: merged into the one before */
    uint32_t previous, next;
} symbol;

struct mls_bpe {
    mls_vocabulary *vocabulary;
    mls_merges *merges;
    memory *memories; /* (CACHE_SLOTS), by hash */

    int32_t byte_id[256]; /* <0xNN>; -1: none */
    bool byte_fallback, fuse_unknown, ignore_merges;
    bool unknown_named;
    int32_t unknown_id;    /* -1: named, but not in the vocabulary */
    char *prefix, *suffix; /* of the characters after the first, and of the last */

    symbol *symbols;
    size_t n_symbols, symbols_cap;
    uint64_t *queue; /* binary heap of rank << 32 | position */
    size_t n_queue, queue_cap;
    mls_buf character; /* with prefix and suffix */
};

void mls_bpe_free(mls_bpe *bpe)
{
    if (!bpe)
        return;
    mls_vocabulary_free(bpe->vocabulary);
    mls_merges_free(bpe->merges);
    free(bpe->memories);
    free(bpe->prefix);
    free(bpe->suffix);
    free(bpe->symbols);
    free(bpe->queue);
    mls_buf_free(&bpe->character);
    free(bpe);
}

/* ---- reading ---- */

/* A setting that is a string or null; an empty one is none. */
static mls_status read_word(const json_t *model, const char *key, char **word,
                            mls_err *err)
{
    const json_t *value = json_object_get(model, key);
    mls_text text;
    mls_status st;

    if (!value || json_is_null(value))
        return MLS_OK;
    st = mls_json_text(model, "model", key, &text, err);
    if (st || text.len == 0)
        return st;
    *word = strdup(text.data);
    return *word ? MLS_OK : mls_fail(err, MLS_E_NOMEM, "no memory for a setting");
}

static mls_status read_settings(mls_bpe *bpe, const json_t *model, mls_err *err)
{
    const json_t *dropout = json_object_get(model, "dropout");
    const json_t *unknown = json_object_get(model, "unk_token");
    mls_text name;
    mls_status st = MLS_OK;

    if (dropout && !json_is_null(dropout) &&
        !(json_is_number(dropout) && json_number_value(dropout) == 0))
        return mls_fail(err, MLS_E_INPUT,
                        "model: \"dropout\" is not done: ids would be random");
    st =
        mls_json_bool(model, "model", "byte_fallback", false, &bpe->byte_fallback, err);
    if (!st)
        st = mls_json_bool(model, "model", "fuse_unk", false, &bpe->fuse_unknown, err);
    if (!st)
        st = mls_json_bool(model, "model", "ignore_merges", false, &bpe->ignore_merges,
                           err);
    if (!st)
        st = read_word(model, "continuing_subword_prefix", &bpe->prefix, err);
    if (!st)
        st = read_word(model, "end_of_word_suffix", &bpe->suffix, err);
    if (st || !unknown || json_is_null(unknown))
        return st;
    st = mls_json_text(model, "model", "unk_token", &name, err);
    if (st)
        return st;
    bpe->unknown_named = true;
    bpe->unknown_id = mls_vocabulary_id(bpe->vocabulary, name.data, name.len);
    return MLS_OK;
}

static mls_status read_model(mls_bpe *bpe, const json_t *model, mls_err *err)
{
    static const char *const settings[] = {
        "type",
        "dropout",
        "unk_token",
        "continuing_subword_prefix",
        "fuse_unk",
        "end_of_word_suffix",
        "byte_fallback",
        "ignore_merges",
        "vocab",
        "merges",
        NULL,
    };
    const json_t *vocabulary = json_object_get(model, "vocab");
    const json_t *merges;
    mls_status st = mls_json_only(model, "model", settings, err);

    if (!st && !json_is_object(vocabulary))
        st =
            mls_fail(err, MLS_E_INPUT, "model: \"vocab\": expected an object, found %s",
                     mls_json_kind(vocabulary));
    if (!st)
        st = mls_vocabulary_new(&bpe->vocabulary, vocabulary, err);
    if (!st)
        st = read_settings(bpe, model, err);
    if (!st)
        st = mls_json_array(model, "model", "merges", &merges, err);
    if (!st)
        st = mls_merges_new(&bpe->merges, merges, bpe->vocabulary,
                            bpe->prefix ? strlen(bpe->prefix) : 0, err);
    return st;
}

mls_status mls_bpe_new(mls_bpe **out, const json_t *model, mls_err *err)
{
    mls_bpe *bpe = calloc(1, sizeof *bpe);
    mls_status st;

    *out = NULL;
    if (bpe)
        bpe->memories = calloc(CACHE_SLOTS, sizeof *bpe->memories);
    if (!bpe || !bpe->memories) {
        mls_bpe_free(bpe);
        return mls_fail(err, MLS_E_NOMEM, "no memory for a vocabulary");
    }
    st = read_model(bpe, model, err);
    if (st) {
        mls_bpe_free(bpe);
        return st;
    }
    for (int b = 0; b < 256; b++) {
        char token[8];

        snprintf(token, sizeof token, "<0x%02X>", (unsigned)b);
        bpe->byte_id[b] = mls_vocabulary_id(bpe->vocabulary, token, 6);
    }
    *out = bpe;
    return MLS_OK;
}

const mls_vocabulary *mls_bpe_vocabulary(const mls_bpe *bpe)
{
    return bpe->vocabulary;
}

/* ---- merging ---- */

static mls_status add_symbol(mls_bpe *bpe, int32_t id, mls_err *err)
{
    const size_t n = bpe->n_symbols;

    if (n == bpe->symbols_cap) {
        const size_t cap = n ? 2 * n : 256;
        symbol *grown = realloc(bpe->symbols, cap * sizeof *grown);

        if (!grown)
            return mls_fail(err, MLS_E_NOMEM, "no memory for a word of %zu symbols",
                            cap);
        bpe->symbols = grown;
        bpe->symbols_cap = cap;
    }
    bpe->symbols[n] = (symbol){id, n > 0 ? (uint32_t)n - 1 : NONE, NONE};
    if (n > 0)
        bpe->symbols[n - 1].next = (uint32_t)n;
    bpe->n_symbols++;
    return MLS_OK;
}

static mls_status add_unknown(mls_bpe *bpe, mls_err *err)
{
    if (bpe->unknown_id < 0)
        return mls_fail(
            err, MLS_E_INPUT,
            "model: a character is not in the vocabulary, nor is unk_token");
    return add_symbol(bpe, bpe->unknown_id, err);
}

/* All bytes of text as tokens <0xNN>; *done is false when one is missing. */
static mls_status add_bytes(mls_bpe *bpe, const char *text, size_t len, bool *done,
                            mls_err *err)
{
    mls_status st = MLS_OK;

    *done = false;
    for (size_t i = 0; i < len; i++)
        if (bpe->byte_id[(unsigned char)text[i]] < 0)
            return MLS_OK;
    *done = true;
    for (size_t i = 0; !st && i < len; i++)
        st = add_symbol(bpe, bpe->byte_id[(unsigned char)text[i]], err);
    return st;
}

/* The word's characters as symbols. */
static mls_status start_word(mls_bpe *bpe, const char *word, size_t len, mls_err *err)
{
    bool unknown = false; /* one is owed: fuse_unk may lengthen it */
    mls_status st = MLS_OK;

    bpe->n_symbols = 0;
    for (size_t i = 0; !st && i < len;) {
        const size_t at = i;
        const char *c = word + at;
        size_t n;

        mls_utf8_next(word, len, &i);
        n = i - at;
        if (bpe->prefix || bpe->suffix) {
            bpe->character.len = 0;
            if (bpe->prefix && at > 0)
                mls_buf_puts(&bpe->character, bpe->prefix);
            mls_buf_add(&bpe->character, c, n);
            if (bpe->suffix && i == len)
                mls_buf_puts(&bpe->character, bpe->suffix);
            if (bpe->character.failed)
                return mls_fail(err, MLS_E_NOMEM, "no memory for a character");
            c = bpe->character.data;
            n = bpe->character.len;
        }

        const int32_t id = mls_vocabulary_id(bpe->vocabulary, c, n);
        bool done = false;

        if (id < 0 && bpe->byte_fallback)
            st = add_bytes(bpe, c, n, &done, err);
        if (st || done)
            continue;
        if (unknown && (id >= 0 || !bpe->fuse_unknown)) {
            st = add_unknown(bpe, err);
            unknown = false;
        }
        if (!st && id >= 0)
            st = add_symbol(bpe, id, err);
        else if (bpe->unknown_named)
            unknown = true;
    }
    return !st && unknown ? add_unknown(bpe, err) : st;
}

static void sift_down(uint64_t *heap, size_t n, size_t i)
{
    const uint64_t moved = heap[i];

    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= moved)
            break;
        heap[i] = heap[child];
    }
    heap[i] = moved;
}

static uint64_t pop(mls_bpe *bpe)
{
    const uint64_t top = bpe->queue[0];

    bpe->queue[0] = bpe->queue[--bpe->n_queue];
    if (bpe->n_queue > 1)
        sift_down(bpe->queue, bpe->n_queue, 0);
    return top;
}

/* Queue the merge of the symbol at a position with the next one, if there is one. */
static mls_status push(mls_bpe *bpe, uint32_t at, bool sorted, mls_err *err)
{
    const symbol *s = bpe->symbols;
    const mls_merge *m;

    if (at == NONE || s[at].next == NONE)
        return MLS_OK;
    m = mls_merges_find(bpe->merges, s[at].id, s[s[at].next].id);
    if (!m)
        return MLS_OK;
    if (bpe->n_queue == bpe->queue_cap) {
        const size_t cap = bpe->queue_cap ? 2 * bpe->queue_cap : 256;
        uint64_t *grown = realloc(bpe->queue, cap * sizeof *grown);

        if (!grown)
            return mls_fail(err, MLS_E_NOMEM, "no memory for %zu merges", cap);
        bpe->queue = grown;
        bpe->queue_cap = cap;
    }

    const uint64_t order = (uint64_t)m->rank << 32 | at;
    size_t i = bpe->n_queue++;

    for (; sorted && i > 0 && bpe->queue[(i - 1) / 2] > order; i = (i - 1) / 2)
        bpe->queue[i] = bpe->queue[(i - 1) / 2];
    bpe->queue[i] = order;
    return MLS_OK;
}

static mls_status merge_word(mls_bpe *bpe, mls_err *err)
{
    symbol *s = bpe->symbols;
    mls_status st = MLS_OK;

    bpe->n_queue = 0;
    for (size_t i = 0; !st && i + 1 < bpe->n_symbols; i++)
        st = push(bpe, (uint32_t)i, false, err);
    for (size_t i = bpe->n_queue / 2; i-- > 0;)
        sift_down(bpe->queue, bpe->n_queue, i);
    while (!st && bpe->n_queue > 0) {
        const uint64_t top = pop(bpe);
        const uint32_t at = (uint32_t)top;
        const uint32_t right = s[at].next;
        const mls_merge *m;

        /* What was queued may have been merged otherwise since. */
        if (s[at].id < 0 || right == NONE)
            continue;
        m = mls_merges_find(bpe->merges, s[at].id, s[right].id);
        if (!m || m->rank != (uint32_t)(top >> 32))
            continue;
        s[at].id = m->id;
        s[at].next = s[right].next;
        s[right].id = -1;
        if (s[at].next != NONE)
            s[s[at].next].previous = at;
        st = push(bpe, s[at].previous, true, err);
        if (!st)
            st = push(bpe, at, true, err);
    }
    return st;
}

/* ---- words ---- */

static mls_status encode_part(mls_bpe *bpe, const char *word, size_t len, mls_ids *ids,
                              mls_err *err)
{
    const size_t first = ids->n;
    const uint64_t hash = len <= CACHED_BYTES ? mls_xxh3(word, len) : 0;
    memory *m = &bpe->memories[hash % CACHE_SLOTS];
    mls_status st = MLS_OK;

    if (len <= CACHED_BYTES && m->hash == hash && m->len == len &&
        memcmp(m->word, word, len) == 0) {
        return mls_ids_join(ids, m->id, m->n, err);
    }
    st = start_word(bpe, word, len, err);
    if (!st)
        st = merge_word(bpe, err);
    for (size_t i = 0; !st && i < bpe->n_symbols; i++)
        if (bpe->symbols[i].id >= 0)
            st = mls_ids_add(ids, bpe->symbols[i].id, err);
    if (!st && len <= CACHED_BYTES && ids->n - first <= CACHED_IDS) {
        *m =
            (memory){.hash = hash, .len = (uint8_t)len, .n = (uint8_t)(ids->n - first)};
        memcpy(m->word, word, len);
        for (size_t i = 0; i < m->n; i++)
            m->id[i] = ids->id[first + i];
    }
    return st;
}

/*
 * No token ever reaches across a pair of neighbouring characters unless some merge has
 * a left side that ends in the first and a right side that begins with the second, so a
 * long word may be cut at every other pair: same ids, short queues, known parts. Both
 * must be tokens, since unknown characters have other rules.
 */
static bool can_cut(const mls_bpe *bpe, const char *word, size_t before, size_t at,
                    size_t after)
{
    size_t i = before, j = at;
    const int32_t left = mls_utf8_next(word, at, &i);
    const int32_t right = mls_utf8_next(word, after, &j);

    return !mls_merges_join(bpe->merges, left, right) &&
           mls_vocabulary_id(bpe->vocabulary, word + before, at - before) >= 0 &&
           mls_vocabulary_id(bpe->vocabulary, word + at, after - at) >= 0;
}

mls_status mls_bpe_encode(mls_bpe *bpe, const char *word, size_t len, mls_ids *ids,
                          mls_err *err)
{
    size_t begin = 0, before = 0, at = 0;
    mls_status st = MLS_OK;

    if (bpe->ignore_merges) {
        const int32_t id = mls_vocabulary_id(bpe->vocabulary, word, len);

        if (id >= 0)
            return mls_ids_add(ids, id, err);
    }
    if (len <= CACHED_BYTES || bpe->prefix || bpe->suffix)
        return encode_part(bpe, word, len, ids, err);
    mls_utf8_next(word, len, &at);
    while (!st && at < len) {
        size_t after = at;

        mls_utf8_next(word, len, &after);
        if (can_cut(bpe, word, before, at, after)) {
            st = encode_part(bpe, word + begin, at - begin, ids, err);
            begin = at;
        }
        before = at;
        at = after;
    }
    return st ? st : encode_part(bpe, word + begin, len - begin, ids, err);
}
