/*
 * The "pre_tokenizer" of tokenizer.json: text to words, which BPE never merges across.
 */
#ifndef MLS_PRETOKENIZER_H
#define MLS_PRETOKENIZER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/status.h"
#include "datasets/base/json_members.h"
#include "datasets/tokenizer/cuts.h"

/** Steps done one after the other. Holds match scratch, so one thread at a time. */
typedef struct mls_pretokenizer mls_pretokenizer;

/**
 * Split, ByteLevel, Metaspace, Digits, Punctuation, Whitespace, WhitespaceSplit and
 * Sequence.
 *
 * @param part      the "pre_tokenizer" value; NULL or JSON null: the text is one word
 * @param[out] out  release with mls_pretokenizer_free(); NULL on error
 * @return MLS_OK, MLS_E_INPUT (another type, by name; a setting) or MLS_E_NOMEM
 */
mls_status mls_pretokenizer_new(mls_pretokenizer **out, const json_t *part,
                                mls_err *err);
void mls_pretokenizer_free(mls_pretokenizer *p); /* NULL is accepted */

/** Whether a piece behind a cut may be "first": then no normalizer may come before. */
bool mls_pretokenizer_asks_first(const mls_pretokenizer *p);

/**
 * Cut valid UTF-8 of at most MLS_TOKENIZER_TEXT_MAX bytes.
 *
 * @param at_start  the text begins where the whole text does (Metaspace asks)
 * @param out       what it held is replaced
 * @return MLS_OK, MLS_E_INPUT (a pattern's limits, a result that is too long) or
 *         MLS_E_NOMEM
 */
mls_status mls_pretokenizer_run(mls_pretokenizer *p, const char *text, size_t len,
                                bool at_start, mls_words *out, mls_err *err);

#endif
