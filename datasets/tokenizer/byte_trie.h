/* Byte strings with a number each, walked byte by byte from their beginning. */
#ifndef MLS_BYTE_TRIE_H
#define MLS_BYTE_TRIE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

#define MLS_TRIE_NONE UINT32_MAX

/** A byte of a string; children and siblings are indices of nodes. */
typedef struct mls_trie_node {
    uint32_t child, sibling;
    uint32_t value; /* of the string that ends here; MLS_TRIE_NONE */
    unsigned char byte;
} mls_trie_node;

typedef struct mls_trie {
    mls_trie_node *nodes;
    size_t n, cap;
    uint32_t root[256]; /* node of a first byte; MLS_TRIE_NONE */
} mls_trie;

void mls_trie_start(mls_trie *t);
void mls_trie_free(mls_trie *t); /* {0} is accepted */

/**
 * Add a string, len > 0; *holder is the value that stands there now: of equal strings
 * the first one's.
 * @return MLS_OK or MLS_E_NOMEM
 */
mls_status mls_trie_add(mls_trie *t, const char *text, size_t len, uint32_t value,
                        uint32_t *holder, mls_err *err);

/** The node behind `at` (MLS_TRIE_NONE: the root) by one more byte; NONE: no string. */
uint32_t mls_trie_step(const mls_trie *t, uint32_t at, unsigned char byte);

/** The longest string that text (len > 0) begins with; NONE when there is none. */
uint32_t mls_trie_longest(const mls_trie *t, const char *text, size_t len,
                          size_t *length);

#endif
