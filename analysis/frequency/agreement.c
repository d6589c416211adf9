/*
 * |A and B| / r for equal budgets, Jaccard's |A and B| / |A or B| where heads may keep
 * different numbers, Spearman's correlation of all places for what a budget cuts off.
 * Two choices of nothing agree.
 */
#include "analysis/frequency/agreement.h"

#include <stdbool.h>

#include "analysis/numeric/interval.h"
#include "common/base/shape.h"

size_t mls_order_common(const uint16_t *a, size_t a_n, const uint16_t *b, size_t b_n)
{
    bool in_a[MLS_DIM_MAX / 2] = {false};
    size_t n = 0;

    for (size_t k = 0; k < a_n; k++)
        in_a[a[k]] = true;
    for (size_t k = 0; k < b_n; k++)
        n += in_a[b[k]];
    return n;
}

/* Places of the chunks in an order, as numbers to correlate. */
static void places(double *place, const uint16_t *order, size_t C)
{
    for (size_t k = 0; k < C; k++)
        place[order[k]] = (double)k;
}

void mls_order_agreement(const uint16_t *a, const uint16_t *b, size_t G, size_t C,
                         const size_t *chunks, size_t n_chunks, double weight,
                         double *overlap, double *correlation)
{
    const double share = weight / (double)G;
    double in_a[MLS_DIM_MAX / 2], in_b[MLS_DIM_MAX / 2];

    for (size_t g = 0; g < G; g++) {
        const uint16_t *one = a + g * C, *two = b + g * C;

        for (size_t i = 0; i < n_chunks; i++) {
            const size_t r = chunks[i];

            overlap[i] +=
                r ? share * (double)mls_order_common(one, r, two, r) / (double)r
                  : share;
        }
        places(in_a, one, C);
        places(in_b, two, C);
        *correlation += share * mls_rank_correlation(in_a, in_b, C);
    }
}

double mls_selection_jaccard(const mls_selection *a, const mls_selection *b)
{
    double sum = 0.0;

    for (size_t g = 0; g < a->G; g++) {
        const size_t n_a = a->count[g], n_b = b->count[g];
        const size_t common =
            mls_order_common(a->order + g * a->C, n_a, b->order + g * b->C, n_b);
        const size_t all = n_a + n_b - common;

        sum += all ? (double)common / (double)all : 1.0;
    }
    return sum / (double)a->G;
}
