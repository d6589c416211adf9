/* Token spellings and their ids, both ways. */
#ifndef MLS_VOCABULARY_H
#define MLS_VOCABULARY_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "datasets/base/json_members.h"

typedef struct mls_vocabulary mls_vocabulary;

/**
 * @param tokens    a JSON object of spelling: id, with ids in 0..MLS_VOCAB_MAX - 1; of
 *                  two spellings with one id the last one is its spelling
 * @param[out] out  release with mls_vocabulary_free(); NULL on error
 * @return MLS_OK, MLS_E_INPUT (the token) or MLS_E_NOMEM
 */
mls_status mls_vocabulary_new(mls_vocabulary **out, const json_t *tokens, mls_err *err);
void mls_vocabulary_free(mls_vocabulary *v); /* NULL is accepted */

size_t mls_vocabulary_size(const mls_vocabulary *v); /* largest id + 1 */

/** -1 when no token is spelled so. */
int32_t mls_vocabulary_id(const mls_vocabulary *v, const char *token, size_t len);

/** NULL when no token has the id. Borrowed; ends in NUL. */
const char *mls_vocabulary_token(const mls_vocabulary *v, int32_t id);

#endif
