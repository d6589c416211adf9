/* The "added_tokens" of tokenizer.json: texts that are tokens before anything else. */
#ifndef MLS_ADDED_TOKENS_H
#define MLS_ADDED_TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "datasets/base/json_members.h"
#include "datasets/tokenizer/token_model.h"
#include "datasets/tokenizer/normalizer.h"

/** Holds match scratch, so one thread at a time. */
typedef struct mls_added_tokens mls_added_tokens;

/**
 * @param part       the "added_tokens" value; NULL or JSON null: none
 * @param normalizer makes the text of those with "normalized": true; read during the
 *                   call only
 * @param[out] out   release with mls_added_tokens_free(); NULL on error
 * @return MLS_OK, MLS_E_INPUT (a token whose id the vocabulary contradicts) or
 *         MLS_E_NOMEM
 */
mls_status mls_added_tokens_new(mls_added_tokens **out, const json_t *part,
                                const mls_token_model *model,
                                mls_normalizer *normalizer, mls_err *err);
void mls_added_tokens_free(mls_added_tokens *a); /* NULL is accepted */

size_t mls_added_tokens_vocabulary(const mls_added_tokens *a); /* largest id + 1 */

/** NULL when no added token has the id. Borrowed. */
const char *mls_added_tokens_token(const mls_added_tokens *a, int32_t id);

/** A walk over one text; starts as {0}. */
typedef struct mls_added_walk {
    size_t from;  /* where the search goes on */
    size_t done;  /* the text before is accounted for */
    bool owes;    /* a token was found behind the piece given last */
    int32_t owed; /* its id */
} mls_added_walk;

/**
 * The next piece of a text: either an added token (leftmost, the longest of several) or
 * the text between two. `single_word` drops a token that touches a word character;
 * `lstrip` and `rstrip` make it take the white space beside it.
 *
 * @param normalized  look for the tokens with "normalized": true, or for the others
 * @param[out] more   false at the end; then the other results are left alone
 * @param[out] id     -1: a piece of text, bytes *begin..*end-1, not empty
 * @return MLS_OK, MLS_E_INPUT or MLS_E_NOMEM
 */
mls_status mls_added_tokens_next(mls_added_tokens *a, bool normalized, const char *text,
                                 size_t len, mls_added_walk *walk, bool *more,
                                 int32_t *id, size_t *begin, size_t *end, mls_err *err);

#endif
