/*
 * Exact: dynamic programming over bytes beyond each layer's least, in units of their
 * greatest common divisor; where that gives too many cells the unit is coarser and
 * bytes are rounded up, so that the budget holds in any case. Water-filling: steps
 * along the layers' lower convex hulls, steepest first; the first that does not fit
 * gives the price of a byte, and loss - price * (bytes left) is below what any
 * allocation reaches.
 */
#include "bench/plan/allocate.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"

enum { CELLS_MAX = 65536 };

static size_t least_of(const mls_choices *c, size_t l)
{
    size_t least = SIZE_MAX;

    for (size_t i = c->first[l]; i < c->first[l + 1]; i++)
        least = c->item[i].bytes < least ? c->item[i].bytes : least;
    return least;
}

size_t mls_choices_least(const mls_choices *c)
{
    size_t sum = 0;

    for (size_t l = 0; l < c->L; l++)
        sum += least_of(c, l);
    return sum;
}

static mls_status too_small(size_t budget, size_t least, mls_err *err)
{
    return mls_fail(
        err, MLS_E_INPUT,
        "a budget of %zu bytes is impossible: the smallest choices take %zu", budget,
        least);
}

static size_t common_divisor(size_t a, size_t b)
{
    while (b) {
        const size_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

mls_status mls_allocate_exact(size_t *chosen, const mls_choices *c, size_t budget,
                              mls_err *err)
{
    const size_t least = mls_choices_least(c), L = c->L;
    size_t unit = 0, most = 0, cells;
    double *best = NULL, *next = NULL;
    size_t *pick = NULL;
    mls_status st = MLS_OK;

    if (least > budget)
        return too_small(budget, least, err);
    /* Bytes beyond each layer's least, in units that all of them are multiples of. */
    for (size_t l = 0; l < L; l++) {
        const size_t own = least_of(c, l);
        size_t widest = 0;

        for (size_t i = c->first[l]; i < c->first[l + 1]; i++) {
            unit = common_divisor(unit, c->item[i].bytes - own);
            if (c->item[i].bytes - own > widest)
                widest = c->item[i].bytes - own;
        }
        most += widest;
    }
    const size_t room = budget - least < most ? budget - least : most;

    if (unit == 0)
        unit = 1;
    if (room / unit > CELLS_MAX)
        unit = room / CELLS_MAX + 1;
    cells = room / unit + 1;
    best = mls_calloc3(cells, 1, 1, sizeof *best);
    next = mls_calloc3(cells, 1, 1, sizeof *next);
    pick = mls_calloc3(L, cells, 1, sizeof *pick);
    if (!best || !next || !pick) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory to allocate %zu layers", L);
        goto done;
    }
    /* best[b]: least loss of the layers so far with exactly b cells or fewer. */
    for (size_t l = 0; l < L; l++) {
        const size_t own = least_of(c, l);

        for (size_t b = 0; b < cells; b++)
            next[b] = INFINITY;
        for (size_t i = c->first[l]; i < c->first[l + 1]; i++) {
            const size_t over = c->item[i].bytes - own;
            const size_t width = over / unit + (over % unit ? 1 : 0);

            for (size_t b = width; b < cells; b++) {
                const double loss = best[b - width] + c->item[i].loss;
                const size_t now = pick[l * cells + b];

                if (loss < next[b] ||
                    (loss == next[b] && c->item[i].bytes < c->item[now].bytes)) {
                    next[b] = loss;
                    pick[l * cells + b] = i;
                }
            }
        }
        memcpy(best, next, cells * sizeof *best);
    }
    size_t b = 0; /* the narrowest cell with the least loss */

    for (size_t i = 1; i < cells; i++)
        if (best[i] < best[b])
            b = i;
    for (size_t l = L; l-- > 0;) {
        const size_t own = least_of(c, l);

        chosen[l] = pick[l * cells + b];
        const size_t over = c->item[chosen[l]].bytes - own;

        b -= over / unit + (over % unit ? 1 : 0);
    }

done:
    mls_free_all(best, next, pick);
    return st;
}

/* --- Water-filling --- */

typedef struct {
    size_t layer, to;
    size_t bytes; /* that the step adds */
    double slope; /* loss saved per byte */
} step;

static int by_bytes(const void *a, const void *b)
{
    const mls_choice *x = *(const mls_choice *const *)a;
    const mls_choice *y = *(const mls_choice *const *)b;

    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? -1 : 1;
    if (x->loss < y->loss || x->loss > y->loss)
        return x->loss < y->loss ? -1 : 1;
    return x < y ? -1 : x > y;
}

/* Steepest first; the steps of one layer stay in order, their slopes fall. */
static int by_slope(const void *a, const void *b)
{
    const step *x = a, *y = b;

    if (x->slope > y->slope || x->slope < y->slope)
        return x->slope > y->slope ? -1 : 1;
    if (x->layer != y->layer)
        return x->layer < y->layer ? -1 : 1;
    return x->to < y->to ? -1 : x->to > y->to;
}

static double slope_between(const mls_choice *a, const mls_choice *b)
{
    return (a->loss - b->loss) / (double)(b->bytes - a->bytes);
}

/*
 * Lower convex hull of one layer from its smallest choice to its least loss (Andrew's
 * monotone chain). Returns how many of sorted (n) remain in hull.
 */
static size_t make_hull(const mls_choice **hull, const mls_choice *const *sorted,
                        size_t n)
{
    size_t m = 0;

    for (size_t i = 0; i < n; i++) {
        const mls_choice *p = sorted[i];

        if (m && (p->bytes == hull[m - 1]->bytes || p->loss >= hull[m - 1]->loss))
            continue;
        while (m >= 2 &&
               slope_between(hull[m - 1], p) >= slope_between(hull[m - 2], hull[m - 1]))
            m--;
        hull[m++] = p;
    }
    return m;
}

mls_status mls_allocate_water(size_t *chosen, double *price, double *bound,
                              const mls_choices *c, size_t budget, mls_err *err)
{
    const size_t least = mls_choices_least(c), n = c->first[c->L];
    const mls_choice **sorted = NULL, **hull = NULL;
    step *steps = NULL;
    size_t n_steps = 0, used = least, taken = 0;
    double loss = 0;
    mls_status st = MLS_OK;

    if (least > budget)
        return too_small(budget, least, err);
    sorted = mls_calloc3(n, 1, 1, sizeof(void *));
    hull = mls_calloc3(n, 1, 1, sizeof(void *));
    steps = mls_calloc3(n, 1, 1, sizeof *steps);
    if (!sorted || !hull || !steps) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory to allocate %zu layers", c->L);
        goto done;
    }
    for (size_t l = 0; l < c->L; l++) {
        const size_t own = c->first[l + 1] - c->first[l];

        for (size_t i = 0; i < own; i++)
            sorted[i] = &c->item[c->first[l] + i];
        qsort(sorted, own, sizeof(void *), by_bytes);
        const size_t m = make_hull(hull, sorted, own);

        chosen[l] = (size_t)(hull[0] - c->item);
        for (size_t i = 1; i < m; i++)
            steps[n_steps++] = (step){.layer = l,
                                      .to = (size_t)(hull[i] - c->item),
                                      .bytes = hull[i]->bytes - hull[i - 1]->bytes,
                                      .slope = slope_between(hull[i - 1], hull[i])};
    }
    qsort(steps, n_steps, sizeof *steps, by_slope);
    while (taken < n_steps && steps[taken].bytes <= budget - used) {
        chosen[steps[taken].layer] = steps[taken].to;
        used += steps[taken++].bytes;
    }
    for (size_t l = 0; l < c->L; l++)
        loss += c->item[chosen[l]].loss;
    const double next = taken < n_steps ? steps[taken].slope : 0.0;

    if (price)
        *price = next;
    if (bound)
        *bound = loss - next * (double)(budget - used);

done:
    mls_free_all(sorted, hull, steps);
    return st;
}
