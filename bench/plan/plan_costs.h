/* What every layer loses under every candidate setting: half of a plan. */
#ifndef MLS_PLAN_COSTS_H
#define MLS_PLAN_COSTS_H

#include <stdbool.h>
#include <stddef.h>

#include "bench/plan/plan.h"

/** A setting that a layer may get. */
typedef struct mls_candidate {
    mls_setting setting;
    size_t method, bits; /* indices in the request */
    size_t rank;         /* 0: the method has none to choose */
} mls_candidate;

/** Candidates and their costs; released with mls_plan_costs_free(). */
typedef struct mls_plan_costs {
    size_t L, n;
    mls_candidate *candidate; /* (n) by method, bits, rank */
    size_t *bytes;            /* (n, L) of a sequence of request->tokens tokens */
    double *loss;             /* (n, L) nat: KL when only this layer is converted */
    bool *allowed;            /* (n, L) by the request's constraints */
    double scale; /* KL of a whole uniform conversion over the sum of its layers' */
    mls_plan_refused refused; /* found while losses were measured */
    struct mls_plan_heads
        *heads; /* bench/plan/plan_heads.h; NULL: heads of a layer alike */
} mls_plan_costs;

/** Everything but the losses; they are NaN. */
mls_status mls_plan_candidates(mls_plan_costs *out, const mls_plan_request *r,
                               mls_err *err);
/**
 * Measure the losses at reference ranks near `budget` (bytes of a sequence) and draw
 * the curves between them.
 */
mls_status mls_plan_measure(mls_plan_costs *c, const mls_plan_request *r, size_t budget,
                            const mls_progress *progress, mls_err *err);
void mls_plan_costs_free(mls_plan_costs *c); /* {0} is accepted */

/** Largest candidate of a method and bits whose uniform use fits; n when none does. */
size_t mls_plan_uniform(const mls_plan_costs *c, size_t method, size_t bits,
                        size_t budget);

#endif
