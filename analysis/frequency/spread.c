/*
 * Giving a budget chunk by chunk to the largest gain is best only where gains fall; two
 * chunks may help together and neither alone. So each head's losses are replaced by
 * their lower convex hull, along which gains never rise. Equal gains go to the smaller
 * head.
 */
#include "analysis/frequency/spread.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"

/* gain[r] = what the hull of loss (C + 1) falls by from r to r + 1; never increases. */
static void hull_gains(double *gain, const double *loss, size_t C)
{
    for (size_t r = 0; r < C;) {
        size_t to = r + 1;
        double steepest = loss[r] - loss[to];

        /* The next corner: the furthest of the steepest lines. */
        for (size_t x = r + 2; x <= C; x++) {
            const double slope = (loss[r] - loss[x]) / (double)(x - r);

            if (slope >= steepest) {
                steepest = slope;
                to = x;
            }
        }
        for (; r < to; r++)
            gain[r] = steepest;
    }
}

mls_status mls_spread_budget(size_t *count, const double *loss, size_t n, size_t C,
                             size_t budget, mls_err *err)
{
    double *gain = mls_calloc3(n, C, 1, sizeof *gain);

    if (!gain)
        return mls_fail(err, MLS_E_NOMEM, "no memory to spread a budget over %zu heads",
                        n);
    memset(count, 0, n * sizeof *count);
    for (size_t i = 0; i < n; i++)
        hull_gains(gain + i * C, loss + i * (C + 1), C);
    for (size_t spent = 0; spent < budget; spent++) {
        size_t best = n;

        for (size_t i = 0; i < n; i++)
            if (count[i] < C &&
                (best == n || gain[i * C + count[i]] > gain[best * C + count[best]]))
                best = i;
        if (best == n) /* everything is kept */
            break;
        count[best]++;
    }
    free(gain);
    return MLS_OK;
}
