/* One budget over layers that each take one of several choices. */
#ifndef MLS_ALLOCATE_H
#define MLS_ALLOCATE_H

#include <stddef.h>

#include "common/base/status.h"

/** What a layer may take: bytes of a sequence, loss in any one unit. */
typedef struct mls_choice {
    size_t bytes;
    double loss;
} mls_choice;

/** Choices of layer l are item[first[l]] .. item[first[l + 1] - 1], at least one. */
typedef struct mls_choices {
    size_t L;
    const size_t *first; /* (L + 1) */
    const mls_choice *item;
} mls_choices;

/** Bytes when every layer takes its smallest choice. */
size_t mls_choices_least(const mls_choices *c);

/**
 * The choices with the least summed loss within the budget: multiple-choice knapsack by
 * dynamic programming, V_l(b) = min over choices o of loss(o) + V_{l-1}(b - bytes(o))
 * (Kellerer, Pferschy and Pisinger, Knapsack Problems, 2004, section 11.5). Exact when
 * the budget is at most 65536 times what all byte counts are multiples of; beyond that
 * bytes are rounded up to 1/65536 of the budget. Of equal losses the one with fewer
 * bytes.
 *
 * @param[out] chosen  (L) index into c->item
 * @return MLS_OK, MLS_E_INPUT (the smallest choices do not fit: the least budget is
 *         named) or MLS_E_NOMEM
 */
mls_status mls_allocate_exact(size_t *chosen, const mls_choices *c, size_t budget,
                              mls_err *err);

/**
 * Water-filling on curves: each layer's choices are replaced by the lower convex hull
 * of (bytes, loss), and the steepest steps of all layers are taken until the next one
 * does not fit. Every layer then minimizes loss + price * bytes (the Lagrangian
 * condition), and no allocation within the budget has less loss than *bound.
 *
 * @param[out] chosen  (L)
 * @param[out] price   loss that one more byte saves: the slope of the next step, 0 when
 *                     all layers have their largest choice worth having; may be NULL
 * @param[out] bound   may be NULL
 * @return as mls_allocate_exact()
 */
mls_status mls_allocate_water(size_t *chosen, double *price, double *bound,
                              const mls_choices *c, size_t budget, mls_err *err);

#endif
