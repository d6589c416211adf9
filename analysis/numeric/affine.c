/*
 * Rows of maps are copied and narrowed here and nowhere else, so that a size that does
 * not fit is caught by one assertion instead of a comment beside each copy.
 */
#include "analysis/numeric/affine.h"

#include <assert.h>
#include <string.h>

mls_affine mls_affine_shape(size_t rows, size_t cols, bool biased)
{
    return (mls_affine){.rows = rows, .cols = cols, .biased = biased};
}

mls_affine mls_affine_of(float *w, float *b, size_t rows, size_t cols)
{
    return (mls_affine){rows, cols, b != NULL, w, b};
}

mls_affine mls_affine_rows(const mls_affine *a, size_t first, size_t n)
{
    assert(first + n <= a->rows);
    return (mls_affine){n, a->cols, a->biased, a->w + first * a->cols,
                        a->b ? a->b + first : NULL};
}

void mls_affine_put(mls_affine *to, size_t at, const mls_affine *from,
                    const size_t *row, size_t n)
{
    assert(to->w && to->cols == from->cols && at + n <= to->rows);
    for (size_t i = 0; i < n; i++) {
        const size_t r = row ? row[i] : i;

        assert(r < from->rows);
        memcpy(to->w + (at + i) * to->cols, from->w + r * from->cols,
               from->cols * sizeof *to->w);
        if (to->b && from->b)
            to->b[at + i] = from->b[r];
    }
}

void mls_affine_put_double(mls_affine *to, size_t at, const double *w, const double *b,
                           size_t n)
{
    assert(to->w && at + n <= to->rows);
    mls_narrow(to->w + at * to->cols, w, n * to->cols);
    if (b) {
        assert(to->b);
        mls_narrow(to->b + at, b, n);
    }
}

void mls_narrow(float *to, const double *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (float)from[i];
}

void mls_widen(double *to, const float *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (double)from[i];
}
