/* One budget of chunks spread over heads by what each chunk saves. */
#ifndef MLS_SPREAD_H
#define MLS_SPREAD_H

#include <stddef.h>

#include "common/base/status.h"

/**
 * Spend `budget` chunks where they lower the summed loss most. Each loss curve is
 * replaced by its lower convex hull, for which taking the steepest step again and again
 * is optimal; ties go to the smaller head.
 *
 * @param loss        (n, C + 1): loss of head i with r chunks kept; one unit for all
 *                    heads
 * @param budget      0..n C
 * @param[out] count  (n), sum = budget
 */
mls_status mls_spread_budget(size_t *count, const double *loss, size_t n, size_t C,
                             size_t budget, mls_err *err);

#endif
