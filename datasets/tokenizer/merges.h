/* The "merges" of a BPE model: what two neighbouring tokens become. */
#ifndef MLS_MERGES_H
#define MLS_MERGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "datasets/base/json_members.h"
#include "datasets/tokenizer/vocabulary.h"

typedef struct mls_merge {
    uint64_t pair; /* left id << 32 | right id */
    uint32_t rank; /* the lowest of a word is done first */
    int32_t id;    /* of the token made of both */
} mls_merge;

typedef struct mls_merges mls_merges;

/**
 * @param list    merges as "a b" or ["a", "b"], by rank
 * @param skip    bytes of the right side that the joined token leaves out
 * @param[out] out  release with mls_merges_free(); NULL on error
 * @return MLS_OK, MLS_E_INPUT (the merge's number, and the token that is not in the
 *         vocabulary) or MLS_E_NOMEM
 */
mls_status mls_merges_new(mls_merges **out, const json_t *list,
                          const mls_vocabulary *vocabulary, size_t skip, mls_err *err);
void mls_merges_free(mls_merges *m); /* NULL is accepted */

/** NULL when the pair does not merge. */
const mls_merge *mls_merges_find(const mls_merges *m, int32_t left, int32_t right);

/**
 * Whether some merge has a left side that ends in one code point and a right side that
 * begins with the other. Where none has, no token ever reaches across the two.
 */
bool mls_merges_join(const mls_merges *m, int32_t before, int32_t after);

#endif
