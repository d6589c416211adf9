/* Parts of kq: what is stacked into one latent, and how errors in it are weighed. */
#ifndef MLS_KQ_H
#define MLS_KQ_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/latent/latent.h"
#include "analysis/latent/sensitivity.h"
#include "analysis/model/stats.h"
#include "bench/frame/lowrank.h"

/** y = W x + b, m rows of keys and values; B is what errors in y cost. */
typedef struct mls_kq_stack {
    size_t m, E;
    bool centred;    /* the latent is of y - E[y], which biases give back */
    mls_basis basis; /* in which the latent is stored */
    float *w, *b;    /* (m, E), (m) */
    double *mean;    /* (m) E[y]; 0 where not centred */
    double *root;    /* (m, m) block-diagonal B^1/2 */
    double *inverse; /* (m, m) B^-1/2 */
    double *up;      /* (m, r) B^-1/2 U^T, once the latent is made */
    size_t r;
} mls_kq_stack;

/** All numbers are 0, centred. @param[out] y  release with mls_kq_stack_free() */
mls_status mls_kq_stack_new(mls_kq_stack *y, size_t m, size_t E, mls_err *err);
void mls_kq_stack_free(mls_kq_stack *y); /* {0} is accepted */

/**
 * Rows at .. at+n-1 cost `weight` (n, n), symmetric; 1e-4 of its mean eigenvalue is
 * added, so that a direction nobody asked about in the windows is cheap, not free. A
 * weight of zero is taken for the identity.
 */
mls_status mls_kq_stack_weigh(mls_kq_stack *y, size_t at, const double *weight,
                              size_t n, mls_err *err);

/** Fill latent 0 of the form, which holds y; y->up reads it back. */
mls_status mls_kq_stack_reduce(mls_kq_stack *y, mls_latent_form *f,
                               const mls_layer_stats *stats, mls_err *err);

/** The map `up` reads rows first .. of the stack back, means as its bias. */
void mls_kq_stack_read(const mls_kq_stack *y, size_t first, mls_affine *up);

/**
 * weight=query: logits count by the queries' second moment, turned over the causal
 * distances of T tokens for keys that rotate, values by W_O; both as relative errors.
 */
mls_status mls_kq_query_weights(mls_sensitivity *w, const mls_config *c,
                                const mls_layer *layer, const mls_layer_stats *stats,
                                size_t T, mls_err *err);

/**
 * rope=shared: rope keys by RoRoPE, each for all heads or for a group of them, the rest
 * of keys in the latents, each with the values of all heads or of such a group.
 */
typedef struct mls_kq_shared {
    size_t rope_dim; /* dims of a shared rope key */
    size_t collapse; /* D / rope_dim where `keep` is 0 */
    size_t keep;     /* components of a fold; 0: fold / collapse */
    size_t fold;     /* RoRoPE: neighbouring chunks that share one frequency */
    size_t keys;     /* rope keys, each for G / keys KV heads in order */
    size_t latents;  /* 1, or as many as rope keys, each of the heads of one */
    size_t rank;     /* of all latents together */
    double balance;  /* factor of what errors in values cost */
    bool by_output;  /* RoRoPE gathers what outputs mind, not the energy of keys */
    bool centred;    /* as in mls_kq_stack */
    mls_basis basis; /* of the latents */
} mls_kq_shared;

mls_status mls_kq_shared_shape(mls_latent_form *f, const mls_kq_shared *p,
                               const mls_config *config, size_t l, mls_err *err);

/**
 * Fill that shape.
 * @param weight  what errors in keys and values cost
 * @return MLS_OK, MLS_E_INPUT (rank beyond the rows, with the nearest possible),
 *         MLS_E_NOMEM or MLS_E_NUMERIC
 */
mls_status mls_kq_shared_fill(mls_latent_form *f, const mls_kq_shared *p,
                              const mls_config *c, const mls_layer *layer,
                              const mls_layer_stats *stats,
                              const mls_sensitivity *weight, mls_err *err);

#endif
