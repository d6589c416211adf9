/* Affine maps y = W x + b: the type of everything that a layer's form is made of. */
#ifndef MLS_AFFINE_H
#define MLS_AFFINE_H

#include <stdbool.h>
#include <stddef.h>

/**
 * Row-major weights. Who holds the numbers is said where a map is kept: a form owns
 * those of its maps, a view borrows rows of another map.
 */
typedef struct mls_affine {
    size_t rows, cols; /* cols 0: no map, y is x itself */
    bool biased;
    float *w; /* (rows, cols) */
    float *b; /* (rows); NULL: 0 */
} mls_affine;

/** The shape of a map whose numbers come later. */
mls_affine mls_affine_shape(size_t rows, size_t cols, bool biased);

/** Weights and bias (or NULL) of a model as a map; borrowed. */
mls_affine mls_affine_of(float *w, float *b, size_t rows, size_t cols);

/** Rows first .. first+n-1 as a map of their own; borrowed. */
mls_affine mls_affine_rows(const mls_affine *a, size_t first, size_t n);

/**
 * Rows at .. at+n-1 of `to` become rows row[0..n-1] of `from`, or its first n without
 * `row`. A bias that `to` does not hold must be known to be 0 by the caller.
 */
void mls_affine_put(mls_affine *to, size_t at, const mls_affine *from,
                    const size_t *row, size_t n);
/** The same from double, w (n, cols), b (n) or NULL. */
void mls_affine_put_double(mls_affine *to, size_t at, const double *w, const double *b,
                           size_t n);

/** to[i] = from[i]: n numbers in the other precision. */
void mls_narrow(float *to, const double *from, size_t n);
void mls_widen(double *to, const float *from, size_t n);

#endif
