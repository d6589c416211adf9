/*
 * KQ-SVD (arXiv 2512.05916) in covariance form: per KV head the rotated keys whose
 * scores are kept best. With S = (sum over the group's query heads of E[q q^T])^1/2 and
 * U the leading eigenvectors of S E[k k^T] S,
 *
 *   c = U S k       k_hat = S^-1 U^T c
 *
 * and values alike with S^2 = sum over the group's heads of W_O,h^T W_O,h. The one
 * oblique projection of the family. A group whose errors cost nothing (queries or W_O
 * of zero) is weighed by the identity.
 */
#include <stdlib.h>

#include "analysis/numeric/linalg.h"
#include "bench/frame/head_ranks.h"
#include "bench/frame/lowrank.h"
#include "bench/frame/method.h"
#include "common/base/checked.h"

/* Directions weighed below this share of the heaviest count as this: S^-1 in float. */
static const double weight_floor = 1e-6;

static const mls_key keys[] = {MLS_HEAD_KEYS(NULL), MLS_KEYS_END};

static mls_status shape(mls_latent_form *f, const mls_config *c, const mls_parsed *p,
                        const void *prepared, size_t l, mls_err *err)
{
    (void)prepared;
    return mls_head_shape(f, c, l, p->params, true, c->D + 1, err);
}

/* What errors of KV head g cost: queries' second moment, or the output projection. */
static void weigh(double *weight, mls_side side, const mls_config *c,
                  const mls_layer *layer, const mls_layer_stats *stats, size_t g)
{
    const size_t D = c->D, per_group = c->H / c->G;

    for (size_t i = 0; i < D * D; i++)
        weight[i] = 0.0;
    for (size_t h = g * per_group; h < (g + 1) * per_group; h++) {
        for (size_t i = 0; side == MLS_KEYS && i < D * D; i++)
            weight[i] += stats->q_rot_second[h * D * D + i];
        for (size_t e = 0; side == MLS_VALUES && e < c->E; e++) {
            const float *row = layer->wo + e * c->H * D + h * D;

            for (size_t i = 0; i < D; i++)
                for (size_t j = 0; j < D; j++)
                    weight[i * D + j] += (double)row[i] * (double)row[j];
        }
    }
    double trace = 0;

    for (size_t i = 0; i < D; i++)
        trace += weight[i * D + i];
    for (size_t i = 0; trace == 0 && i < D; i++)
        weight[i * D + i] = 1;
}

/*
 * down = U S and read = U S^-1, (D, D), from the second moment of what is kept; values
 * (D) are the squared errors that each direction saves.
 */
static mls_status weighted_basis(double *down, double *read, double *values,
                                 const double *weight, const double *second, size_t D,
                                 mls_err *err)
{
    double *all = mls_calloc3(5, D, D, sizeof *all);
    mls_status st = MLS_OK;

    if (!all) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a basis of %zu dims", D);
        goto done;
    }
    double *root = all, *inverse = all + D * D, *half = all + 2 * D * D;
    double *middle = all + 3 * D * D, *vectors = all + 4 * D * D;

    st = mls_sqrt_psd(weight, D, weight_floor, root, inverse, err);
    if (st)
        goto done;
    mls_matmul(half, root, false, second, false, D, D, D);
    mls_matmul(middle, half, false, root, false, D, D, D);
    st = mls_eigen(middle, D, values, vectors, err);
    if (st)
        goto done;
    mls_matmul(down, vectors, false, root, false, D, D, D);
    mls_matmul(read, vectors, false, inverse, false, D, D, D);

done:
    free(all);
    return st;
}

static mls_status build(const mls_method_input *in, const mls_parsed *p,
                        const void *prepared, const mls_layer *layer,
                        const mls_layer_stats *stats, mls_latent_form *f, mls_err *err)
{
    const mls_config *c = in->config;
    const size_t G = c->G, D = c->D;
    const double zero[MLS_DIM_MAX] = {0};
    double values[MLS_DIM_MAX];
    double *all;
    mls_status st;

    (void)prepared;
    if ((st = mls_needs_capture(p->method->name, stats, err)) ||
        (st = mls_lowrank_start(f, c, layer, err)))
        return st;
    all = mls_calloc3(3, D, D, sizeof *all);
    if (!all)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the bases of layer %zu",
                        layer->index);
    double *weight = all, *down = all + D * D, *read = all + 2 * D * D;

    for (size_t i = 0; !st && i < MLS_SIDES * G; i++) {
        const mls_rows rows = {i < G ? MLS_KEYS : MLS_VALUES, i % G, 1};
        const double *second =
            (i < G ? stats->k_rot_second : stats->v_second) + rows.first * D * D;

        weigh(weight, rows.side, c, layer, stats, rows.first);
        st = weighted_basis(down, read, values, weight, second, D, err);
        if (!st)
            st = mls_lowrank_put(f, layer, i, &rows, down, read, zero, err);
        if (!st)
            mls_tail_of(f->latent[i].tail, values, D);
    }
    free(all);
    return st;
}

const mls_method mls_method_kqsvd = {
    .name = "kqsvd",
    .title = "KQ-SVD",
    .source = "arXiv 2512.05916, in covariance form; values weighted by W_O",
    .keys = keys,
    .exact = true,
    .params_size = sizeof(mls_head_rank),
    .shape = shape,
    MLS_HEAD_METHOD,
    .build = build,
};
