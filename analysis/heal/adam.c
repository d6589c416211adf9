/*
 * Adam (Kingma and Ba 2015, algorithm 1): m and v are running means of g and g^2 with
 * decays 0.9 and 0.95, corrected for their start at 0;
 *
 *   theta -= rate * rms(array) * m / (sqrt(v) + eps)
 *
 * The factor rms(array) lets one rate serve projections, norms and biases, whose
 * numbers differ by orders of magnitude. Runs are of tens of steps, so the second decay
 * is shorter than the usual 0.999.
 */
#include "analysis/heal/adam.h"

#include <math.h>
#include <stdlib.h>

#include "analysis/numeric/vector.h"
#include "common/base/checked.h"

/* Of an array of zeros: its steps are small against any projection's numbers. */
static const double smallest_scale = 1e-3;

void mls_adam_free(mls_adam *a)
{
    free(a->mean);
    free(a->square);
    free(a->scale);
    *a = (mls_adam){0};
}

mls_status mls_adam_new(mls_adam *a, const mls_parameters *p, const float *theta,
                        mls_err *err)
{
    *a = (mls_adam){.n = p->n};
    a->mean = mls_calloc3(p->n, 1, 1, sizeof *a->mean);
    a->square = mls_calloc3(p->n, 1, 1, sizeof *a->square);
    a->scale = mls_calloc3(p->n, 1, 1, sizeof *a->scale);
    if (!a->mean || !a->square || !a->scale) {
        mls_adam_free(a);
        return mls_fail(err, MLS_E_NOMEM, "no memory to train %zu numbers", p->n);
    }
    for (size_t i = 0; i < p->n_arrays; i++) {
        const mls_parameter_array *array = &p->array[i];
        const size_t n = array->rows * array->cols;
        double sum = 0;

        for (size_t j = 0; j < n; j++)
            sum += (double)theta[array->first + j] * (double)theta[array->first + j];
        for (size_t j = 0; j < n; j++)
            a->scale[array->first + j] =
                (float)fmax(sqrt(sum / (double)n), smallest_scale);
    }
    return MLS_OK;
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
