/* A text cut into words, and cutting words at a pattern. */
#ifndef MLS_CUTS_H
#define MLS_CUTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/status.h"
#include "datasets/tokenizer/pattern.h"

/** Bytes begin..end-1 of the text of a mls_words; never empty. */
typedef struct mls_word {
    uint32_t begin, end;
} mls_word;

/** Starts as {0}; release with mls_words_free(). */
typedef struct mls_words {
    mls_buf text;
    mls_word *word;
    size_t n, cap;
    bool at_start; /* word 0 begins where the whole text does */
    bool failed;   /* memory ran out */
} mls_words;

void mls_words_free(mls_words *w); /* {0} is accepted */

/** Add a word to the list, unless it is empty; sets `failed` when memory is short. */
void mls_words_add(mls_words *w, size_t begin, size_t end);

/** What becomes of a match, by the names of tokenizer.json. */
typedef enum mls_split {
    MLS_SPLIT_REMOVED,
    MLS_SPLIT_ISOLATED,
    MLS_SPLIT_MERGED_WITH_PREVIOUS,
    MLS_SPLIT_MERGED_WITH_NEXT,
    MLS_SPLIT_CONTIGUOUS,
} mls_split;

/**
 * Cut one word of a text at the matches of a pattern and add the parts to out's list.
 *
 * @param invert  what lies between the matches counts as the match
 * @return MLS_OK, MLS_E_INPUT (the pattern's limits) or MLS_E_NOMEM
 */
mls_status mls_words_split(mls_words *out, const char *text, mls_word word,
                           mls_pattern *pattern, mls_split behavior, bool invert,
                           mls_err *err);

#endif
