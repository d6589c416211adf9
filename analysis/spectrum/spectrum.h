/*
 * Singular values of the projection matrices, plain and weighted by the data, and what
 * they say about rank (docs/methods/spectrum.md).
 */
#ifndef MLS_SPECTRUM_H
#define MLS_SPECTRUM_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/model/model.h"
#include "analysis/model/stats.h"
#include "common/base/status.h"

/** Singular values of one matrix, largest first. */
typedef struct mls_spectrum {
    size_t n;      /* min(rows, columns) of the matrix */
    double *sigma; /* (n) */
    bool gram;     /* made from a Gram matrix, not by an SVD of the matrix itself */
    double square_error; /* bound of the error of each sigma^2, or 0: then of sigma */
    double error;
} mls_spectrum;

void mls_spectrum_free(mls_spectrum *s); /* {0} is accepted */

/**
 * Singular values of w (m, n), with bounds of their errors. The eigenvalues of the
 * smaller Gram matrix are used when the error bound of the smallest value allows: up to
 * order MLS_SPECTRUM_SMALL its share MLS_SPECTRUM_GRAM_ERROR, beyond that half a
 * float's rounding of the largest value (weights are no better known); an SVD of w
 * otherwise.
 *
 * @return MLS_OK, MLS_E_NOMEM or MLS_E_NUMERIC (NaN or infinity in w)
 */
#define MLS_SPECTRUM_GRAM_ERROR 1e-8 /* relative; a float weight is known to 6e-8 */
enum { MLS_SPECTRUM_SMALL = 1024 };
mls_status mls_spectrum_of_weights(mls_spectrum *s, const float *w, size_t m, size_t n,
                                   mls_err *err);

/** Bound of the error of sigma[i] of mls_spectrum_of_weights(). */
double mls_spectrum_value_error(const mls_spectrum *s, size_t i);

/**
 * The same of outputs y with E[y y^T] = second (n, n), sigma the roots of its
 * eigenvalues.
 */
mls_status mls_spectrum_of_second(mls_spectrum *s, const double *second, size_t n,
                                  mls_err *err);

/** What rounding can do to the figures of a summary. */
typedef struct mls_spectrum_bounds {
    double value;  /* any sigma, absolute */
    double figure; /* energy, effective ranks and stable rank, relative */
    size_t rank;   /* ranks at 90, 95 and 99 %: 0 unless a sum meets its share */
} mls_spectrum_bounds;

/** Bounds for a spectrum of mls_spectrum_of_weights(); MLS_OK or MLS_E_NOMEM. */
mls_status mls_spectrum_bound(const mls_spectrum *s, mls_spectrum_bounds *b,
                              mls_err *err);

/**
 * Square roots of the eigenvalues of W Cx W^T: singular values of the outputs W x over
 * all tokens, divided by sqrt(number of tokens). Without bias, because only W x is
 * factorized. Values below about 1e-8 of the first are rounding.
 *
 * @param w         (m, n)
 * @param x_second  (n, n), E[x x^T]
 */
mls_status mls_spectrum_weighted(mls_spectrum *s, const float *w, size_t m, size_t n,
                                 const double *x_second, mls_err *err);

typedef enum mls_matrix {
    MLS_MATRIX_Q,
    MLS_MATRIX_K,
    MLS_MATRIX_V,
    MLS_MATRIX_KV,    /* [W_k; W_v], keys above values */
    MLS_MATRIX_K_ROT, /* keys after RoPE: of captured outputs alone */
} mls_matrix;

/** "q", "k", "v", "kv", "k_rot" */
const char *mls_matrix_name(mls_matrix matrix);
/** Heads of a matrix: H for q, G for the others. */
size_t mls_matrix_heads(mls_matrix matrix, const mls_config *config);

/** The whole layer instead of one head. */
#define MLS_WHOLE_LAYER ((size_t)-1)

/**
 * Rows of a layer's matrix that belong to one head, or all of them.
 *
 * @param head       0..mls_matrix_heads()-1, or MLS_WHOLE_LAYER
 * @param[out] rows  (*m, E), released by the caller with free()
 */
mls_status mls_matrix_rows(const mls_config *config, const mls_layer *layer,
                           mls_matrix matrix, size_t head, float **rows, size_t *m,
                           mls_err *err);

/**
 * Spectrum of what one head puts out, from captured second moments: with bias and
 * QK-norm, before RoPE. For `kv` the outputs are [k; v].
 */
mls_status mls_spectrum_captured(mls_spectrum *s, const mls_layer_stats *stats,
                                 mls_matrix matrix, size_t head, mls_err *err);

typedef struct mls_spectrum_summary {
    double largest, smallest; /* sigma */
    double energy;            /* sum of sigma^2 */
    /* exp of the entropy of p; 0 for a matrix of zeros */
    double effective_rank;        /* p = sigma / sum(sigma): Roy and Vetterli 2007 */
    double effective_rank_energy; /* p = sigma^2 / sum(sigma^2) */
    double stable_rank;           /* sum(sigma^2) / sigma[0]^2 */
    size_t rank_90, rank_95, rank_99;
} mls_spectrum_summary;

/** What is told about sigma (n), largest first; all 0 for a matrix of zeros. */
mls_spectrum_summary mls_spectrum_summarize(const double *sigma, size_t n);

/**
 * A word to be quoted: "rank-deficient" when a quarter of n directions holds 95 % of
 * the energy, "full-rank" when three quarters do not, else "middling"; "" of a matrix
 * of zeros.
 */
const char *mls_rank_label(size_t rank_95, size_t n);
/** "keys", "keys after RoPE", ...: what a matrix holds, in words. */
const char *mls_matrix_words(mls_matrix matrix);

/**
 * Smallest R whose first R values hold at least `share` (0..1) of sum(sigma^2); n when
 * share is 1 (up to rounding of the sum).
 */
size_t mls_energy_rank(const double *sigma, size_t n, double share);

#endif
