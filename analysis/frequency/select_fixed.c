/*
 * Kept chunks come first, ascending, then the others. Divisions are those of the
 * projects' code, which truncate: k C / r, k (C - 1) / (r - 1).
 */
#include "analysis/frequency/select_fixed.h"

void mls_order_high(uint16_t *order, size_t C)
{
    for (size_t c = 0; c < C; c++)
        order[c] = (uint16_t)c;
}

void mls_order_low(uint16_t *order, size_t C)
{
    for (size_t c = 0; c < C; c++)
        order[c] = (uint16_t)(C - 1 - c);
}

/* order[0..r-1] is given, ascending; the other chunks follow, ascending. */
static void append_others(uint16_t *order, size_t C, size_t r)
{
    size_t n = r, k = 0;

    for (size_t c = 0; c < C; c++)
        if (k < r && order[k] == c)
            k++;
        else
            order[n++] = (uint16_t)c;
}

mls_status mls_order_uniform(uint16_t *order, size_t C, size_t r, size_t start,
                             mls_err *err)
{
    if (r > 0 && (r - 1) * C / r + start >= C)
        return mls_fail(err, MLS_E_ARG,
                        "uniform:%zu with %zu of %zu chunks: the start may be at most "
                        "%zu",
                        start, r, C, C - 1 - (r - 1) * C / r);
    for (size_t k = 0; k < r; k++)
        order[k] = (uint16_t)(k * C / r + start);
    append_others(order, C, r);
    return MLS_OK;
}

void mls_order_uniform_elite(uint16_t *order, size_t C, size_t r)
{
    for (size_t k = 0; k < r; k++)
        order[k] = (uint16_t)(r > 1 ? k * (C - 1) / (r - 1) : 0);
    append_others(order, C, r);
}

void mls_order_high_low(uint16_t *order, size_t C, size_t r, size_t high)
{
    for (size_t k = 0; k < r; k++)
        order[k] = (uint16_t)(k < high ? k : C - r + k);
    append_others(order, C, r);
}
