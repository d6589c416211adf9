/*
 * How far the figures of a spectrum would move on another draw of the text: windows are
 * resampled whole (Efron's bootstrap), because the tokens of one depend on each other.
 */
#ifndef MLS_WINDOW_MOMENTS_H
#define MLS_WINDOW_MOMENTS_H

#include <stddef.h>
#include <stdint.h>

#include "analysis/spectrum/spectrum.h"
#include "common/base/status.h"

/** E[y y^T] of each of n windows; y has m numbers. */
typedef struct mls_window_moments {
    size_t n, m;
    double *second; /* (n, m, m), symmetric */
} mls_window_moments;

/** Room, all 0. @param[out] w  release with mls_window_moments_free() */
mls_status mls_window_moments_new(mls_window_moments *w, size_t n, size_t m,
                                  mls_err *err);
void mls_window_moments_free(mls_window_moments *w); /* {0} is accepted */
/** Window i from its tokens: y (T, m). */
mls_status mls_window_moments_set(mls_window_moments *w, size_t i, const float *y,
                                  size_t T, mls_err *err);
/** The mean over draw number `draw` of windows; 0: over all, each once. */
void mls_window_moments_draw(double *second, const mls_window_moments *w, size_t draw,
                             uint64_t seed);

/**
 * Half widths of 95 % intervals: t(0.975, n - 1) standard deviations over the draws,
 * widened by sqrt(n / (n - 1)), so that of a mean they are Student's. Not percentiles
 * of the draws: a draw has fewer different windows, hence less rank, and its ranks lie
 * below that of all.
 */
typedef struct mls_spectrum_spread {
    size_t windows; /* 0: no intervals are known */
    double energy, effective_rank, effective_rank_energy, stable_rank;
    double rank_90, rank_95, rank_99;
    size_t m;
    double *sigma; /* (m) of every singular value */
} mls_spectrum_spread;

/** Moments of more numbers have no intervals: a draw of 4,096 takes ten seconds. */
enum { MLS_SPREAD_WIDTH_MAX = 1024 };

/**
 * @param draws    the same `seed` gives every matrix the same draws of windows
 * @param[out] s   release with mls_spectrum_spread_free(); windows is 0 when there are
 *                 fewer than two, no draws or more than MLS_SPREAD_WIDTH_MAX numbers
 */
mls_status mls_spectrum_spread_of(mls_spectrum_spread *s, const mls_window_moments *w,
                                  size_t draws, uint64_t seed, mls_err *err);
void mls_spectrum_spread_free(mls_spectrum_spread *s); /* {0} is accepted */

/** The factor from a standard deviation over draws of n windows to a half width. */
double mls_spread_factor(size_t n);

#endif
