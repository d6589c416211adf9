/* Measuring settings for a plan: as their methods make them, or healed. */
#ifndef MLS_PLAN_HEALED_H
#define MLS_PLAN_HEALED_H

#include <stddef.h>

#include "bench/plan/plan.h"

/** mls_evaluate(); with r->heal, of the healed forms of the variants' schemes. */
mls_status mls_plan_evaluate(mls_evaluation *out, const mls_plan_request *r,
                             const mls_corpus *text, const mls_variant *variant,
                             size_t n, const mls_evaluate_options *how,
                             const mls_progress *progress, mls_err *err);

#endif
