/*
 * What the least squares of a form's queries (refit_queries.c) work on: the layer's
 * inputs, and one head at a time.
 */
#ifndef MLS_REFIT_HEAD_H
#define MLS_REFIT_HEAD_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/latent/latent.h"
#include "analysis/latent/refit_span.h"
#include "analysis/latent/refit_windows.h"
#include "analysis/numeric/packed.h"
#include "common/base/status.h"

/*
 * Of the mean diagonals of the keys' covariance and of E[x x^T]: what windows do not
 * show well stays as it was (docs/methods/latent.md has the choice).
 */
#define MLS_REFIT_RIDGE 0.3

enum { MLS_REFIT_HELD_OUT = 8 /* every so-many-th window */ };

/* A layer: all its heads meet the same inputs. */
typedef struct mls_refit_job {
    mls_refit_windows windows;
    const mls_latent_form *f;
    size_t steps;
    mls_refit_span span; /* of the inputs; {0}: of all E dims */
    const float *x;      /* (n T, R) inputs, R = E or the dims of their space */
    size_t R;
    float **latent;     /* (latents) what is cached of all windows; NULL: not read */
    mls_packed *packed; /* x, or NULL */
    float *x_inverse;   /* (R, R) of E[x x^T] + ridge */
    double x_power;     /* mean square of a number of an input */
    size_t *first;      /* (H) first row of every head in the query map */
    float *wq;          /* the new queries, as f->query.w */
} mls_refit_job;

/* One head: its keys as cached, the model's attention, and the descent. */
typedef struct mls_refit_head {
    const mls_refit_job *j;
    size_t h, g, K, n_key, n_rope, W, T, R;
    size_t rows;       /* whose scores are made at a time */
    const float *bias; /* (K) of the queries, which stays; or NULL */
    const float *cs;   /* (T, n_rope/2, 2) of the rope key; NULL without */
    const float *cs_t; /* (n_rope/2, 2, T) of the same */
    float *phi;        /* (W, T, K) */
    float *a;          /* (W, T, T) attention of the model, 0 above the diagonal */
    float *rest;       /* (held, T, T) what is left of the scores of held-out windows */
    float *u, *s, *z;  /* (K, W T), (rows, T) of scores, (K, W T) */
    float *m, *best;   /* (K, R) queries now, and the best so far */
    float *residual, *direction, *image; /* (K, R) */
    float *solved, *half;                /* (K, R) */
    float *ridge, *cov_inverse;          /* (K, K) MLS_REFIT_RIDGE E[x^2] cov; cov^-1 */
    double *cov, *factor;                /* (K, K) */
} mls_refit_head;

/** Is a window of W one that the error is measured on, not fitted to? */
bool mls_refit_held_out(size_t window, size_t W);

/** phi: keys as the head's queries see them, read back, and the rope key turned. */
void mls_refit_keys(const mls_refit_head *d);

/** a: attention of the model in every window. */
void mls_refit_attention(const mls_refit_head *d);

/**
 * cov, cov_inverse and ridge of phi and a.
 * @return MLS_OK, MLS_E_NOMEM or MLS_E_NUMERIC
 */
mls_status mls_refit_covariance(const mls_refit_head *d, mls_err *err);

/** out = a^-1 in float; a (n, n) becomes its Cholesky factor. */
mls_status mls_refit_inverse(float *out, double *a, size_t n, mls_err *err);

/** Conjugate gradients from the queries in m; the best stay in best. */
void mls_refit_descend(const mls_refit_head *d);

#endif
