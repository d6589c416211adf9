/*
 * mean +- t_0.975(n - 1) s / sqrt(n) over sequences, the pieces that are independent:
 * tokens of one text are not. McNemar's test is exact,
 *
 *   p = min(1, 2 sum_{k <= least} C(n, k) 2^-n)
 *
 * by logarithms of the gamma function, since C(n, k) overflows. Quantiles interpolate
 * between neighbours (type 7 of Hyndman and Fan), ranks average ties.
 */
#include "analysis/numeric/interval.h"

#include <math.h>
#include <stdio.h>

double mls_student_975(size_t freedom)
{
    /* Exact where the expansion below is not good to three digits. */
    static const double small[] = {12.706205, 4.302653, 3.182446, 2.776445, 2.570582};
    const double z = 1.959963985, n = (double)freedom;
    const double z3 = z * z * z, z5 = z3 * z * z, z7 = z5 * z * z;

    if (freedom <= sizeof small / sizeof small[0])
        return small[freedom - 1];
    /* Cornish-Fisher expansion: Abramowitz and Stegun 26.7.5. */
    return z + (z3 + z) / (4 * n) + (5 * z5 + 16 * z3 + 3 * z) / (96 * n * n) +
           (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * n * n * n);
}

static mls_mean mean_of(const double *a, const double *b, size_t n)
{
    mls_mean m = {.mean = NAN, .half = NAN};
    double sum = 0, square = 0;

    if (n == 0)
        return m;
    for (size_t i = 0; i < n; i++)
        sum += a[i] - (b ? b[i] : 0);
    m.mean = sum / (double)n;
    if (n < 2)
        return m;
    for (size_t i = 0; i < n; i++) {
        const double d = a[i] - (b ? b[i] : 0) - m.mean;

        square += d * d;
    }
    m.half = mls_student_975(n - 1) * sqrt(square / (double)(n - 1) / (double)n);
    return m;
}

mls_mean mls_mean_of(const double *x, size_t n)
{
    return mean_of(x, NULL, n);
}

mls_mean mls_mean_of_difference(const double *a, const double *b, size_t n)
{
    return mean_of(a, b, n);
}

double mls_mcnemar(size_t only_one, size_t only_other)
{
    const size_t n = only_one + only_other;
    const size_t least = only_one < only_other ? only_one : only_other;
    double sum = 0;

    for (size_t k = 0; k <= least; k++)
        sum += exp(lgamma((double)n + 1) - lgamma((double)k + 1) -
                   lgamma((double)(n - k) + 1) - (double)n * log(2));
    return fmin(2 * sum, 1);
}

const char *mls_spread_text(char text[MLS_SPREAD_TEXT], int decimals, mls_mean m,
                            const char *what)
{
    if (isnan(m.half))
        snprintf(text, MLS_SPREAD_TEXT, "%.*f (no interval from one %s)", decimals,
                 m.mean, what);
    else
        snprintf(text, MLS_SPREAD_TEXT, "%.*f ± %.*f", decimals, m.mean, decimals,
                 m.half);
    return text;
}

const char *mls_perplexity_text(char text[MLS_SPREAD_TEXT], mls_mean nll)
{
    if (isnan(nll.half))
        snprintf(text, MLS_SPREAD_TEXT, "%.3f (no interval from one window)",
                 exp(nll.mean));
    else
        snprintf(text, MLS_SPREAD_TEXT, "%.3f (%.3f to %.3f)", exp(nll.mean),
                 exp(nll.mean - nll.half), exp(nll.mean + nll.half));
    return text;
}

double mls_quantile_sorted(const float *sorted, size_t n, double p)
{
    if (n == 0)
        return NAN;
    const double at = p * (double)(n - 1);
    const size_t i = (size_t)at;

    if (i + 1 >= n)
        return (double)sorted[n - 1];
    return (double)sorted[i] +
           (at - (double)i) * ((double)sorted[i + 1] - (double)sorted[i]);
}

/* Rank of x[i] among x, ties averaged, by counting: n is a number of settings. */
static double rank_of(const double *x, size_t n, size_t i)
{
    double below = 0, equal = 0;

    for (size_t j = 0; j < n; j++) {
        below += x[j] < x[i];
        equal += x[j] == x[i];
    }
    return below + (equal - 1) / 2;
}

double mls_rank_correlation(const double *a, const double *b, size_t n)
{
    const double middle = ((double)n - 1) / 2;
    double ab = 0, aa = 0, bb = 0;

    for (size_t i = 0; i < n; i++) {
        const double ra = rank_of(a, n, i) - middle, rb = rank_of(b, n, i) - middle;

        ab += ra * rb;
        aa += ra * ra;
        bb += rb * rb;
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : (double)NAN;
}
