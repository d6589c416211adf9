/*
 * Causal attention with what some families add to it: soft caps, sinks, slopes, chunks.
 * The plain one, which most use, is in kernels.c.
 */
#include <cblas.h>
#include <math.h>
#include <string.h>

#include "analysis/numeric/exponential.h"
#include "analysis/numeric/kernels.h"

void mls_layernorm(float *y, size_t stride, const float *x, const float *gain,
                   const float *bias, double eps, size_t T, size_t D)
{
    for (size_t t = 0; t < T; t++) {
        const float *from = x + t * stride;
        float *to = y + t * stride;
        double mean = 0, square = 0;

        for (size_t i = 0; i < D; i++)
            mean += (double)from[i];
        mean /= (double)D;
        for (size_t i = 0; i < D; i++)
            square += ((double)from[i] - mean) * ((double)from[i] - mean);
        const double by = 1 / sqrt(square / (double)D + eps);

        for (size_t i = 0; i < D; i++)
            to[i] =
                (float)(((double)from[i] - mean) * by * (gain ? (double)gain[i] : 1) +
                        (bias ? (double)bias[i] : 0));
    }
}

void mls_silu(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = x[i] / (1.0f + mls_exp_f32(-x[i]));
}

/* 0.5 z (1 + tanh(sqrt(2 / pi) (z + 0.044715 z^3))) */
void mls_gelu_tanh(float *x, size_t n)
{
    const double root = 0.7978845608028654;

    for (size_t i = 0; i < n; i++) {
        const double z = (double)x[i];

        x[i] = (float)(0.5 * z * (1 + tanh(root * (z + 0.044715 * z * z * z))));
    }
}

void mls_multiply(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] *= x[i];
}

void mls_soft_cap(float *x, double cap, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(cap * tanh((double)x[i] / cap));
}

/* Softmax of p[begin..end), 0 elsewhere; token t's row, whose keys start at from. */
static void softmax_row(float *p, size_t n_keys, size_t begin, size_t end, size_t t,
                        size_t from, const mls_attend_how *how)
{
    double most = how->sink, sum;

    if (how->cap > 0)
        mls_soft_cap(p + begin, how->cap, end - begin);
    for (size_t j = begin; j < end; j++) {
        if (how->slope != 0)
            p[j] -= (float)(how->slope * (double)(t - from - j));
        most = (double)p[j] > most ? (double)p[j] : most;
    }
    sum = exp(how->sink - most);
    for (size_t j = begin; j < end; j++) {
        p[j] = (float)exp((double)p[j] - most);
        sum += (double)p[j];
    }
    for (size_t j = begin; j < end; j++)
        p[j] = (float)((double)p[j] / sum);
    memset(p, 0, begin * sizeof *p);
    memset(p + end, 0, (n_keys - end) * sizeof *p);
}

/* The first key that token t sees. */
static size_t first_key(const mls_attend_how *how, size_t t)
{
    const size_t window = how->window && t + 1 > how->window ? t + 1 - how->window : 0;
    const size_t chunk = how->chunk ? t - t % how->chunk : 0;

    return window > chunk ? window : chunk;
}

void mls_attend_as(float *out, size_t ld_out, mls_strided q, mls_strided k,
                   mls_strided v, size_t T, const mls_attend_how *how, float *scratch)
{
    for (size_t first = 0; v.n > 0 && first < T; first += MLS_ATTEND_ROWS) {
        const size_t n = T - first < MLS_ATTEND_ROWS ? T - first : MLS_ATTEND_ROWS;
        const size_t from = first_key(how, first), n_keys = first + n - from;

        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, (int)n_keys,
                    (int)q.n, (float)how->scale, q.at + first * q.stride, (int)q.stride,
                    k.at + from * k.stride, (int)k.stride, 0.0f, scratch, (int)n_keys);
        for (size_t i = 0; i < n; i++)
            softmax_row(scratch + i * n_keys, n_keys, first_key(how, first + i) - from,
                        first + i + 1 - from, first + i, from, how);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n, (int)v.n,
                    (int)n_keys, 1.0f, scratch, (int)n_keys, v.at + from * v.stride,
                    (int)v.stride, 0.0f, out + first * ld_out, (int)ld_out);
    }
}
