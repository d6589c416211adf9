/*
 * Insertion, because equal scores must keep the order of their ids on every machine,
 * which qsort() does not promise; there are a few hundred at most.
 */
#include "common/base/order.h"

#include <math.h>
#include <stdbool.h>

/* NaN comes after every number. */
static bool before(double a, double b)
{
    return a > b || (isnan(b) && !isnan(a));
}

void mls_order_by_score(uint16_t *order, const double *score, size_t n)
{
    /* Insertion keeps equal scores in the order of their ids. */
    for (size_t c = 0; c < n; c++) {
        size_t at = c;

        for (; at > 0 && before(score[c], score[order[at - 1]]); at--)
            order[at] = order[at - 1];
        order[at] = (uint16_t)c;
    }
}
