/* Curves that are named where they end, one look for a method in every plot. */
#ifndef MLS_CURVES_H
#define MLS_CURVES_H

#include <stdbool.h>
#include <stddef.h>

#include "bench/frame/method.h"
#include "common/base/buf.h"

/** Line type of a method, the same in all plots. */
int mls_curve_line(const mls_method *method);

/** The same of a setting's text; 0: it names no method. */
int mls_curve_line_of(const char *setting);

typedef struct mls_curve {
    char name[96];
    int line;   /* line type */
    double end; /* height of its last point, above 0 on a logarithmic axis */
} mls_curve;

/**
 * Do two curves of n points come to the same figures, as SVD-LLM and one-group Palu do?
 * NaN where there is no point: in both or in none.
 */
bool mls_curves_equal(const double *ax, const double *ay, const double *bx,
                      const double *by, size_t n);
/** It is also another's: its name becomes "A = B", cut at the size. */
void mls_curve_also(mls_curve *c, const char *name);

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
