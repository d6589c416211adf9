/*
 * Pieces laid one behind the other are a sequence like any other, so that the ordinary
 * forward pass runs them. `from` is the row that predicts the last piece's first token:
 * one before its place.
 */
#include "bench/evaluate/items.h"

#include <stdlib.h>
#include <string.h>

void mls_items_free(mls_items *t)
{
    mls_corpus_free(&t->corpus);
    free(t->from);
    *t = (mls_items){0};
}

mls_status mls_items_add(mls_items *t, const mls_piece *piece, size_t n, mls_err *err)
{
    mls_corpus *c = &t->corpus;
    size_t ids = 0;

    for (size_t i = 0; i < n; i++)
        ids += piece[i].n;
    int32_t *id = realloc(c->ids, (c->n_ids + ids) * sizeof *id);
    if (id)
        c->ids = id;
    size_t *start = realloc(c->start, (c->N + 2) * sizeof *start);
    if (start)
        c->start = start;
    size_t *from = realloc(t->from, (c->N + 1) * sizeof *from);
    if (from)
        t->from = from;
    if (!id || !start || !from)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu sequences", c->N + 1);
    start[0] = 0;
    for (size_t i = 0; i < n; i++) {
        if (piece[i].n > 0)
            memcpy(c->ids + c->n_ids, piece[i].id, piece[i].n * sizeof *id);
        c->n_ids += piece[i].n;
    }
    from[c->N] = ids - piece[n - 1].n - 1;
    start[++c->N] = c->n_ids;
    c->tokens_available = c->n_ids;
    return MLS_OK;
}
