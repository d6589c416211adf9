/*
 * What a pair's residual is without the pair needs no second fit: e / (1 - h) with
 * leverage h = 1/n + (x - mean)^2 / sum (PRESS). So no row's prediction has seen its
 * own KL, and the factor is that of rows to come. Pairs of rounding (error 1e-7, KL
 * 1e-6) are left out: their logarithms would bend the line.
 */
#include "bench/evaluate/kl_law.h"

#include <math.h>
#include <stdbool.h>

#include "analysis/numeric/interval.h"

static const double smallest_error = 1e-7, smallest_kl = 1e-6;

static bool is_used(double error, double kl)
{
    return isfinite(error) && isfinite(kl) && error > smallest_error &&
           kl > smallest_kl;
}

/* Sums of x = log error and y = log KL around their means. */
typedef struct {
    size_t n;
    double x, y;   /* means */
    double xx, xy; /* summed products of deviations */
} line;

static line fit(const double *error, const double *kl, size_t n)
{
    line s = {0};

    for (size_t i = 0; i < n; i++)
        if (is_used(error[i], kl[i])) {
            s.n++;
            s.x += log(error[i]);
            s.y += log(kl[i]);
        }
    s.x /= (double)s.n;
    s.y /= (double)s.n;
    for (size_t i = 0; i < n; i++)
        if (is_used(error[i], kl[i])) {
            const double x = log(error[i]) - s.x;

            s.xx += x * x;
            s.xy += x * (log(kl[i]) - s.y);
        }
    return s;
}

mls_kl_law mls_kl_law_fit(const double *error, const double *kl, size_t n,
                          double *predicted)
{
    const line s = fit(error, kl, n);
    const bool any = s.n >= MLS_KL_LAW_MIN && s.xx > 0;
    mls_kl_law law = {0};
    double squares = 0;

    if (any)
        law = (mls_kl_law){.n = s.n, .a = s.y - s.xy / s.xx * s.x, .b = s.xy / s.xx};
    for (size_t i = 0; i < n; i++) {
        double at = any && isfinite(error[i]) && error[i] > smallest_error
                        ? law.a + law.b * log(error[i])
                        : (double)NAN;

        if (any && is_used(error[i], kl[i])) {
            /* Without pair i: its residual grows by 1 / (1 - leverage). */
            const double x = log(error[i]) - s.x, y = log(kl[i]);
            const double left = (y - at) / (1 - 1.0 / (double)s.n - x * x / s.xx);

            at = y - left;
            squares += left * left;
        }
        predicted[i] = exp(at);
    }
    if (any)
        law.factor = exp(mls_student_975(s.n - 2) * sqrt(squares / (double)s.n));
    return law;
}
