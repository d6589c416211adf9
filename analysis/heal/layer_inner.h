/* A layer while it is healed: what its least squares and its training share. */
#ifndef MLS_HEAL_LAYER_INNER_H
#define MLS_HEAL_LAYER_INNER_H

#include "analysis/heal/layer.h"
#include "analysis/heal/parameters.h"
#include "analysis/heal/pass.h"
#include "common/system/spill.h"

/* Sums side by side, each over a fixed run of a batch's windows. */
enum { MLS_HEAL_SUMS = 4 };

/* One layer being healed. */
typedef struct {
    const mls_heal_windows *w;
    const mls_heal_options *options;
    mls_pool *pool;
    mls_parameters p;
    mls_heal_pass **pass; /* (workers) */
    float **out;          /* (workers, T, E) output, then its gradient */
    float *x;             /* (n, T, E) in the coordinates that training uses */
    mls_spill x_room;
    double *in, *in_back; /* (E, E) C^1/2 and its inverse */
    float *theta, *best;  /* (parameters) */
    float *gradient;      /* (SUMS, parameters) */
    double *loss;         /* (n) of each window */
    double *at_start;     /* (n) loss of each window where Adam begins */
    double *power;        /* (n) of each window's target */
    size_t *order;        /* (n - n_held) of training windows */
    const size_t *batch;  /* windows of the job list that runs now */
    size_t n_batch;
    size_t columns; /* of W_O */
    double *normal; /* (SUMS, columns, columns + E): O^T O and O^T target */
} mls_healing;

/** Output minus target of a window in k->out[worker], its square in k->loss. */
mls_status mls_healing_window(const mls_healing *k, size_t window, size_t worker,
                              mls_err *err);

/** Windows first .. last - 1 of the batch belong to one of the sums. */
static inline void mls_healing_part(const mls_healing *k, size_t sum, size_t *first,
                                    size_t *last)
{
    *first = k->n_batch * sum / MLS_HEAL_SUMS;
    *last = k->n_batch * (sum + 1) / MLS_HEAL_SUMS;
}

/**
 * W_O by least squares over the training windows, for the attention as it is.
 * @return MLS_OK, MLS_E_NOMEM or MLS_E_NUMERIC
 */
mls_status mls_heal_output(mls_healing *k, mls_err *err);

#endif
