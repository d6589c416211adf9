/*
 * Python pickles as data: a reader that builds a tree and runs nothing. It knows the
 * opcodes that files of numbers need and refuses the rest by name, and it knows no
 * function to call: what a pickle would call becomes a node of the tree.
 */
#ifndef MLS_PICKLE_H
#define MLS_PICKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

typedef enum mls_pickle_kind {
    MLS_PICKLE_NONE,
    MLS_PICKLE_BOOL,
    MLS_PICKLE_INT, /* at most 64 bits */
    MLS_PICKLE_BIG, /* longer: bytes, little-endian */
    MLS_PICKLE_REAL,
    MLS_PICKLE_TEXT, /* UTF-8 as in the file */
    MLS_PICKLE_BYTES,
    MLS_PICKLE_TUPLE,      /* items */
    MLS_PICKLE_LIST,       /* items */
    MLS_PICKLE_DICT,       /* items: key, value, key, value ... */
    MLS_PICKLE_GLOBAL,     /* bytes: "module\nname" */
    MLS_PICKLE_CALL,       /* items: what would be called, its arguments */
    MLS_PICKLE_PERSISTENT, /* items: the persistent id */
} mls_pickle_kind;

/** A value. Nodes may be shared, and a list may even hold itself: bound every walk. */
typedef struct mls_pickle_node {
    mls_pickle_kind kind;
    int64_t integer; /* BOOL, INT */
    double real;
    const char *bytes; /* TEXT, BYTES, BIG: borrowed from the data, no NUL; GLOBAL */
    size_t n;          /* bytes, or items */
    const struct mls_pickle_node **items;
    size_t room;
} mls_pickle_node;

/** One pickle, read. */
typedef struct mls_pickle {
    const mls_pickle_node *root;
    size_t end; /* bytes of data that it took */
    void *arena;
} mls_pickle;

/**
 * Read the pickle at the start of data (more may follow its STOP). Memory stays in
 * proportion to len, and there are at most 2^22 values. data must outlive the tree.
 *
 * @param name      of the file, for messages
 * @param[out] out  release with mls_pickle_free(); {0} on error
 * @return MLS_OK, MLS_E_INPUT (opcode by name and byte: unknown here, cut short,
 *         nothing to take from the stack, ...) or MLS_E_NOMEM
 */
mls_status mls_pickle_read(mls_pickle *out, const char *data, size_t len,
                           const char *name, mls_err *err);
void mls_pickle_free(mls_pickle *p); /* {0} is accepted */

/** Node of this text? NULL nodes are not. */
bool mls_pickle_is(const mls_pickle_node *node, mls_pickle_kind kind, const char *text);
/** Call of a global? It is written "module\nname". */
bool mls_pickle_calls(const mls_pickle_node *node, const char *global);
/** Value of a text key of a DICT; NULL when there is none. */
const mls_pickle_node *mls_pickle_get(const mls_pickle_node *dict, const char *key);

#endif
