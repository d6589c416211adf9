/*
 * Bootstrap of spectra. With windows w and their moments S_w, a draw is the mean of n
 * of them, taken with return; its eigenvalues give every figure once more. For n
 * windows a mean's standard deviation over draws is sqrt((n - 1) / n) of its standard
 * error, which the factor undoes (Efron and Tibshirani, An Introduction to the
 * Bootstrap, 5.3).
 */
#include "analysis/spectrum/window_moments.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/numeric/interval.h"
#include "analysis/numeric/linalg.h"
#include "common/base/checked.h"
#include "common/numbers/rng.h"

enum { FIGURES = 7 };

mls_status mls_window_moments_new(mls_window_moments *w, size_t n, size_t m,
                                  mls_err *err)
{
    *w = (mls_window_moments){n, m, mls_calloc3(n, m, m, sizeof *w->second)};
    return w->second ? MLS_OK
                     : mls_fail(err, MLS_E_NOMEM,
                                "no memory for the moments of %zu windows", n);
}

void mls_window_moments_free(mls_window_moments *w)
{
    free(w->second);
    *w = (mls_window_moments){0};
}

mls_status mls_window_moments_set(mls_window_moments *w, size_t i, const float *y,
                                  size_t T, mls_err *err)
{
    const size_t m = w->m;
    double *s = w->second + i * m * m, *a = mls_calloc3(T, m, 1, sizeof *a);

    if (!a)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a window of %zu tokens", T);
    for (size_t j = 0; j < T * m; j++)
        a[j] = (double)y[j];
    mls_add_square(s, a, true, m, T);
    for (size_t j = 0; j < m; j++)
        for (size_t k = j; k < m; k++)
            s[k * m + j] = s[j * m + k] /= (double)T;
    free(a);
    return MLS_OK;
}

void mls_window_moments_draw(double *second, const mls_window_moments *w, size_t draw,
                             uint64_t seed)
{
    const size_t mm = w->m * w->m;
    mls_rng rng;

    mls_rng_seed(&rng, seed, draw);
    memset(second, 0, mm * sizeof *second);
    for (size_t i = 0; i < w->n; i++) {
        const double *s =
            w->second + (draw ? (size_t)mls_rng_below(&rng, w->n) : i) * mm;

        for (size_t j = 0; j < mm; j++)
            second[j] += s[j] / (double)w->n;
    }
}

double mls_spread_factor(size_t n)
{
    return mls_student_975(n - 1) * sqrt((double)n / (double)(n - 1));
}

void mls_spectrum_spread_free(mls_spectrum_spread *s)
{
    free(s->sigma);
    *s = (mls_spectrum_spread){0};
}

mls_status mls_spectrum_spread_of(mls_spectrum_spread *s, const mls_window_moments *w,
                                  size_t draws, uint64_t seed, mls_err *err)
{
    const size_t m = w->m, n = FIGURES + m;
    double *second, *value, *sum, *square;
    mls_status st = MLS_OK;

    *s = (mls_spectrum_spread){0};
    if (w->n < 2 || draws < 2 || m > MLS_SPREAD_WIDTH_MAX)
        return MLS_OK;
    second = mls_calloc3(m, m, 1, sizeof *second);
    value = mls_calloc3(3, n, 1, sizeof *value);
    s->sigma = mls_calloc3(m, 1, 1, sizeof *s->sigma);
    if (!second || !value || !s->sigma)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for draws of a spectrum");
    sum = value + n;
    square = sum + n;
    for (size_t draw = 1; !st && draw <= draws; draw++) {
        double *sigma = value + FIGURES;

        mls_window_moments_draw(second, w, draw, seed);
        st = mls_eigen(second, m, sigma, NULL, err);
        if (st)
            break;
        for (size_t i = 0; i < m; i++)
            sigma[i] = sqrt(fmax(sigma[i], 0));

        const mls_spectrum_summary y = mls_spectrum_summarize(sigma, m);
        const double figure[FIGURES] = {
            y.energy,         y.effective_rank,  y.effective_rank_energy,
            y.stable_rank,    (double)y.rank_90, (double)y.rank_95,
            (double)y.rank_99};

        memcpy(value, figure, sizeof figure);
        for (size_t i = 0; i < n; i++) { /* Welford's sums: nothing large cancels */
            const double off = value[i] - sum[i];

            sum[i] += off / (double)draw;
            square[i] += off * (value[i] - sum[i]);
        }
    }
    if (!st) {
        const double factor = mls_spread_factor(w->n);

        for (size_t i = 0; i < n; i++)
            square[i] = factor * sqrt(square[i] / (double)(draws - 1));
        s->windows = w->n;
        s->m = m;
        s->energy = square[0];
        s->effective_rank = square[1];
        s->effective_rank_energy = square[2];
        s->stable_rank = square[3];
        s->rank_90 = square[4];
        s->rank_95 = square[5];
        s->rank_99 = square[6];
        memcpy(s->sigma, square + FIGURES, m * sizeof *s->sigma);
    }
    mls_free_all(second, value);
    if (st)
        mls_spectrum_spread_free(s);
    return st;
}
