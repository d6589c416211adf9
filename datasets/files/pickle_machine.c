/*
 * Nodes live in blocks until the whole tree is released, so that a value may hang in
 * two places. Memory is bounded by the file's length: few opcodes could otherwise ask
 * for any amount by remembering and repeating.
 */
#include "datasets/files/pickle_machine.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK_NODES = 256, NODES_MAX = 1 << 22 };

typedef struct mls_pickle_block {
    struct mls_pickle_block *next;
    size_t used;
    mls_pickle_node node[BLOCK_NODES];
} block;

mls_status mls_pickle_fail(mls_pickle_machine *m, const char *what)
{
    return mls_fail(m->err, MLS_E_INPUT, "%s: pickle, byte %zu: %s", m->name, m->op,
                    what);
}

/* Numbers need little more than their bytes; a million empty tuples do not. */
static mls_status take_memory(mls_pickle_machine *m, size_t bytes)
{
    const size_t free_bytes = (size_t)48 << 20;

    m->taken += bytes;
    return m->taken <= free_bytes + 2 * m->len
               ? MLS_OK
               : mls_pickle_fail(m, "more values than a file of numbers needs");
}

static mls_status no_memory(mls_pickle_machine *m)
{
    return mls_fail(m->err, MLS_E_NOMEM, "%s: no memory for a pickle of %zu bytes",
                    m->name, m->len);
}

/* Room for one more of n elements; the array doubles. */
static bool grow(void *array, size_t n, size_t *room, size_t size)
{
    void *grown;
    size_t wanted = *room ? *room * 2 : 4;

    if (n < *room)
        return true;
    memcpy(&grown, array, sizeof grown);
    grown = wanted > SIZE_MAX / size ? NULL : realloc(grown, wanted * size);
    if (!grown)
        return false;
    memcpy(array, &grown, sizeof grown);
    *room = wanted;
    return true;
}

mls_status mls_pickle_push(mls_pickle_machine *m, mls_pickle_node *node)
{
    if (!grow(&m->stack, m->n_stack, &m->stack_room, sizeof *m->stack))
        return no_memory(m);
    m->stack[m->n_stack++] = node;
    return MLS_OK;
}

/* A new node on the stack. */
mls_status mls_pickle_push_new(mls_pickle_machine *m, mls_pickle_node value,
                               mls_pickle_node **out)
{
    if (m->n_nodes++ == NODES_MAX)
        return mls_pickle_fail(m, "more than 4194304 values");
    if (!m->blocks || m->blocks->used == BLOCK_NODES) {
        const mls_status st = take_memory(m, sizeof(block));
        block *b = st ? NULL : calloc(1, sizeof *b);

        if (!b)
            return st ? st : no_memory(m);
        b->next = m->blocks;
        m->blocks = b;
    }
    mls_pickle_node *node = &m->blocks->node[m->blocks->used++];

    *node = value;
    if (out)
        *out = node;
    return mls_pickle_push(m, node);
}

/* Lowest place of the stack that opcodes may take from: the last mark. */
static size_t floor_of(const mls_pickle_machine *m)
{
    return m->n_marks ? m->marks[m->n_marks - 1] : 0;
}

mls_status mls_pickle_pop(mls_pickle_machine *m, mls_pickle_node **out)
{
    if (m->n_stack == floor_of(m))
        return mls_pickle_fail(m, "the stack is empty");
    *out = m->stack[--m->n_stack];
    return MLS_OK;
}

static mls_status add_item(mls_pickle_machine *m, mls_pickle_node *to,
                           mls_pickle_node *item)
{
    const size_t before = to->room;

    if (!grow(&to->items, to->n, &to->room, sizeof *to->items))
        return no_memory(m);
    to->items[to->n++] = item;
    return take_memory(m, (to->room - before) * sizeof *to->items);
}

/* A node of this kind with the n topmost values of the stack as its items. */
mls_status mls_pickle_gather(mls_pickle_machine *m, mls_pickle_kind kind, size_t n)
{
    mls_pickle_node *node;
    mls_status st = MLS_OK;

    if (n > m->n_stack - floor_of(m))
        return mls_pickle_fail(m, "the stack holds too few values");

    const size_t from = m->n_stack - n;

    st = mls_pickle_push_new(m, (mls_pickle_node){.kind = kind}, &node);
    for (size_t i = 0; i < n && !st; i++)
        st = add_item(m, node, m->stack[from + i]);
    m->stack[from] = node;
    m->n_stack = from + 1;
    return st;
}

mls_status mls_pickle_pop_mark(mls_pickle_machine *m, size_t *n)
{
    *n = 0;
    if (m->n_marks == 0)
        return mls_pickle_fail(m, "there is no mark on the stack");
    *n = m->n_stack - floor_of(m);
    m->n_marks--;
    return MLS_OK;
}

/* The n topmost values go into the list or dict below them. */
mls_status mls_pickle_append(mls_pickle_machine *m, mls_pickle_kind kind, size_t n)
{
    mls_status st = MLS_OK;

    if (n >= m->n_stack - floor_of(m))
        return mls_pickle_fail(m, "the stack holds too few values");

    mls_pickle_node *to = m->stack[m->n_stack - n - 1];

    if (to->kind != kind)
        return mls_pickle_fail(m, kind == MLS_PICKLE_LIST
                                      ? "items for what is not a list"
                                      : "items for what is not a dict");
    if (kind == MLS_PICKLE_DICT && n % 2)
        return mls_pickle_fail(m, "a key without a value");
    for (size_t i = 0; i < n && !st; i++)
        st = add_item(m, to, m->stack[m->n_stack - n + i]);
    m->n_stack -= n;
    return st;
}

mls_status mls_pickle_remember(mls_pickle_machine *m, uint64_t number)
{
    if (m->n_stack == floor_of(m))
        return mls_pickle_fail(m, "the stack is empty");
    if (number > m->len)
        return mls_pickle_fail(m, "a memo number beyond the length of the file");
    while (m->memo_room <= number) {
        const size_t before = m->memo_room;

        if (!grow(&m->memo, m->memo_room, &m->memo_room, sizeof *m->memo))
            return no_memory(m);
        memset(m->memo + before, 0, (m->memo_room - before) * sizeof *m->memo);
    }
    m->memo[number] = m->stack[m->n_stack - 1];
    m->n_memo++;
    return MLS_OK;
}

mls_status mls_pickle_recall(mls_pickle_machine *m, uint64_t number)
{
    if (number >= m->memo_room || !m->memo[number])
        return mls_pickle_fail(m, "a memo number that was never given");
    return mls_pickle_push(m, m->memo[number]);
}

mls_status mls_pickle_put_mark(mls_pickle_machine *m)
{
    if (!grow(&m->marks, m->n_marks, &m->mark_room, sizeof *m->marks))
        return no_memory(m);
    m->marks[m->n_marks++] = m->n_stack;
    return MLS_OK;
}

void mls_pickle_free_nodes(block *b)
{
    while (b) {
        block *next = b->next;

        for (size_t i = 0; i < b->used; i++)
            free(b->node[i].items);
        free(b);
        b = next;
    }
}
