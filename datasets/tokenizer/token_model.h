/* The model of a tokenizer.json, BPE or Unigram: a word to token ids. */
#ifndef MLS_TOKEN_MODEL_H
#define MLS_TOKEN_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "datasets/base/ids.h"
#include "datasets/base/json_members.h"

typedef struct mls_token_model mls_token_model;

/**
 * @param model     the "model" value
 * @param[out] out  release with mls_token_model_free(); NULL on error
 * @return MLS_OK, MLS_E_INPUT (another model, by name; what the model says) or
 *         MLS_E_NOMEM
 */
mls_status mls_token_model_new(mls_token_model **out, const json_t *model,
                               mls_err *err);
void mls_token_model_free(mls_token_model *m); /* NULL is accepted */

size_t mls_token_model_vocabulary(const mls_token_model *m); /* largest id + 1 */

/** The id of a token's spelling, -1 when there is none. */
int32_t mls_token_model_id(const mls_token_model *m, const char *token, size_t len);

/** The spelling of an id; NULL when no token has it. Borrowed. */
const char *mls_token_model_token(const mls_token_model *m, int32_t id);

/** Append the ids of one word: mls_bpe_encode(), mls_unigram_encode(). */
mls_status mls_token_model_encode(mls_token_model *m, const char *word, size_t len,
                                  mls_ids *ids, mls_err *err);

#endif
