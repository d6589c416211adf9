/*
 * What layers are made of, in both directions; with dX the gradient of the loss by X:
 *
 *   y = W x + b:         dW = dy^T x,  db = sum dy,  dx = dy W
 *   y = rotate(x):       dx = rotate(dy) by the opposite angles
 *   y = g x s, s = (|x|^2/n + eps)^-1/2:  dg = sum dy x s,
 *                        dx = s g dy - x s^3/n sum(g dy x)
 *   y = g z + b, z = (x - mean) s, s = (var + eps)^-1/2:
 *                        dx = s (g dy - mean(g dy) - z mean(g dy z))
 *
 * Products are of whole windows (tokens x dims), so BLAS does the work.
 */
#include "analysis/heal/products.h"

#include <math.h>

#include "analysis/numeric/vector.h"

/* y (T, out) = x (T, in) w^T + b; the strides of x and y are their own. */
void mls_real_linear(mls_real *y, size_t ld_y, const mls_real *x, size_t ld_x,
                     const mls_real *w, const mls_real *b, size_t T, size_t out,
                     size_t in)
{
    MLS_REAL_GEMM(CblasRowMajor, CblasNoTrans, CblasTrans, (int)T, (int)out, (int)in, 1,
                  x, (int)ld_x, w, (int)in, 0, y, (int)ld_y);
    for (size_t t = 0; b && t < T; t++)
        for (size_t i = 0; i < out; i++)
            y[t * ld_y + i] += b[i];
}

/* dw += dy^T x, db += sum of dy, dx += dy w; each where it is wanted. */
void mls_real_linear_back(const mls_real *dy, size_t ld_y, const mls_real *x,
                          size_t ld_x, const mls_real *w, size_t T, size_t out,
                          size_t in, mls_real *dw, mls_real *db, mls_real *dx)
{
    if (dw)
        MLS_REAL_GEMM(CblasRowMajor, CblasTrans, CblasNoTrans, (int)out, (int)in,
                      (int)T, 1, dy, (int)ld_y, x, (int)ld_x, 1, dw, (int)in);
    for (size_t t = 0; db && t < T; t++)
        for (size_t i = 0; i < out; i++)
            db[i] += dy[t * ld_y + i];
    if (dx)
        MLS_REAL_GEMM(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)T, (int)in,
                      (int)out, 1, dy, (int)ld_y, w, (int)in, 1, dx, (int)ld_x);
}

/* Rows of n at stride ld turn in place; sign -1 is the transpose of sign 1. */
MLS_WIDE
void mls_real_rotate(mls_real *x, size_t ld, const float *cs, size_t n_chunks, size_t T,
                     int sign)
{
    for (size_t t = 0; t < T; t++) {
        const float *cs_t = cs + 2 * t * n_chunks;
        mls_real *a = x + t * ld, *b = a + n_chunks;

        for (size_t c = 0; c < n_chunks; c++) {
            const mls_real cos_c = (mls_real)cs_t[2 * c];
            const mls_real sin_c = (mls_real)sign * (mls_real)cs_t[2 * c + 1];
            const mls_real a_c = a[c], b_c = b[c];

            a[c] = a_c * cos_c - b_c * sin_c;
            b[c] = b_c * cos_c + a_c * sin_c;
        }
    }
}

static double inverse_rms(const mls_real *x, size_t n, double eps)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return 1.0 / sqrt(sum / (double)n + eps);
}

/* A norm without gain has one of 1. */
static double gain_of(const mls_real *gain, size_t i)
{
    return gain ? (double)gain[i] : 1;
}

void mls_real_norm(mls_real *y, const mls_real *x, size_t ld, const mls_real *gain,
                   double eps, size_t T, size_t n)
{
    for (size_t t = 0; t < T; t++) {
        const double s = inverse_rms(x + t * ld, n, eps);

        for (size_t i = 0; i < n; i++)
            y[t * ld + i] = (mls_real)((double)x[t * ld + i] * s * gain_of(gain, i));
    }
}

void mls_real_norm_back(mls_real *d, const mls_real *x, size_t ld, const mls_real *gain,
                        double eps, size_t T, size_t n, mls_real *d_gain)
{
    for (size_t t = 0; t < T; t++) {
        const mls_real *x_t = x + t * ld;
        mls_real *d_t = d + t * ld;
        const double s = inverse_rms(x_t, n, eps);
        double dot = 0;

        for (size_t i = 0; i < n; i++) {
            const double dx = (double)d_t[i] * (double)x_t[i];

            dot += dx * gain_of(gain, i);
            if (d_gain)
                d_gain[i] += (mls_real)(dx * s);
        }
        dot *= s * s * s / (double)n;
        for (size_t i = 0; i < n; i++)
            d_t[i] = (mls_real)((double)d_t[i] * gain_of(gain, i) * s -
                                (double)x_t[i] * dot);
    }
}

static void mean_and_scale(const mls_real *x, size_t n, double eps, double *mean,
                           double *s)
{
    double sum = 0, square = 0;

    for (size_t i = 0; i < n; i++)
        sum += (double)x[i];
    *mean = sum / (double)n;
    for (size_t i = 0; i < n; i++)
        square += ((double)x[i] - *mean) * ((double)x[i] - *mean);
    *s = 1.0 / sqrt(square / (double)n + eps);
}

void mls_real_layernorm(mls_real *y, const mls_real *x, const mls_real *gain,
                        const mls_real *bias, double eps, size_t T, size_t n)
{
    for (size_t t = 0; t < T; t++) {
        double mean, s;

        mean_and_scale(x + t * n, n, eps, &mean, &s);
        for (size_t i = 0; i < n; i++)
            y[t * n + i] =
                (mls_real)(((double)x[t * n + i] - mean) * s * gain_of(gain, i) +
                           (bias ? (double)bias[i] : 0));
    }
}

void mls_real_layernorm_back(mls_real *d, const mls_real *x, const mls_real *gain,
                             double eps, size_t T, size_t n)
{
    for (size_t t = 0; t < T; t++) {
        const mls_real *x_t = x + t * n;
        mls_real *d_t = d + t * n;
        double mean, s, sum = 0, dot = 0;

        mean_and_scale(x_t, n, eps, &mean, &s);
        for (size_t i = 0; i < n; i++) {
            const double g = (double)d_t[i] * gain_of(gain, i);

            sum += g;
            dot += g * ((double)x_t[i] - mean) * s;
        }
        sum /= (double)n;
        dot /= (double)n;
        for (size_t i = 0; i < n; i++)
            d_t[i] = (mls_real)(s * ((double)d_t[i] * gain_of(gain, i) - sum -
                                     ((double)x_t[i] - mean) * s * dot));
    }
}
