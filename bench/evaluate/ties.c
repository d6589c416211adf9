/*
 * Two settings run the same windows, so the mean of their KL's difference is paired by
 * window and has a 95 % interval of its own; what lies inside of it orders nothing.
 *
 * A quantized cache has a second source of doubt: rounding decides which code a number
 * gets, so correct programs that add in another order differ by about 1 % in KL (the
 * same setting with other block sizes, other sign conventions). That difference is the
 * same in all windows, which no interval sees; so quantized settings need 2 % more.
 */
#include "bench/evaluate/ties.h"

#include <math.h>

#include "analysis/numeric/interval.h"

bool mls_kl_tied(mls_mean difference, double a, double b, bool quantized)
{
    const double gap = fabs(difference.mean);

    return gap <= difference.half || (quantized && gap <= MLS_ROUNDING * fmax(a, b));
}

bool mls_compared_tied(const mls_compared *a, const mls_compared *b)
{
    if (!a->measured || !b->measured || a->N != b->N)
        return false;
    return mls_kl_tied(mls_mean_of_difference(a->seq_kl, b->seq_kl, a->N), a->kl.mean,
                       b->kl.mean, a->quantized || b->quantized);
}

void mls_compared_front(bool *front, const mls_compared *const *row, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const mls_compared *x = row[i];

        front[i] = !isnan(x->bytes) && !isnan(x->kl.mean);
        for (size_t j = 0; front[i] && j < n; j++) {
            const mls_compared *y = row[j];

            if (y->bytes > x->bytes || y->kl.mean > x->kl.mean)
                continue;
            if (y->bytes < x->bytes ||
                (y->kl.mean < x->kl.mean && !mls_compared_tied(x, y)))
                front[i] = false;
        }
    }
}
