/*
 * The machine that pickle opcodes act on: values in a tree, a stack, marks on it, a
 * memo. Only datasets/files/pickle.c, which knows the opcodes, includes this.
 */
#ifndef MLS_PICKLE_MACHINE_H
#define MLS_PICKLE_MACHINE_H

#include "datasets/files/pickle.h"

struct mls_pickle_block; /* values in blocks, so that they stay where they are */

/** Starts with data, name, len and err set and all else 0. */
typedef struct mls_pickle_machine {
    const char *data, *name;
    size_t len, at, op; /* bytes; where to read on; where the current opcode stands */
    struct mls_pickle_block *blocks;
    size_t n_nodes;
    size_t taken; /* bytes of values */
    mls_pickle_node **stack;
    size_t n_stack, stack_room;
    size_t *marks; /* heights of the stack */
    size_t n_marks, mark_room;
    mls_pickle_node **memo;
    size_t n_memo; /* entries in use, by number of MEMOIZE */
    size_t memo_room;
    mls_err *err;
} mls_pickle_machine;

/*
 * All of these return MLS_OK, MLS_E_INPUT (a sentence with the file and the byte of the
 * opcode) or MLS_E_NOMEM. Nothing is taken from below the last mark.
 */

/** MLS_E_INPUT: "FILE: pickle, byte N: WHAT". */
mls_status mls_pickle_fail(mls_pickle_machine *m, const char *what);

/** Put a value on the stack, or take the topmost off. */
mls_status mls_pickle_push(mls_pickle_machine *m, mls_pickle_node *node);
/** A new node on the stack. @param[out] out  may be NULL; the machine's */
mls_status mls_pickle_push_new(mls_pickle_machine *m, mls_pickle_node value,
                               mls_pickle_node **out);
mls_status mls_pickle_pop(mls_pickle_machine *m, mls_pickle_node **out);

/** Replace the n topmost values by a node of this kind that has them as its items. */
mls_status mls_pickle_gather(mls_pickle_machine *m, mls_pickle_kind kind, size_t n);
/** Move the n topmost values into the list or dict below them. */
mls_status mls_pickle_append(mls_pickle_machine *m, mls_pickle_kind kind, size_t n);

/** Mark the height of the stack. */
mls_status mls_pickle_put_mark(mls_pickle_machine *m);
/** Take the last mark away. @param[out] n  values above it */
mls_status mls_pickle_pop_mark(mls_pickle_machine *m, size_t *n);

/** Give the topmost value a number in the memo. */
mls_status mls_pickle_remember(mls_pickle_machine *m, uint64_t number);
/** Push the value of a memo number once more. */
mls_status mls_pickle_recall(mls_pickle_machine *m, uint64_t number);

void mls_pickle_free_nodes(struct mls_pickle_block *b); /* NULL is accepted */

#endif
