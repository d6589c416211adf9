/* A model while it is distilled: what its passes, its steps and its file share. */
#ifndef MLS_DISTIL_INNER_H
#define MLS_DISTIL_INNER_H

#include "analysis/distil/block_back.h"
#include "analysis/distil/distil.h"
#include "analysis/distil/divergence.h"
#include "analysis/heal/adam.h"
#include "analysis/heal/parameters.h"
#include "analysis/heal/pass.h"
#include "common/numbers/rng.h"

/* Gradients side by side, at most, each over a fixed run of a batch's windows. */
enum { MLS_DISTIL_SUMS = 8 };

/** One layer's numbers in training. */
typedef struct mls_distil_layer {
    mls_parameters p;
    mls_adam adam;
    float *theta, *best, *gradient; /* (p.n) */
    float *inverse; /* (E, E) to the coordinates in which its inputs are white */
} mls_distil_layer;

typedef struct mls_distilling {
    const mls_distil_job *job;
    const mls_config *config;
    mls_latent_form *form;
    mls_distilled *out;
    size_t T, E, L, n_train, batch, n_sums;

    mls_distil_layer *layer; /* (L) */
    mls_layer *weights;      /* (L) the original's, as far as they are open */
    bool keep_weights;       /* they stay so */
    mls_head head;
    mls_packed *head_packed;
    mls_logits logits;

    mls_latent_runner *runner;
    mls_states states; /* of the windows that pass now */
    size_t *start;     /* (batch + 1) */
    size_t *window;    /* (batch) which windows they are */
    float *inputs;     /* (L, batch, T, E) of every layer */
    float *d;          /* (batch, T, E) gradient by the states */
    double *kl;        /* (batch) sums over their tokens */
    bool back;         /* gradients are wanted */

    size_t now;           /* the layer that the way back is at */
    mls_block block;      /* its weights */
    mls_heal_pass **pass; /* (workers) */
    float **scratch;      /* (workers) */
    float *sums;          /* (n_sums, most numbers of a layer) */

    size_t *order; /* (n_train) of training windows */
    size_t next;   /* of them */
    mls_rng rng;
    double rate;
    size_t since; /* steps since the rate was halved */
} mls_distilling;

/** Memory, weights and tables; release with mls_distilling_free() in any case. */
mls_status mls_distilling_new(mls_distilling *k, mls_err *err);
void mls_distilling_free(mls_distilling *k);

/** The original's weights of layer l, with what the way back needs; and their end. */
mls_status mls_distil_open(mls_distilling *k, size_t l, mls_err *err);
void mls_distil_close(mls_distilling *k, size_t l);

/**
 * Windows window[0 .. n - 1] through the model, their divergence in kl; with k->back
 * also the gradient of its mean in every layer's `gradient`.
 */
mls_status mls_distil_pass(mls_distilling *k, size_t n, mls_err *err);

/** Write all that the next step depends on; read it back where it is of this run. */
mls_status mls_distil_save(const mls_distilling *k, mls_err *err);
bool mls_distil_load(mls_distilling *k);

#endif
