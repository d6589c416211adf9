/*
 * Their texts are found before anything else is done to a text, raw ones before and the
 * others after normalizing, at each place the longest first; one that is a single word
 * must stand alone, and with lstrip and rstrip it takes the white space beside it.
 */
#include "datasets/tokenizer/added_tokens.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"
#include "common/base/shape.h"
#include "datasets/base/utf8.h"
#include "datasets/tokenizer/byte_trie.h"
#include "datasets/tokenizer/pattern.h"

enum { CONTENT_MAX = 4096 }; /* bytes; bounds the time of a search */
#define NONE MLS_TRIE_NONE

typedef struct token {
    char *content;
    size_t len;
    int32_t id;
    bool single_word, lstrip, rstrip, normalized, special;
} token;

struct mls_added_tokens {
    token *tokens;
    size_t n;
    size_t vocabulary;
    uint32_t *by_id; /* (vocabulary), index of a token; NONE */
    mls_trie raw, normalized;
    mls_pattern *word; /* one word character */
};

void mls_added_tokens_free(mls_added_tokens *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->n; i++)
        free(a->tokens[i].content);
    free(a->tokens);
    free(a->by_id);
    mls_trie_free(&a->raw);
    mls_trie_free(&a->normalized);
    mls_pattern_free(a->word);
    free(a);
}

/* ---- reading ---- */

static mls_status read_token(mls_added_tokens *a, const json_t *item,
                             const mls_token_model *model, mls_err *err)
{
    static const char *const settings[] = {
        "id",     "content",    "single_word", "lstrip",
        "rstrip", "normalized", "special",     NULL,
    };
    static const char where[] = "added_tokens";
    token *t = &a->tokens[a->n];
    mls_text content;
    int64_t id;
    mls_status st = mls_json_only(item, where, settings, err);

    if (!st)
        st = mls_json_text(item, where, "content", &content, err);
    if (!st)
        st = mls_json_count(item, where, "id", MLS_VOCAB_MAX - 1, &id, err);
    if (!st)
        st = mls_json_bool(item, where, "special", false, &t->special, err);
    if (!st)
        st = mls_json_bool(item, where, "single_word", false, &t->single_word, err);
    if (!st)
        st = mls_json_bool(item, where, "lstrip", false, &t->lstrip, err);
    if (!st)
        st = mls_json_bool(item, where, "rstrip", false, &t->rstrip, err);
    if (!st)
        st = mls_json_bool(item, where, "normalized", !t->special, &t->normalized, err);
    if (st || content.len == 0) /* the reference leaves empty ones out, too */
        return st;
    if (content.len > CONTENT_MAX)
        return mls_fail(err, MLS_E_INPUT, "%s: id %lld is %zu bytes long, at most %d",
                        where, (long long)id, content.len, CONTENT_MAX);

    const int32_t known = mls_token_model_id(model, content.data, content.len);
    const char *other = mls_token_model_token(model, (int32_t)id);

    if (known >= 0 && known != id)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: \"%.64s\" has id %lld, but %d in the vocabulary", where,
                        content.data, (long long)id, known);
    if (known < 0 && other)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: \"%.64s\" has id %lld, which is \"%.64s\" in the "
                        "vocabulary",
                        where, content.data, (long long)id, other);
    t->id = (int32_t)id;
    t->len = content.len;
    t->content = strdup(content.data);
    if (!t->content)
        return mls_fail(err, MLS_E_NOMEM, "no memory for added tokens");
    if ((size_t)id >= a->vocabulary)
        a->vocabulary = (size_t)id + 1;
    a->n++;
    return MLS_OK;
}

static mls_status twice(const token *x, const token *y, mls_err *err)
{
    return mls_fail(err, MLS_E_INPUT,
                    "added_tokens: \"%.64s\" with id %d and \"%.64s\" with id %d",
                    x->content, x->id, y->content, y->id);
}

/* No id and no content may be there twice. */
static mls_status check_tokens(mls_added_tokens *a, mls_err *err)
{
    mls_status st = MLS_OK;
    mls_trie *seen = calloc(1, sizeof *seen);

    a->by_id = mls_calloc3(a->vocabulary, 1, 1, sizeof *a->by_id);
    if (!seen || !a->by_id) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for added tokens");
        goto done;
    }
    mls_trie_start(seen);
    for (size_t id = 0; id < a->vocabulary; id++)
        a->by_id[id] = NONE;
    for (size_t i = 0; !st && i < a->n; i++) {
        const token *t = &a->tokens[i];
        uint32_t *same_id = &a->by_id[t->id];
        uint32_t same_content;

        st = mls_trie_add(seen, t->content, t->len, (uint32_t)i, &same_content, err);
        if (!st && same_content != i)
            st = twice(&a->tokens[same_content], t, err);
        else if (!st && *same_id != NONE)
            st = twice(&a->tokens[*same_id], t, err);
        *same_id = (uint32_t)i;
    }

done:
    if (seen)
        mls_trie_free(seen);
    free(seen);
    return st;
}

/* Put tokens into the tries, in the order in which the reference prefers equal ones. */
static mls_status index_tokens(mls_added_tokens *a, mls_normalizer *normalizer,
                               mls_err *err)
{
    mls_buf text = {0};
    mls_status st = MLS_OK;

    for (int special = 1; special >= 0; special--)
        for (size_t i = 0; !st && i < a->n; i++) {
            const token *t = &a->tokens[i];
            uint32_t holder;

            if (t->special != (special == 1))
                continue;
            if (!t->normalized) {
                st = mls_trie_add(&a->raw, t->content, t->len, (uint32_t)i, &holder,
                                  err);
                continue;
            }
            st = mls_normalizer_run(normalizer, t->content, t->len, &text, err);
            if (!st && text.len > CONTENT_MAX)
                st = mls_fail(err, MLS_E_INPUT,
                              "added_tokens: \"%.64s\" is too long once normalized",
                              t->content);
            else if (!st && text.len == 0)
                st = mls_fail(err, MLS_E_INPUT,
                              "added_tokens: \"%.64s\" is empty once normalized",
                              t->content);
            if (!st)
                st = mls_trie_add(&a->normalized, text.data, text.len, (uint32_t)i,
                                  &holder, err);
            if (!st && holder != (uint32_t)i)
                st = mls_fail(err, MLS_E_INPUT,
                              "added_tokens: \"%.64s\" and \"%.64s\" are the same text "
                              "once normalized, which is not done",
                              a->tokens[holder].content, t->content);
        }
    mls_buf_free(&text);
    return st;
}

mls_status mls_added_tokens_new(mls_added_tokens **out, const json_t *part,
                                const mls_token_model *model,
                                mls_normalizer *normalizer, mls_err *err)
{
    const size_t n = json_array_size(part);
    mls_added_tokens *a = calloc(1, sizeof *a);
    /* The words of Rust's regex crate. */
    static const char word[] = "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]";
    mls_status st = MLS_OK;

    *out = NULL;
    if (a)
        a->tokens = mls_calloc3(n, 1, 1, sizeof *a->tokens);
    if (!a || !a->tokens) {
        mls_added_tokens_free(a);
        return mls_fail(err, MLS_E_NOMEM, "no memory for added tokens");
    }
    mls_trie_start(&a->raw);
    mls_trie_start(&a->normalized);
    if (part && !json_is_null(part) && !json_is_array(part))
        st = mls_fail(err, MLS_E_INPUT, "added_tokens: expected an array, found %s",
                      mls_json_kind(part));
    if (!st)
        st = mls_pattern_new(&a->word, MLS_PCRE2, word, sizeof word - 1, "added_tokens",
                             err);
    for (size_t i = 0; !st && i < n; i++)
        st = read_token(a, json_array_get(part, i), model, err);
    if (!st)
        st = check_tokens(a, err);
    if (!st)
        st = index_tokens(a, normalizer, err);
    if (st)
        mls_added_tokens_free(a);
    else
        *out = a;
    return st;
}

size_t mls_added_tokens_vocabulary(const mls_added_tokens *a)
{
    return a->vocabulary;
}

const char *mls_added_tokens_token(const mls_added_tokens *a, int32_t id)
{
    if (id < 0 || (size_t)id >= a->vocabulary || a->by_id[id] == NONE)
        return NULL;
    return a->tokens[a->by_id[id]].content;
}

/* ---- searching ---- */

/* Whether the code point at begin..end-1 is a word character. */
static mls_status is_word(mls_added_tokens *a, const char *text, size_t begin,
                          size_t end, bool *yes, mls_err *err)
{
    mls_scan scan = {0};
    size_t b, e;

    return mls_pattern_next(a->word, text + begin, end - begin, &scan, yes, &b, &e,
                            err);
}

/* Whether a match stands between characters that are not of a word. */
static mls_status stands_alone(mls_added_tokens *a, const char *text, size_t len,
                               size_t begin, size_t end, bool *alone, mls_err *err)
{
    bool before = false, after = false;
    size_t next = end;
    mls_status st = MLS_OK;

    if (begin > 0)
        st = is_word(a, text, mls_utf8_before(text, begin), begin, &before, err);
    if (!st && end < len) {
        mls_utf8_next(text, len, &next);
        st = is_word(a, text, end, next, &after, err);
    }
    *alone = !before && !after;
    return st;
}

static size_t without_space_before(const char *text, size_t i, size_t least)
{
    while (i > least) {
        const size_t before = mls_utf8_before(text, i);
        size_t next = before;

        if (!mls_is_white_space(mls_utf8_next(text, i, &next)))
            break;
        i = before;
    }
    return i;
}

static size_t without_space_after(const char *text, size_t len, size_t i)
{
    while (i < len) {
        size_t next = i;

        if (!mls_is_white_space(mls_utf8_next(text, len, &next)))
            break;
        i = next;
    }
    return i;
}

mls_status mls_added_tokens_next(mls_added_tokens *a, bool normalized, const char *text,
                                 size_t len, mls_added_walk *walk, bool *more,
                                 int32_t *id, size_t *begin, size_t *end, mls_err *err)
{
    const mls_trie *t = normalized ? &a->normalized : &a->raw;

    *more = true;
    if (walk->owes) {
        *id = walk->owed;
        walk->owes = false;
        return MLS_OK;
    }
    while (t->n > 0 && walk->from < len) {
        const size_t at = walk->from;
        size_t length, start, stop;
        const uint32_t found = mls_trie_longest(t, text + at, len - at, &length);
        bool alone = true;

        if (found == NONE) {
            walk->from++;
            continue;
        }
        const token *hit = &a->tokens[found];
        walk->from = stop = at + length;
        if (hit->single_word) {
            const mls_status st = stands_alone(a, text, len, at, stop, &alone, err);

            if (st)
                return st;
        }
        if (!alone)
            continue;
        start = at;
        if (hit->lstrip)
            start = without_space_before(text, at, walk->done);
        if (hit->rstrip)
            stop = without_space_after(text, len, stop);
        *begin = walk->done;
        *end = start;
        walk->done = stop;
        if (*begin >= start) {
            *id = hit->id;
            return MLS_OK;
        }
        *id = -1;
        walk->owed = hit->id;
        walk->owes = true;
        return MLS_OK;
    }
    *more = walk->done < len;
    *id = -1;
    *begin = walk->done;
    *end = len;
    walk->done = len;
    return MLS_OK;
}
