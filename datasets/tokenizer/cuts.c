/*
 * Matches and what lies between them alternate; a behaviour says which join their
 * neighbour. The last piece waits until it is known what follows it.
 */
#include "datasets/tokenizer/cuts.h"

#include <stdlib.h>

void mls_words_free(mls_words *w)
{
    mls_buf_free(&w->text);
    free(w->word);
    *w = (mls_words){0};
}

void mls_words_add(mls_words *w, size_t begin, size_t end)
{
    if (begin == end)
        return;
    if (w->n == w->cap) {
        const size_t cap = w->cap ? 2 * w->cap : 256;
        mls_word *word = realloc(w->word, cap * sizeof *word);

        if (!word) {
            w->failed = true;
            return;
        }
        w->word = word;
        w->cap = cap;
    }
    w->word[w->n++] = (mls_word){(uint32_t)begin, (uint32_t)end};
}

/* A piece that waits for what follows it. */
typedef struct pending {
    bool any, is_match;
    size_t begin, end;
} pending;

/* The folds of NormalizedString::split in normalizer.rs, one piece at a time. */
static void add_piece(mls_words *out, pending *last, mls_split behavior, size_t begin,
                      size_t end, bool is_match)
{
    const pending now = {true, is_match, begin, end};

    switch (behavior) {
    case MLS_SPLIT_REMOVED:
        if (!is_match)
            mls_words_add(out, begin, end);
        return;
    case MLS_SPLIT_ISOLATED:
        mls_words_add(out, begin, end);
        return;
    case MLS_SPLIT_CONTIGUOUS: /* neighbours of a kind are one */
        if (last->any && last->is_match == is_match) {
            last->end = end;
            return;
        }
        break;
    case MLS_SPLIT_MERGED_WITH_PREVIOUS:
        if (last->any && is_match && !last->is_match) {
            last->end = end;
            last->is_match = true;
            return;
        }
        break;
    case MLS_SPLIT_MERGED_WITH_NEXT:
        if (last->any && last->is_match && !is_match) {
            last->end = end;
            last->is_match = false;
            return;
        }
        break;
    }
    mls_words_add(out, last->begin, last->end);
    *last = now;
}

mls_status mls_words_split(mls_words *out, const char *text, mls_word word,
                           mls_pattern *pattern, mls_split behavior, bool invert,
                           mls_err *err)
{
    const size_t len = word.end - word.begin;
    pending last = {0};
    mls_scan scan = {0};
    size_t done = 0;

    for (;;) {
        size_t begin, end;
        bool found;
        const mls_status st = mls_pattern_next(pattern, text + word.begin, len, &scan,
                                               &found, &begin, &end, err);

        if (st)
            return st;
        if (!found)
            break;
        if (begin > done)
            add_piece(out, &last, behavior, word.begin + done, word.begin + begin,
                      invert);
        add_piece(out, &last, behavior, word.begin + begin, word.begin + end, !invert);
        done = end;
    }
    if (len > done)
        add_piece(out, &last, behavior, word.begin + done, word.end, invert);
    mls_words_add(out, last.begin, last.end);
    return MLS_OK;
}
