/* Unigram models as in tokenizer.json: a word to the token ids of its likeliest cut. */
#ifndef MLS_UNIGRAM_H
#define MLS_UNIGRAM_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "datasets/base/ids.h"
#include "datasets/base/json_members.h"
#include "datasets/tokenizer/vocabulary.h"

/** Pieces with their log probabilities. One thread at a time. */
typedef struct mls_unigram mls_unigram;

/**
 * @param model     the "model" value, whose type is Unigram
 * @param[out] out  release with mls_unigram_free(); NULL on error
 * @return MLS_OK, MLS_E_INPUT (the setting or piece) or MLS_E_NOMEM
 */
mls_status mls_unigram_new(mls_unigram **out, const json_t *model, mls_err *err);
void mls_unigram_free(mls_unigram *u); /* NULL is accepted */

const mls_vocabulary *mls_unigram_vocabulary(const mls_unigram *u); /* borrowed */

/**
 * Append the ids of one word: valid UTF-8, len > 0.
 * @return MLS_OK, MLS_E_INPUT (a character is in no piece and there is no unk_id) or
 *         MLS_E_NOMEM
 */
mls_status mls_unigram_encode(mls_unigram *u, const char *word, size_t len,
                              mls_ids *ids, mls_err *err);

#endif
