/* Means over sequences with their 95 % intervals. */
#ifndef MLS_INTERVAL_H
#define MLS_INTERVAL_H

#include <stddef.h>

/** A mean and half the width of its 95 % interval (NaN when n < 2). */
typedef struct mls_mean {
    double mean;
    double half;
} mls_mean;

/** 97.5 % point of Student's t with so many degrees of freedom, at least 1. */
double mls_student_975(size_t freedom);

/**
 * Mean of n values, one per sequence, which are taken as independent draws:
 * t(0.975, n-1) * sd / sqrt(n) is the half width (Student 1908).
 */
mls_mean mls_mean_of(const double *x, size_t n);

/** Room for the words of the two functions below. */
enum { MLS_SPREAD_TEXT = 64 };

/**
 * "0.347 ± 0.012" to so many decimals, or "0.347 (no interval from one window)"; what:
 * the thing of which there was one. Returns text.
 */
const char *mls_spread_text(char text[MLS_SPREAD_TEXT], int decimals, mls_mean m,
                            const char *what);

/** "3.071 (2.950 to 3.197)" of a mean NLL, or "3.071 (no interval from one window)". */
const char *mls_perplexity_text(char text[MLS_SPREAD_TEXT], mls_mean nll);

/** Mean of a[i] - b[i]: two settings on the same sequences. */
mls_mean mls_mean_of_difference(const double *a, const double *b, size_t n);

/**
 * McNemar's test, exact: of items that only one of two settings gets right, is the
 * split chance? Two-sided binomial probability; 1 when there are none.
 */
double mls_mcnemar(size_t only_one, size_t only_other);

/**
 * The p-quantile (0..1) of n sorted values, linear between neighbours as NumPy's
 * default; NaN when n is 0.
 */
double mls_quantile_sorted(const float *sorted, size_t n, double p);

/**
 * Spearman's rank correlation of n pairs, ties averaged; NaN when n < 2 or all equal.
 */
double mls_rank_correlation(const double *a, const double *b, size_t n);

#endif
