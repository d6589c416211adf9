/*
 * `turns` holds cos a - 1 and sin a, the first as -2 sin^2(a/2): a slow chunk hardly
 * turns, and cos a - 1 by subtraction would be rounding. The trap: rotated rows have a
 * chunk's two numbers side by side (2c, 2c + 1), queries and keys have them half a head
 * apart.
 */
#include "analysis/frequency/chunk_window.h"

#include <math.h>

#include "analysis/numeric/vector.h"

size_t mls_chunk_first_key(const mls_chunk_window *w, size_t i)
{
    return w->visible && i >= w->visible ? i + 1 - w->visible : 0;
}

double mls_chunk_pairs(const mls_chunk_window *w)
{
    double n = 0.0;

    for (size_t i = 0; i < w->T; i++)
        n += (double)(i + 1 - mls_chunk_first_key(w, i));
    return n;
}

void mls_chunk_turns(double *turns, const double *inv_freq, size_t C, size_t T)
{
    for (size_t t = 0; t < T; t++)
        for (size_t c = 0; c < C; c++) {
            const double angle = (double)t * inv_freq[c];
            const double half = sin(0.5 * angle);

            turns[(t * C + c) * 2] =
                -2.0 * half * half; /* cos - 1 without cancelling */
            turns[(t * C + c) * 2 + 1] = sin(angle);
        }
}

/* d = R x - x for one pair. */
static void turn_by(double d[2], double x0, double x1, const double *turn)
{
    d[0] = x0 * turn[0] - x1 * turn[1];
    d[1] = x1 * turn[0] + x0 * turn[1];
}

void mls_chunk_query_factors(double *a, const mls_chunk_window *w, const double *turns,
                             size_t h, size_t t)
{
    const size_t C = w->D / 2;
    const float *q = w->q + (t * w->H + h) * w->D;
    const double scale = 1.0 / sqrt((double)w->D);

    for (size_t c = 0; c < C; c++) {
        const double q0 = (double)q[c] * scale, q1 = (double)q[c + C] * scale;
        double d[2];

        turn_by(d, q0, q1, turns + (t * C + c) * 2);
        a[c] = -d[0];
        a[C + c] = -d[1];
        a[2 * C + c] = -(q0 + d[0]);
        a[3 * C + c] = -(q1 + d[1]);
    }
}

void mls_chunk_key_factors(double *b, const mls_chunk_window *w, const double *turns,
                           size_t g, size_t t)
{
    const size_t C = w->D / 2;
    const float *k = w->k + (t * w->G + g) * w->D;

    for (size_t c = 0; c < C; c++) {
        double d[2];

        b[c] = (double)k[c];
        b[C + c] = (double)k[c + C];
        turn_by(d, b[c], b[C + c], turns + (t * C + c) * 2);
        b[2 * C + c] = d[0];
        b[3 * C + c] = d[1];
    }
}

MLS_WIDE
void mls_chunk_differences(double *restrict rho, const double *restrict a,
                           const double *restrict b, size_t C)
{
    for (size_t c = 0; c < C; c++)
        rho[c] = a[c] * b[c] + a[C + c] * b[C + c] + a[2 * C + c] * b[2 * C + c] +
                 a[3 * C + c] * b[3 * C + c];
}

/* y: pairs of x rotated, x (D) half-split. */
static void rotate_row(double *y, const float *x, const double *turns, size_t C)
{
    for (size_t c = 0; c < C; c++) {
        const double x0 = (double)x[c], x1 = (double)x[c + C];

        turn_by(y + 2 * c, x0, x1, turns + 2 * c);
        y[2 * c] += x0;
        y[2 * c + 1] += x1;
    }
}

void mls_chunk_rotated_query(double *y, const mls_chunk_window *w, const double *turns,
                             size_t h, size_t t)
{
    rotate_row(y, w->q + (t * w->H + h) * w->D, turns + t * w->D, w->D / 2);
}

void mls_chunk_rotated_key(double *y, const mls_chunk_window *w, const double *turns,
                           size_t g, size_t t)
{
    rotate_row(y, w->k + (t * w->G + g) * w->D, turns + t * w->D, w->D / 2);
}
