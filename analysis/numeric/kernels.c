/*
 * Sums run in 16 partial sums side by side: loops become wide (MLS_WIDE) and still have
 * one order on every machine. Attention goes by blocks of MLS_ATTEND_ROWS queries and
 * the keys that some row of them sees: scores of T x T are never there at once. Softmax
 * divides last and the output rather than the probabilities: dv numbers a row instead
 * of its keys.
 */
#include "analysis/numeric/kernels.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

#include "analysis/numeric/exponential.h"
#include "analysis/numeric/lanes.h"
#include "analysis/numeric/packed.h"

MLS_WIDE
static double sum_of_squares(const float *x, size_t n)
{
    double lane[MLS_LANES] = {0};
    size_t i = 0;

    for (; i + MLS_LANES <= n; i += MLS_LANES)
        for (size_t j = 0; j < MLS_LANES; j++)
            lane[j] += (double)x[i + j] * (double)x[i + j];
    for (size_t j = 0; i + j < n; j++)
        lane[j] += (double)x[i + j] * (double)x[i + j];
    return mls_add_lanes(lane);
}

MLS_WIDE
static void scale_by_gain(float *y, const float *x, const float *gain, double scale,
                          size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (float)((double)x[i] * scale * (gain ? (double)gain[i] : 1));
}

void mls_rmsnorm(float *y, const float *x, const float *gain, double eps, size_t T,
                 size_t E)
{
    for (size_t t = 0; t < T; t++) {
        const float *x_t = x + t * E; /* x[t, :] */
        const double mean = sum_of_squares(x_t, E) / (double)E;

        scale_by_gain(y + t * E, x_t, gain, 1.0 / sqrt(mean + eps), E);
    }
}

void mls_rmsnorm_rows(float *x, size_t stride, const float *gain, double eps, size_t T,
                      size_t D)
{
    for (size_t t = 0; t < T; t++)
        mls_rmsnorm(x + t * stride, x + t * stride, gain, eps, 1, D);
}

void mls_linear(float *y, const float *x, const float *w, const float *b, size_t T,
                size_t out, size_t in)
{
    if (T == 0 || out == 0)
        return;
    if (b)
        for (size_t t = 0; t < T; t++)
            memcpy(y + t * out, b, out * sizeof *b);
    if (mls_f32_product(y, out, &(mls_operand){x, in, false},
                        &(mls_operand){w, in, true}, T, out, in, b != NULL))
        return;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)T, (int)out, (int)in,
                1.0f, x, in ? (int)in : 1, w, in ? (int)in : 1, b ? 1.0f : 0.0f, y,
                (int)out);
}

MLS_WIDE
void mls_add(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

MLS_WIDE
void mls_silu_mul(float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++)
        gate[i] = gate[i] / (1.0f + mls_exp_f32(-gate[i])) * up[i];
}

MLS_DEFINE_LARGEST(largest, float)

/* x = exp(x - max), and the sum of that. */
MLS_WIDE
static double exp_and_sum(float *x, float max, size_t n)
{
    double lane[MLS_LANES] = {0};
    size_t i = 0;

    for (size_t k = 0; k < n; k++)
        x[k] = mls_exp_f32(x[k] - max);
    for (; i + MLS_LANES <= n; i += MLS_LANES)
        for (size_t j = 0; j < MLS_LANES; j++)
            lane[j] += (double)x[i + j];
    for (size_t j = 0; i + j < n; j++)
        lane[j] += (double)x[i + j];
    return mls_add_lanes(lane);
}

MLS_WIDE
static void scale_row(float *x, double factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)((double)x[i] * factor);
}

void mls_attend(float *out, size_t ld_out, mls_strided q, mls_strided k, mls_strided v,
                size_t T, double scale, size_t window, float *scratch)
{
    for (size_t first = 0; v.n > 0 && first < T; first += MLS_ATTEND_ROWS) {
        const size_t n = T - first < MLS_ATTEND_ROWS ? T - first : MLS_ATTEND_ROWS;
        /* Keys from..first+n-1 are seen by some row of this block. */
        const size_t from = window && first + 1 > window ? first + 1 - window : 0;
        const size_t n_keys = first + n - from;
        float *out_block = out + first * ld_out; /* out[first:first+n, :] */
        double sum[MLS_ATTEND_ROWS];

        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, (int)n_keys,
                    (int)q.n, (float)scale, q.at + first * q.stride, (int)q.stride,
                    k.at + from * k.stride, (int)k.stride, 0.0f, scratch, (int)n_keys);
        for (size_t i = 0; i < n; i++) {
            const size_t t = first + i;
            float *p = scratch + i * n_keys; /* row t; p[j] is key from + j */
            const size_t begin = window && t + 1 > window ? t + 1 - window - from : 0;
            const size_t end = t + 1 - from;

            memset(p, 0, begin * sizeof *p);
            memset(p + end, 0, (n_keys - end) * sizeof *p);
            sum[i] =
                exp_and_sum(p + begin, largest(p + begin, end - begin), end - begin);
        }
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n, (int)v.n,
                    (int)n_keys, 1.0f, scratch, (int)n_keys, v.at + from * v.stride,
                    (int)v.stride, 0.0f, out_block, (int)ld_out);
        for (size_t i = 0; i < n; i++)
            scale_row(out_block + i * ld_out, 1.0 / sum[i], v.n);
    }
}

MLS_WIDE
void mls_exp(double *y, const float *x, double shift, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = mls_exp_f64((double)x[i] - shift);
}

MLS_WIDE
static double sum_of_exp(const float *x, double shift, size_t n)
{
    double lane[MLS_LANES] = {0};
    size_t i = 0;

    for (; i + MLS_LANES <= n; i += MLS_LANES)
        for (size_t j = 0; j < MLS_LANES; j++)
            lane[j] += mls_exp_f64((double)x[i + j] - shift);
    for (size_t j = 0; i + j < n; j++)
        lane[j] += mls_exp_f64((double)x[i + j] - shift);
    return mls_add_lanes(lane);
}

double mls_logsumexp(const float *x, size_t n)
{
    const double max = (double)largest(x, n);

    if (n == 0)
        return -(double)INFINITY;
    return max + log(sum_of_exp(x, max, n));
}
