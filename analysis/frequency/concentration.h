/* How concentrated queries and keys are, and the curve over distances that follows. */
#ifndef MLS_CONCENTRATION_H
#define MLS_CONCENTRATION_H

#include <stddef.h>

#include "analysis/capture/capture.h"
#include "analysis/frequency/rule_scores.h"
#include "common/base/status.h"
#include "common/system/pool.h"

enum { MLS_DISTANCES = 48 }; /* at most, four to an octave */

/** Distances 1, 2, ... up to most, four to an octave. @return how many */
size_t mls_distances(size_t out[MLS_DISTANCES], size_t most);

/** R = |E u| / E|u| of every chunk; mean (2 C) half-split. @param[out] r  (C) */
void mls_concentration(double *r, const double *mean, const double *norm, size_t C);

/**
 * The mean logit at every distance as mean query and mean key alone make it.
 * @param q, k      (2 C) means before RoPE, half-split
 * @param[out] out  (n)
 */
void mls_distance_curve(double *out, const double *q, const double *k,
                        const double *inv_freq, size_t C, const size_t *distance,
                        size_t n);
/** The mean logit of head h over all pairs of the windows at every distance. */
void mls_distance_logits(double *out, const mls_chunk_windows *windows, size_t h,
                         const size_t *distance, size_t n);
/** Pearson's correlation; NaN when one of them is constant. */
double mls_curve_correlation(const double *a, const double *b, size_t n);

/** Where a head's attention lies, means over the last half of the queries. */
typedef struct mls_reach {
    double first; /* on the first token */
    double near;  /* on the last 8 tokens, the query's own among them */
    double far;   /* a quarter of the window away or more, the first token left out */
    double even;  /* of attention spread evenly, what would be far */
} mls_reach;

mls_status mls_head_reach(mls_reach *out, const mls_chunk_windows *windows, size_t h,
                          mls_err *err);
/**
 * "sink", "local": more than half lies there; "long-range": more than half is far,
 * more than an even spread would have; "diffuse": not more than that; "" otherwise.
 */
const char *mls_reach_name(const mls_reach *r);

/** One query head. */
typedef struct mls_heard {
    double r_q, r_k;    /* R, weighted by the chunk's |q||k| */
    double r_strongest; /* R of q at the chunk of the largest |q||k| */
    double correlation; /* of the curve with the mean logits */
    mls_reach reach;
} mls_heard;

typedef struct mls_hearing {
    size_t L, H, n, T; /* distances, tokens of a window */
    size_t distance[MLS_DISTANCES];
    mls_heard *head;           /* (L, H); NaN in layers without RoPE */
    double *predicted, *logit; /* (L, H, n) */
} mls_hearing;

/**
 * Of every head from the moments and windows of a capture.
 * @param[out] out  release with mls_hearing_free(); {0} on error
 * @return MLS_OK, MLS_E_INPUT (no windows), MLS_E_IO or MLS_E_NOMEM
 */
mls_status mls_hearing_run(mls_hearing *out, mls_capture *capture, mls_pool *pool,
                           const mls_progress *progress, mls_err *err);
void mls_hearing_free(mls_hearing *h); /* {0} is accepted */

#endif
