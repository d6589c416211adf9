/*
 * Adam (Kingma and Ba 2015, algorithm 1): m and v are running means of g and g^2 with
 * decays 0.9 and 0.95, corrected for their start at 0;
 *
 *   theta -= rate * scale * m / (sqrt(v) + eps)
 *   scale  = rms(row) * rms(column) / rms(array)
 *
 * of the numbers at the start (the factored second moment of Adafactor, Shazeer and
 * Stern 2018, equation 4, put to the parameters), so that one rate serves projections,
 * norms and biases, whose numbers differ by orders of magnitude, and the few columns
 * that read a model's massive activations do not set the steps of all others. Runs
 * are of tens of steps, so the second decay is shorter than the usual 0.999.
 */
#include "analysis/heal/adam.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/numeric/vector.h"
#include "common/base/checked.h"

/* Of an array of zeros: its steps are small against any projection's numbers. */
static const double smallest_scale = 1e-3;
/* And of a row or column of nearly nothing: a share of the array's size. */
static const double smallest_share = 0.01;

void mls_adam_free(mls_adam *a)
{
    mls_free_all(a->mean, a->square, a->scale);
    *a = (mls_adam){0};
}

/* scale (rows, cols) of one array. */
static mls_status set_scale(float *scale, const float *theta, size_t rows, size_t cols,
                            mls_err *err)
{
    double *row = mls_calloc3(rows + cols, 1, 1, sizeof *row), *col = row + rows;
    double sum = 0, rms;

    if (!row)
        return mls_fail(err, MLS_E_NOMEM, "no memory to train %zu numbers",
                        rows * cols);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++) {
            const double x = (double)theta[i * cols + j];

            row[i] += x * x / (double)cols;
            col[j] += x * x / (double)rows;
            sum += x * x;
        }
    rms = sqrt(sum / (double)(rows * cols));
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            scale[i * cols + j] = (float)fmax(
                rms > 0 ? fmax(sqrt(row[i] * col[j]) / rms, smallest_share * rms) : 0,
                smallest_scale);
    free(row);
    return MLS_OK;
}

mls_status mls_adam_new(mls_adam *a, const mls_parameters *p, const float *theta,
                        mls_err *err)
{
    mls_status st = MLS_OK;

    *a = (mls_adam){.n = p->n};
    a->mean = mls_calloc3(p->n, 1, 1, sizeof *a->mean);
    a->square = mls_calloc3(p->n, 1, 1, sizeof *a->square);
    a->scale = mls_calloc3(p->n, 1, 1, sizeof *a->scale);
    if (!a->mean || !a->square || !a->scale) {
        mls_adam_free(a);
        return mls_fail(err, MLS_E_NOMEM, "no memory to train %zu numbers", p->n);
    }
    for (size_t i = 0; !st && i < p->n_arrays; i++)
        st = set_scale(a->scale + p->array[i].first, theta + p->array[i].first,
                       p->array[i].rows, p->array[i].cols, err);
    if (st)
        mls_adam_free(a);
    return st;
}

void mls_adam_restart(mls_adam *a)
{
    a->steps = 0;
    memset(a->mean, 0, a->n * sizeof *a->mean);
    memset(a->square, 0, a->n * sizeof *a->square);
}

MLS_WIDE
static void step(float *restrict theta, float *restrict mean, float *restrict square,
                 const float *restrict scale, const float *restrict g, float rate,
                 float correct_mean, float correct_square, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        mean[i] += 0.1f * (g[i] - mean[i]);
        square[i] += 0.05f * (g[i] * g[i] - square[i]);
        theta[i] -= rate * scale[i] * (mean[i] * correct_mean) /
                    (__builtin_sqrtf(square[i] * correct_square) + 1e-12f);
    }
}

void mls_adam_step(mls_adam *a, float *theta, const float *gradient, double rate)
{
    a->steps++;
    step(theta, a->mean, a->square, a->scale, gradient, (float)rate,
         (float)(1 / (1 - pow(0.9, (double)a->steps))),
         (float)(1 / (1 - pow(0.95, (double)a->steps))), a->n);
}
