/* Byte pair encoding as in tokenizer.json: a word to token ids. */
#ifndef MLS_BPE_H
#define MLS_BPE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "datasets/base/ids.h"
#include "datasets/base/json_members.h"
#include "datasets/tokenizer/vocabulary.h"

/** A vocabulary with its merges. Encoding uses inner scratch: one thread at a time. */
typedef struct mls_bpe mls_bpe;

/**
 * @param model     the "model" value, whose type is BPE
 * @param[out] out  release with mls_bpe_free(); NULL on error
 * @return MLS_OK, MLS_E_INPUT (a setting; a merge of tokens
 *         that the vocabulary lacks: its number) or MLS_E_NOMEM
 */
mls_status mls_bpe_new(mls_bpe **out, const json_t *model, mls_err *err);
void mls_bpe_free(mls_bpe *bpe); /* NULL is accepted */

const mls_vocabulary *mls_bpe_vocabulary(const mls_bpe *bpe); /* borrowed */

/**
 * Append the ids of one word (Sennrich et al. 2016, algorithm 1, lowest rank first and
 * leftmost among equals), in O(n log n) for n characters.
 *
 * A character that the vocabulary lacks becomes its bytes' tokens <0xNN>
 * (byte_fallback, when all are there), else unk_token, else nothing.
 *
 * @param word  valid UTF-8, len > 0
 * @return MLS_OK, MLS_E_INPUT (unk_token is needed and not in the vocabulary) or
 *         MLS_E_NOMEM
 */
mls_status mls_bpe_encode(mls_bpe *bpe, const char *word, size_t len, mls_ids *ids,
                          mls_err *err);

#endif
