/*
 * `order` ranks all chunks and `count` says how many of the first are kept, so that
 * another budget needs no other ranking. Split, both sets are ascending, as weights
 * hold them.
 */
#include "analysis/frequency/selection.h"

#include <string.h>

#include "common/base/checked.h"
#include "common/base/order.h"

mls_status mls_selection_new(mls_selection *s, size_t G, size_t C, mls_err *err)
{
    *s = (mls_selection){.G = G, .C = C};
    if (C > UINT16_MAX)
        return mls_fail(err, MLS_E_ARG, "%zu chunks per head; %d is the limit", C,
                        UINT16_MAX);
    s->count = mls_calloc3(G, 1, 1, sizeof *s->count);
    s->order = mls_calloc3(G, C, 1, sizeof *s->order);
    if (!s->count || !s->order) {
        mls_selection_free(s);
        return mls_fail(err, MLS_E_NOMEM,
                        "no memory for a selection of %zu x %zu chunks", G, C);
    }
    for (size_t g = 0; g < G; g++)
        for (size_t c = 0; c < C; c++)
            s->order[g * C + c] = (uint16_t)c;
    return MLS_OK;
}

mls_status mls_selection_copy(mls_selection *to, const mls_selection *from,
                              mls_err *err)
{
    const mls_status st = mls_selection_new(to, from->G, from->C, err);

    if (st)
        return st;
    memcpy(to->count, from->count, from->G * sizeof *to->count);
    memcpy(to->order, from->order, from->G * from->C * sizeof *to->order);
    return MLS_OK;
}

void mls_selection_free(mls_selection *s)
{
    mls_free_all(s->count, s->order);
    *s = (mls_selection){0};
}

void mls_selection_rank(mls_selection *s, const double *score)
{
    for (size_t g = 0; g < s->G; g++)
        mls_order_by_score(s->order + g * s->C, score + g * s->C, s->C);
}

void mls_selection_split(const mls_selection *s, size_t g, uint16_t *kept,
                         uint16_t *dropped)
{
    const uint16_t *order = s->order + g * s->C;
    size_t n_kept = 0, n_dropped = 0;

    for (size_t c = 0; c < s->C; c++) {
        bool keep = false;

        for (size_t i = 0; i < s->count[g] && !keep; i++)
            keep = order[i] == c;
        if (keep)
            kept[n_kept++] = (uint16_t)c;
        else
            dropped[n_dropped++] = (uint16_t)c;
    }
}
