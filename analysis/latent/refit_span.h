/* Fewer rows than columns: the space that the rows span, and the rows in it. */
#ifndef MLS_REFIT_SPAN_H
#define MLS_REFIT_SPAN_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/status.h"

/** x (n, E) = at (n, r) basis (r, E), rows of the basis orthonormal. */
typedef struct mls_refit_span {
    size_t n, r, E;
    float *at, *basis;
} mls_refit_span;

/**
 * Do n rows of E columns span so little that work in their space is less?
 */
bool mls_refit_span_pays(size_t n, size_t E);

/**
 * @param x         (n, E), 0 < n < E
 * @param[out] s    release with mls_refit_span_free(); {0} on error
 * @return MLS_OK, MLS_E_NOMEM or MLS_E_NUMERIC (x is not finite)
 */
mls_status mls_refit_span_new(mls_refit_span *s, const float *x, size_t n, size_t E,
                              mls_err *err);
void mls_refit_span_free(mls_refit_span *s); /* {0} is accepted */

#endif
