/*
 * The children of a node are a list of siblings; only first bytes, of which a
 * vocabulary has many, have a table.
 */
#include "datasets/tokenizer/byte_trie.h"

#include <stdlib.h>

#define NONE MLS_TRIE_NONE

void mls_trie_free(mls_trie *t)
{
    free(t->nodes);
    *t = (mls_trie){0};
}

void mls_trie_start(mls_trie *t)
{
    *t = (mls_trie){0};
    for (size_t b = 0; b < 256; b++)
        t->root[b] = NONE;
}

static uint32_t sibling_with(const mls_trie *t, uint32_t i, unsigned char byte)
{
    while (i != NONE && t->nodes[i].byte != byte)
        i = t->nodes[i].sibling;
    return i;
}

mls_status mls_trie_add(mls_trie *t, const char *text, size_t len, uint32_t value,
                        uint32_t *holder, mls_err *err)
{
    uint32_t at = NONE;

    if (t->n + len > t->cap) {
        const size_t cap = 2 * t->cap + len + 64;
        mls_trie_node *grown = realloc(t->nodes, cap * sizeof *grown);

        if (!grown)
            return mls_fail(err, MLS_E_NOMEM, "no memory for the tokens of a trie");
        t->nodes = grown;
        t->cap = cap;
    }
    for (size_t i = 0; i < len; i++) {
        const unsigned char byte = (unsigned char)text[i];
        uint32_t *list = i == 0 ? &t->root[byte] : &t->nodes[at].child;

        at = sibling_with(t, *list, byte);
        if (at == NONE) {
            at = (uint32_t)t->n++;
            t->nodes[at] = (mls_trie_node){NONE, *list, NONE, byte};
            *list = at;
        }
    }
    if (t->nodes[at].value == NONE)
        t->nodes[at].value = value;
    *holder = t->nodes[at].value;
    return MLS_OK;
}

uint32_t mls_trie_step(const mls_trie *t, uint32_t at, unsigned char byte)
{
    return at == NONE ? t->root[byte] : sibling_with(t, t->nodes[at].child, byte);
}

uint32_t mls_trie_longest(const mls_trie *t, const char *text, size_t len,
                          size_t *length)
{
    uint32_t at = NONE, best = NONE;

    for (size_t i = 0; i < len; i++) {
        at = mls_trie_step(t, at, (unsigned char)text[i]);
        if (at == NONE)
            break;
        if (t->nodes[at].value != NONE) {
            best = t->nodes[at].value;
            *length = i + 1;
        }
    }
    return best;
}
