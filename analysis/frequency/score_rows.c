/*
 * One query against all keys is a loop over floats side by side: factors of keys lie by
 * chunk (chunk_window.h says what they are). With x the change of a row's scores and m
 * = sum p x,
 *
 *   KL(p || p') = log sum p e^(x - m)
 *
 * so that no probability of p' is needed and nothing cancels. Where x is enormous p may
 * have vanished, and the sum goes through the scores. The quick one sums p (e^z - 1 -
 * z) in float, all of one sign, by its series near 0.
 */
#include "analysis/frequency/score_rows.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "analysis/numeric/exponential.h"
#include "analysis/numeric/kernels.h"
#include "analysis/numeric/linalg.h"
#include "analysis/numeric/vector.h"
#include "common/base/checked.h"
#include "common/base/shape.h"

enum { LANES = 16 };

mls_status mls_score_rows_new(mls_score_rows *r, const mls_chunk_window *w,
                              mls_err *err)
{
    const size_t T = w->T, C = w->D / 2, ld = (T + LANES - 1) / LANES * LANES;

    *r = (mls_score_rows){.C = C, .ld = ld};
    r->q = mls_calloc3(T, w->D, 1, sizeof *r->q);
    r->k = mls_calloc3(T, w->D, 1, sizeof *r->k);
    r->a = mls_calloc3(T, 4, C, sizeof *r->a);
    r->b = mls_calloc3(C, 4, ld, sizeof *r->b);
    r->score = mls_calloc3(MLS_SCORE_ROWS, T, 1, sizeof *r->score);
    r->p = mls_calloc3(MLS_SCORE_ROWS, T, 1, sizeof *r->p);
    if (!r->q || !r->k || !r->a || !r->b || !r->score || !r->p) {
        mls_score_rows_free(r);
        return mls_fail(err, MLS_E_NOMEM, "no memory for a window of %zu tokens", T);
    }
    return MLS_OK;
}

void mls_score_rows_free(mls_score_rows *r)
{
    mls_free_all(r->q, r->k, r->a, r->b, r->score, r->p);
    *r = (mls_score_rows){0};
}

void mls_score_rows_set(mls_score_rows *r, const mls_chunk_window *w,
                        const double *turns, size_t h)
{
    const size_t C = r->C, g = h / (w->H / w->G);
    const double scale = 1.0 / sqrt((double)w->D);
    double factors[4 * MLS_DIM_MAX / 2];

    r->w = w;
    for (size_t t = 0; t < w->T; t++) {
        mls_chunk_rotated_query(r->q + t * w->D, w, turns, h, t);
        mls_chunk_rotated_key(r->k + t * w->D, w, turns, g, t);
        for (size_t d = 0; d < w->D; d++)
            r->q[t * w->D + d] *= scale;
        mls_chunk_query_factors(factors, w, turns, h, t);
        for (size_t i = 0; i < 4 * C; i++)
            r->a[t * 4 * C + i] = (float)factors[i];
        mls_chunk_key_factors(factors, w, turns, g, t);
        for (size_t m = 0; m < 4; m++)
            for (size_t c = 0; c < C; c++)
                r->b[(c * 4 + m) * r->ld + t] = (float)factors[m * C + c];
    }
}

void mls_score_rows_block(mls_score_rows *r, size_t first)
{
    const mls_chunk_window *w = r->w;
    const size_t n = first + MLS_SCORE_ROWS < w->T ? MLS_SCORE_ROWS : w->T - first;
    const size_t n_keys = first + n;

    r->first = first;
    r->n = n;
    mls_matmul(r->score, r->q + first * w->D, false, r->k, true, n, n_keys, w->D);
    /* The product has n_keys columns; spread the rows to T, the last one first. */
    for (size_t row = n; row-- > 1;)
        memmove(r->score + row * w->T, r->score + row * n_keys,
                n_keys * sizeof *r->score);
    for (size_t row = 0; row < n; row++) {
        const size_t i = first + row, from = mls_chunk_first_key(w, i);
        double *s = r->score + row * w->T, *p = r->p + row * w->T;
        double max = s[from], sum = 0.0;

        memset(p, 0, w->T * sizeof *p);
        for (size_t j = from; j <= i; j++)
            max = fmax(max, s[j]);
        for (size_t j = from; j <= i; j++) {
            p[j] = exp(s[j] - max);
            sum += p[j];
        }
        for (size_t j = from; j <= i; j++)
            p[j] /= sum;
        r->lse[row] = max + log(sum);
    }
}

MLS_WIDE
static void difference(float *restrict rho, const float *restrict b0,
                       const float *restrict b1, const float *restrict b2,
                       const float *restrict b3, float a0, float a1, float a2, float a3,
                       size_t n)
{
    for (size_t j = 0; j < n; j++)
        rho[j] = a0 * b0[j] + a1 * b1[j] + a2 * b2[j] + a3 * b3[j];
}

void mls_score_rows_difference(const mls_score_rows *r, size_t i, size_t c, float *rho)
{
    const size_t C = r->C, from = mls_chunk_first_key(r->w, i);
    const float *a = r->a + i * 4 * C + c, *b = r->b + c * 4 * r->ld + from;

    difference(rho, b, b + r->ld, b + 2 * r->ld, b + 3 * r->ld, a[0], a[C], a[2 * C],
               a[3 * C], i + 1 - from);
}

/* Vectors by name: loops that mix float and double are not made wide otherwise. */
typedef double double8 __attribute__((vector_size(64), aligned(8), may_alias));
typedef float float8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef float float16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t int32x16 __attribute__((vector_size(64), aligned(4), may_alias));

enum { WIDE = 8 };

/* sum p x, in WIDE sums that are added last. */
MLS_WIDE
static double mean_shift(const double *p, const float *x, size_t n)
{
    double8 lane = {0};
    double sum = 0.0;
    size_t j = 0;

    for (; j + WIDE <= n; j += WIDE)
        lane += *(const double8 *)(p + j) *
                __builtin_convertvector(*(const float8 *)(x + j), double8);
    for (; j < n; j++)
        sum += p[j] * (double)x[j];
    for (size_t l = 0; l < WIDE; l++)
        sum += lane[l];
    return sum;
}

MLS_WIDE
static float largest(const float *x, size_t n)
{
    float16 lane = (float16){0} - INFINITY;
    float max = -INFINITY;
    size_t j = 0;

    for (; j + LANES <= n; j += LANES) {
        const float16 v = *(const float16 *)(x + j);
        const int32x16 more = v > lane;

        lane = (float16)(((int32x16)v & more) | ((int32x16)lane & ~more));
    }
    for (; j < n; j++)
        max = x[j] > max ? x[j] : max;
    for (size_t l = 0; l < LANES; l++)
        max = lane[l] > max ? lane[l] : max;
    return max;
}

/* y *= p, and the sum of that. */
MLS_WIDE
static double weigh(double *restrict y, const double *restrict p, size_t n)
{
    double8 lane = {0};
    double sum = 0.0;
    size_t j = 0;

    for (; j + WIDE <= n; j += WIDE) {
        double8 *v = (double8 *)(y + j);

        *v *= *(const double8 *)(p + j);
        lane += *v;
    }
    for (; j < n; j++) {
        y[j] *= p[j];
        sum += y[j];
    }
    for (size_t l = 0; l < WIDE; l++)
        sum += lane[l];
    return sum;
}

double mls_score_rows_kl(const double *score, const double *p, double lse,
                         const float *x, size_t n, double *changed, double *sum)
{
    const double mean = mean_shift(p, x, n);

    /* p' = p e^x: with x centred the logarithm of the sum is the KL itself. */
    if ((double)largest(x, n) - mean < 600.0) {
        mls_exp(changed, x, mean, n);
        *sum = weigh(changed, p, n);
        return fmax(log(*sum), 0.0);
    }
    /* p may have vanished where x is enormous: go through the scores. */
    double max = -INFINITY;

    for (size_t j = 0; j < n; j++)
        max = fmax(max, score[j] + (double)x[j]);
    *sum = 0.0;
    for (size_t j = 0; j < n; j++) {
        changed[j] = exp(score[j] + (double)x[j] - max);
        *sum += changed[j];
    }
    return fmax(max + log(*sum) - lse - mean, 0.0);
}

/*
 * y[j] = p[j] (e^z - 1 - z), z = x[j] - mean; near 0 by the series, which keeps digits.
 */
MLS_WIDE
static void weigh_bend(float *restrict y, const float *restrict p,
                       const float *restrict x, float mean, size_t n)
{
    for (size_t j = 0; j < n; j++) {
        const float z = x[j] - mean;
        const float series =
            z * z *
            (1.0f / 2 +
             z * (1.0f / 6 +
                  z * (1.0f / 24 +
                       z * (1.0f / 120 + z * (1.0f / 720 + z * (1.0f / 5040))))));
        const float direct = mls_exp_f32(z) - 1.0f - z;

        y[j] = p[j] * (z > -0.5f && z < 0.5f ? series : direct);
    }
}

MLS_WIDE
static double sum_of(const float *x, size_t n)
{
    double8 lane = {0};
    double sum = 0.0;
    size_t j = 0;

    for (; j + WIDE <= n; j += WIDE)
        lane += __builtin_convertvector(*(const float8 *)(x + j), double8);
    for (; j < n; j++)
        sum += (double)x[j];
    for (size_t l = 0; l < WIDE; l++)
        sum += lane[l];
    return sum;
}

double mls_score_rows_kl_fast(const double *score, const double *p,
                              const float *p_float, double lse, const float *x,
                              size_t n, double *changed)
{
    float *bent = (float *)changed;
    double sum;
    const double mean = mean_shift(p, x, n);
    const double off = mean - (double)(float)mean;

    if ((double)largest(x, n) - mean > 60.0)
        return mls_score_rows_kl(score, p, lse, x, n, changed, &sum);
    weigh_bend(bent, p_float, x, (float)mean, n);
    /*
     * sum p e^(x - m) = 1 + sum p (x - m) + sum p (e^(x-m) - 1 - x + m), m = mean - off
     */
    return fmax(log1p(off + sum_of(bent, n)) - off, 0.0);
}
