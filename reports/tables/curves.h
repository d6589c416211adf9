/* Curves that are named where they end, one look for a method in every plot. */
#ifndef MLS_CURVES_H
#define MLS_CURVES_H

#include <stddef.h>

#include "bench/frame/method.h"
#include "common/base/buf.h"

/** Line type of a method, the same in all plots. */
int mls_curve_line(const mls_method *method);

typedef struct mls_curve {
    char name[96];
    int line;   /* line type */
    double end; /* height of its last point, above 0 on a logarithmic axis */
} mls_curve;

/**
 * What a script of curves sets first: n, `line[]` and labels right of the last points,
 * moved apart where they would cover each other.
 *
 * @param low, high    the y axis
 * @param logarithmic  of that axis
 */
void mls_curves_prelude(mls_buf *script, const mls_curve *curve, size_t n, double low,
                        double high, bool logarithmic);

#endif
