/* Spectra of every KV head, so that a plan may give each head a rank of its own. */
#ifndef MLS_PLAN_HEADS_H
#define MLS_PLAN_HEADS_H

#include <stdbool.h>
#include <stddef.h>

#include "bench/frame/lowrank.h"
#include "bench/plan/plan_costs.h"

/** What is left of a head's error at each rank. */
typedef struct mls_plan_heads {
    size_t L, G, most; /* most: the largest rank of a head */
    bool *usable;      /* (n_methods) the method caches a latent per head and side */
    double *tail; /* (n_methods, L, MLS_SIDES, G, most + 1), mls_latent_vector.tail */
    size_t step;  /* ranks are multiples of it */
} mls_plan_heads;

/**
 * Spectra of all methods that have ranks to choose and a basis per head (kqsvd,
 * matryoshka), from forms built at the smallest candidate.
 *
 * @param[out] out  release with mls_plan_heads_free()
 * @return MLS_OK, MLS_E_INPUT (none of the methods has a rank per head), or what
 *         building a form says
 */
mls_status mls_plan_heads_new(mls_plan_heads **out, const mls_plan_costs *c,
                              const mls_plan_request *r, mls_err *err);
void mls_plan_heads_free(mls_plan_heads *h); /* NULL is accepted */

/**
 * Candidate i in layer l: its setting, with heads its rank split over the heads so that
 * their summed error is least (mls_split_ranks()), keys among keys, values among
 * values.
 */
mls_status mls_plan_setting(mls_setting *out, const mls_plan_costs *c, size_t i,
                            size_t l, mls_err *err);

#endif
