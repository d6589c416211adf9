/*
 * The algebra that most low-rank methods share (docs/METHODS.md, "Low-rank
 * projections").
 *
 * Truncating the SVD of W M and undoing M gives U U^T W, U the leading eigenvectors of
 * G = W M M^T W^T. So every such method keeps c = U^T y of outputs y = W x (+ b) and
 * reads y_hat = U c back; only the small matrix G differs, and which heads share one U.
 */
#ifndef MLS_LOWRANK_H
#define MLS_LOWRANK_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/latent/latent.h"
#include "analysis/model/model.h"
#include "analysis/model/stats.h"
#include "bench/frame/method.h"
#include "common/base/status.h"

typedef enum mls_side { MLS_KEYS, MLS_VALUES, MLS_SIDES } mls_side;

/**
 * Rows of W_K or W_V whose outputs share a latent: `heads` KV heads from `first` on.
 */
typedef struct mls_rows {
    mls_side side;
    size_t first, heads;
} mls_rows;

/* --- Forms --- */

/**
 * The shape of a form whose keys are rotated after they are read back whole, n_latents
 * to be placed. Works for QK-norm, because whole keys are normalized after reading.
 */
mls_status mls_lowrank_shape(mls_latent_form *f, const mls_config *config, size_t l,
                             size_t n_latents, mls_err *err);

/**
 * Latent `at` has r numbers and serves the rows; centred: it is of their outputs minus
 * a mean, which is added after reading.
 */
void mls_lowrank_place(mls_latent_form *f, const mls_config *config, size_t at,
                       const mls_rows *rows, size_t r, bool centred);

/**
 * The same for rotated keys of KV head g, centred, with QK-norm before the rotation; on
 * a layer without RoPE they are plain keys.
 */
void mls_lowrank_place_rotated(mls_latent_form *f, const mls_config *config, size_t at,
                               size_t g, size_t r);

/** Room for the numbers of the shape; queries and what belongs to no latent. */
mls_status mls_lowrank_start(mls_latent_form *f, const mls_config *config,
                             const mls_layer *layer, mls_err *err);

/**
 * Fill latent `at`: c = down (y - mean), y_hat = mean + read^T c, of the rows' outputs
 * y, rotated where it was placed so.
 *
 * @param down, read  (r or more, m), m = heads D; the same for an orthogonal projection
 * @param mean        (m); NULL: the bias of the rows, or 0 of rotated keys
 */
mls_status mls_lowrank_put(mls_latent_form *f, const mls_layer *layer, size_t at,
                           const mls_rows *rows, const double *down, const double *read,
                           const double *mean, mls_err *err);

/* --- The matrix G --- */

typedef enum mls_metric_kind {
    MLS_METRIC_WEIGHTS,    /* W W^T: plain SVD of the weights */
    MLS_METRIC_DIAGONAL,   /* W diag(s^2) W^T, s = mean|x|^power + 1e-6: ASVD */
    MLS_METRIC_COVARIANCE, /* W (E[x x^T] + shrink mean-diagonal I) W^T */
} mls_metric_kind;

typedef struct mls_metric {
    mls_metric_kind kind;
    double power;  /* MLS_METRIC_DIAGONAL */
    double shrink; /* MLS_METRIC_COVARIANCE */
} mls_metric;

/**
 * G of some rows, biases left out.
 *
 * @param stats    x_abs or x_second is used; may be NULL for MLS_METRIC_WEIGHTS
 * @param[out] out (m, m)
 * @return MLS_OK, MLS_E_INPUT (no statistics) or MLS_E_NOMEM
 */
mls_status mls_metric_matrix(double *out, const mls_metric *metric,
                             const mls_config *config, const mls_layer *layer,
                             const mls_layer_stats *stats, const mls_rows *rows,
                             mls_err *err);

/* --- Methods that differ in G, groups and ranks alone --- */

/**
 * The basis in which a latent is stored: one product, but a quantizer sees its numbers.
 * Sigma are the singular values of W M, the roots of G's eigenvalues.
 */
typedef enum mls_basis {
    MLS_BASIS_UNIT, /* c = U^T y: U orthonormal, Sigma on the down side */
    MLS_BASIS_ROOT, /* c = Sigma^-1/2 U^T y: sqrt(Sigma) in both factors */
} mls_basis;

/**
 * From U to the basis of roots: rows i of down (r, n) by Sigma_i^-1/2, of up by its
 * inverse; singular values below 1e-6 of the largest count as this.
 * @param values  (r) Sigma^2, largest first
 */
void mls_fold_roots(double *down, double *up, const double *values, size_t r, size_t n);

/** Fill latent `at` with the leading eigenvectors of G of the rows. */
mls_status mls_lowrank_pca(mls_latent_form *f, const mls_metric *metric,
                           mls_basis basis, size_t at, const mls_rows *rows,
                           const mls_config *config, const mls_layer *layer,
                           const mls_layer_stats *stats, mls_err *err);

struct mls_layer_ranks;
struct mls_spectra;

/**
 * Fills prepared->rank[l * MLS_SIDES + side] of every converted layer.
 * @param arg  what mls_layer_ranks_make() was given: the method's parameters
 */
typedef mls_status mls_rank_rule(struct mls_layer_ranks *prepared,
                                 const struct mls_spectra *spectra,
                                 const mls_method_input *in, const void *arg,
                                 mls_err *err);

/**
 * The parameters of these methods begin with this. KV heads are grouped in order; the
 * last group may be smaller.
 */
typedef struct mls_projection {
    mls_metric metric;
    size_t heads;           /* of a group; 0: all */
    size_t both;            /* of keys and of values each, where they are alike */
    size_t rank[MLS_SIDES]; /* numbers of keys and of values, spread over the groups */
    size_t by_data;         /* not 0: they differ from layer to layer and are a mean */
    size_t basis;           /* mls_basis */
} mls_projection;

/** How many groups the heads of one side make: ceil(G / heads). */
size_t mls_projection_groups(const mls_projection *p, const mls_config *config);
/** The most that ranks of one side of a layer can add up to. */
size_t mls_projection_most(const mls_projection *p, const mls_config *config);

/**
 * Row of a key table: the basis, first the project's own.
 * @param order  mls_unit_first or mls_root_first
 */
#define MLS_BASIS_KEY(order)                                                           \
    {                                                                                  \
        "basis", MLS_KEY_WORD, offsetof(mls_projection, basis),                        \
            .words = (order).words, .values = (order).values,                          \
            .help = "singular values on the down side, or their roots on both"         \
    }
typedef struct mls_basis_order {
    const char *words[3];
    size_t values[2];
} mls_basis_order;
extern const mls_basis_order mls_unit_first, mls_root_first;

/**
 * Rows of a key table: `rank`, or `rank_k` and `rank_v`, numbers cached per token and
 * layer for keys and for values, into the mls_projection that a struct begins with.
 * @param why  NULL, or the function that refuses them
 */
#define MLS_PROJECTION_KEYS(why)                                                       \
    {"rank",                                                                           \
     MLS_KEY_SIZE,                                                                     \
     offsetof(mls_projection, both),                                                   \
     .hint = "N",                                                                      \
     .help = "numbers for keys and as many for values, per layer",                     \
     .least = 1,                                                                       \
     .most = MLS_WIDTH_MAX,                                                            \
     .otherwise = mls_projection_half,                                                 \
     .said = "G D / 2",                                                                \
     .limit = mls_projection_limit,                                                    \
     .what = "the rank of a layer's keys or values",                                   \
     .bound = "min(G D, E)",                                                           \
     .refuse = (why)},                                                                 \
        MLS_PROJECTION_SIDE("rank_k", MLS_KEYS, why),                                  \
        MLS_PROJECTION_SIDE("rank_v", MLS_VALUES, why)
#define MLS_PROJECTION_SIDE(word, side, why)                                           \
    {                                                                                  \
        word, MLS_KEY_SIZE, offsetof(mls_projection, rank[side]),                      \
            .hint = "N", .help = "one side by itself", .least = 1,                     \
            .most = MLS_WIDTH_MAX, .like = "rank", .limit = mls_projection_limit,      \
            .what = "the rank of a layer's keys or values", .bound = "min(G D, E)",    \
            .refuse = (why)                                                            \
    }
/** Members of a method that begins its parameters with a mls_projection. */
#define MLS_PROJECTION_METHOD                                                          \
    .formula = "rank_k + rank_v", .full_rope = true, .identity = true,                 \
    .sized = mls_projection_sized, .shape = mls_projection_shape,                      \
    .release = mls_layer_ranks_free, .build = mls_projection_build
size_t mls_projection_half(const mls_config *config, const void *params);
size_t mls_projection_limit(const mls_config *config, const void *params);

/** Every group has a number at least; MLS_E_INPUT with the nearest possible. */
mls_status mls_projection_settle(const mls_projection *p, const mls_config *config,
                                 const char *method, mls_err *err);

/* Members of mls_method; what is prepared is mls_layer_ranks. */
mls_status mls_projection_sized(const mls_config *config, const mls_parsed *p,
                                mls_err *err);
mls_status mls_projection_shape(mls_latent_form *f, const mls_config *config,
                                const mls_parsed *p, const void *prepared, size_t l,
                                mls_err *err);
mls_status mls_projection_build(const mls_method_input *in, const mls_parsed *p,
                                const void *prepared, const mls_layer *layer,
                                const mls_layer_stats *stats, mls_latent_form *f,
                                mls_err *err);

/** Ranks of every layer and side, chosen by looking at the whole model. */
typedef struct mls_layer_ranks {
    size_t L;
    size_t *rank; /* (L, MLS_SIDES) */
} mls_layer_ranks;

/** All ranks are 0. @param[out] out  release with mls_layer_ranks_free() */
mls_status mls_layer_ranks_new(mls_layer_ranks **out, size_t L, mls_err *err);
void mls_layer_ranks_free(
    void *prepared); /* NULL is accepted; fits mls_method.release */

/**
 * The ranks (MLS_SIDES) of layer l.
 * @param prepared  a mls_layer_ranks, as mls_method.build gets it; NULL: `uniform`
 * @param uniform   (MLS_SIDES), the same for every layer
 */
const size_t *mls_layer_ranks_at(const void *prepared, size_t l, const size_t *uniform);

/**
 * What ranks are chosen from: eigenvalues of G of whole layers (all heads together).
 */
typedef struct mls_spectra {
    const double *values;  /* (L, MLS_SIDES, m), largest first, none below 0 */
    const bool *converted; /* (L); the values of other layers are 0 */
    size_t L, m;           /* m = G D */
} mls_spectra;

/**
 * Ranks by a rule that looks at the spectra of all layers that the setting converts.
 *
 * @param[out] prepared  release with mls_layer_ranks_free(); NULL on error
 * @param arg        handed to the rule
 * @return MLS_OK, MLS_E_INPUT (no model, no statistics), MLS_E_NOMEM, MLS_E_NUMERIC, or
 *         what the rule returns
 */
mls_status mls_layer_ranks_make(void **prepared, const mls_parsed *p,
                                const mls_method_input *in, mls_rank_rule *rule,
                                const void *arg, mls_err *err);

/**
 * Whole ranks near `want` that add up to `total`: floors within min..most, what is
 * missing goes one by one to where most of `want` is unmet, what is too much comes from
 * where it is exceeded most.
 *
 * @param want       (n)
 * @param total      n min .. n most
 * @param[out] rank  (n), stride `step`
 */
void mls_share_ranks(size_t *rank, size_t step, const double *want, size_t n,
                     size_t total, size_t min, size_t most);

/** MLS_E_INPUT unless statistics are there, "METHOD ... needs a capture file". */
mls_status mls_needs_capture(const char *method, const mls_layer_stats *stats,
                             mls_err *err);

/** A method's `fit` whose keys and values take half of the numbers each, by rank=N. */
void mls_projection_fit(const mls_config *config, size_t elements,
                        struct mls_fits *out);

#endif
