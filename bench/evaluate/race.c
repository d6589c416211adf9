/*
 * A race among settings: all run a few windows, only those that may still be the best
 * of their share and class run the others. Differences are paired by window, because
 * windows differ more than settings do: what makes a window hard for one makes it hard
 * for the other.
 */
#include "bench/evaluate/race.h"

#include <math.h>
#include <string.h>

#include "analysis/numeric/interval.h"

static const double clearly = 1.5 /* half widths */, near = 1.1 /* times the KL */;

static bool in_race(const mls_compared *row)
{
    return row->measured && row->N > 0;
}

static bool same_cell(const mls_compared *row, const mls_racer *racer, size_t i,
                      size_t j)
{
    return row[i].serve == row[j].serve && racer[i].share == racer[j].share;
}

/* The least KL of i's cell, not of the method `but`; n: there is none. */
static size_t best_of_cell(const mls_compared *row, const mls_racer *racer, size_t n,
                           size_t i, const char *but)
{
    size_t best = n;

    for (size_t j = 0; j < n; j++)
        if (in_race(&row[j]) && same_cell(row, racer, i, j) &&
            (!but || strcmp(racer[j].method, but) != 0) &&
            (best == n || row[j].kl.mean < row[best].kl.mean))
            best = j;
    return best;
}

static bool is_behind(const mls_compared *row, const mls_compared *best)
{
    const mls_mean d = mls_mean_of_difference(row->seq_kl, best->seq_kl, row->N);

    return row != best && row->N > 1 && d.mean > clearly * d.half &&
           row->kl.mean > near * best->kl.mean;
}

void mls_race_finishers(bool *finish, const mls_compared *row, const mls_racer *racer,
                        size_t n, double two_at, mls_serve two_of)
{
    for (size_t i = 0; i < n; i++) {
        finish[i] = in_race(&row[i]);
        if (!finish[i] || isnan(racer[i].share))
            continue;
        const size_t best = best_of_cell(row, racer, n, i, NULL);

        finish[i] = !is_behind(&row[i], &row[best]);
        if (finish[i] || racer[i].share != two_at || row[i].serve != two_of)
            continue;
        const char *first = racer[best].method;
        const size_t second = best_of_cell(row, racer, n, i, first);

        finish[i] =
            strcmp(racer[i].method, first) != 0 && !is_behind(&row[i], &row[second]);
    }
}

bool mls_compared_ahead(const mls_compared *a, const mls_compared *b)
{
    return a->N > b->N || (a->N == b->N && a->kl.mean < b->kl.mean);
}
