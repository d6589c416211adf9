/*
 * The algebra of lowrank.h. c = U^T (W x + b - mean) is cached as one map of x, (U^T
 * W) x + U^T (b - mean), so the bias costs no rank; heads read mean + U c. Products
 * are made in double and narrowed once: U^T W in float would lose what the smallest
 * kept directions hold.
 */
#include "bench/frame/lowrank.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/numeric/linalg.h"
#include "common/base/checked.h"

static mls_status no_memory(const mls_layer *layer, mls_err *err)
{
    return mls_fail(err, MLS_E_NOMEM, "no memory for the latent form of layer %zu",
                    layer->index);
}

mls_status mls_needs_capture(const char *method, const mls_layer_stats *stats,
                             mls_err *err)
{
    if (stats)
        return MLS_OK;
    return mls_fail(err, MLS_E_INPUT,
                    "%s chooses directions by data; it needs --capture RUN.h5, written "
                    "by mlascope capture",
                    method);
}

/* --- Forms --- */

mls_status mls_lowrank_shape(mls_latent_form *f, const mls_config *c, size_t l,
                             size_t n_latents, mls_err *err)
{
    const mls_status st = mls_latent_begin(f, c, l, n_latents, 0, err);

    if (st)
        return st;
    for (size_t g = 0; g < c->G; g++) {
        f->head[g].n_key = f->head[g].n_value = c->D;
        f->head[g].rotation =
            c->layer[l].no_rope ? MLS_ROTATE_NEVER : MLS_ROTATE_AFTER_READ;
    }
    f->q_norm.n = f->k_norm.n = c->qk_norm ? c->D : 0;
    return MLS_OK;
}

void mls_lowrank_place(mls_latent_form *f, const mls_config *c, size_t at,
                       const mls_rows *rows, size_t r, bool centred)
{
    const bool keys = rows->side == MLS_KEYS;
    const mls_affine up = mls_affine_shape(c->D, r, centred || c->qkv_bias);

    f->latent[at] = (mls_latent_vector){.r = r,
                                        .down = mls_affine_shape(r, c->E, centred),
                                        .holds_keys = keys,
                                        .holds_values = !keys};
    for (size_t g = rows->first; g < rows->first + rows->heads; g++) {
        *(keys ? &f->head[g].key_latent : &f->head[g].value_latent) = (int)at;
        *(keys ? &f->head[g].key : &f->head[g].value) = up;
    }
}

void mls_lowrank_place_rotated(mls_latent_form *f, const mls_config *c, size_t at,
                               size_t g, size_t r)
{
    const mls_rows rows = {MLS_KEYS, g, 1};

    mls_lowrank_place(f, c, at, &rows, r, true);
    if (c->layer[f->layer].no_rope)
        return;
    f->latent[at].source = MLS_LATENT_OF_ROT_KEY;
    f->latent[at].head = g;
    f->latent[at].down.cols = c->D;
    f->head[g].rotation = MLS_ROTATE_BEFORE;
    f->key = mls_affine_shape(c->G * c->D, c->E, c->qkv_bias);
}

mls_status mls_lowrank_start(mls_latent_form *f, const mls_config *c,
                             const mls_layer *layer, mls_err *err)
{
    const mls_affine queries = mls_latent_queries(c, layer);
    const mls_affine keys = mls_latent_keys(c, layer);
    const mls_status st = mls_latent_start(f, c, layer, err);

    if (st)
        return st;
    mls_affine_put(&f->query, 0, &queries, NULL, queries.rows);
    if (f->key.cols)
        mls_affine_put(&f->key, 0, &keys, NULL, keys.rows);
    return MLS_OK;
}

/* down (r, m) times the rows of w (m, E). */
static mls_status put_down(mls_latent_vector *v, const mls_layer *layer,
                           const double *down, const float *w, size_t m, mls_err *err)
{
    const size_t E = v->down.cols;
    double *wide = mls_calloc3(m + v->r, E, 1, sizeof *wide), *product;

    if (!wide)
        return no_memory(layer, err);
    product = wide + m * E;
    mls_widen(wide, w, m * E);
    mls_matmul(product, down, false, wide, false, v->r, E, m);
    mls_affine_put_double(&v->down, 0, product, NULL, v->r);
    free(wide);
    return MLS_OK;
}

mls_status mls_lowrank_put(mls_latent_form *f, const mls_layer *layer, size_t at,
                           const mls_rows *rows, const double *down, const double *read,
                           const double *mean, mls_err *err)
{
    const bool keys = rows->side == MLS_KEYS;
    mls_latent_vector *v = &f->latent[at];
    const bool rotated = v->source == MLS_LATENT_OF_ROT_KEY;
    const size_t D = f->D, m = rows->heads * D, row = rows->first * D, r = v->r;
    const float *w = (keys ? layer->wk : layer->wv) + row * f->E;
    const float *all_b = keys ? layer->bk : layer->bv;
    const float *b = all_b && !rotated ? all_b + row : NULL;
    mls_status st = MLS_OK;

    if (rotated)
        mls_affine_put_double(&v->down, 0, down, NULL, r);
    else
        st = put_down(v, layer, down, w, m, err);
    for (size_t i = 0; mean && i < r; i++) {
        double sum = 0.0;

        for (size_t j = 0; j < m; j++)
            sum += down[i * m + j] * ((b ? (double)b[j] : 0.0) - mean[j]);
        v->down.b[i] = (float)sum;
    }
    for (size_t i = 0; i < m; i++) {
        mls_read_head *h = &f->head[rows->first + i / D];
        mls_affine *up = keys ? &h->key : &h->value;

        for (size_t j = 0; j < r; j++)
            up->w[i % D * r + j] = (float)read[j * m + i];
        if (mean || b)
            up->b[i % D] = mean ? (float)mean[i] : b[i];
    }
    return st;
}

/* --- The matrix G --- */

mls_status mls_metric_matrix(double *out, const mls_metric *metric,
                             const mls_config *config, const mls_layer *layer,
                             const mls_layer_stats *stats, const mls_rows *rows,
                             mls_err *err)
{
    const size_t D = config->D, E = config->E, m = rows->heads * D;
    const float *all = rows->side == MLS_KEYS ? layer->wk : layer->wv;
    const float *w = all + rows->first * D * E;
    double *scaled, *plain = NULL;
    double share = 0.0;
    mls_status st = MLS_OK;

    if (metric->kind != MLS_METRIC_WEIGHTS &&
        (st = mls_needs_capture("a metric of inputs", stats, err)))
        return st;
    if (metric->kind == MLS_METRIC_COVARIANCE) {
        st = mls_second_of_outputs(out, stats, w, NULL, m, err);
        if (st || !(metric->shrink > 0.0))
            return st;
        for (size_t e = 0; e < E; e++)
            share += stats->x_second[e * E + e] / (double)E;
        share *= metric->shrink;
    }

    /* (W s) (W s)^T with s = 1, or ASVD's mean|x|^power. */
    scaled = mls_calloc3(m, E, 1, sizeof *scaled);
    plain = mls_calloc3(m, m, 1, sizeof *plain);
    if (!scaled || !plain) {
        st = no_memory(layer, err);
        goto done;
    }
    mls_widen(scaled, w, m * E);
    if (metric->kind == MLS_METRIC_DIAGONAL)
        for (size_t i = 0; i < m * E; i++)
            scaled[i] *= pow(stats->x_abs[i % E], metric->power) + 1e-6;
    mls_matmul(plain, scaled, false, scaled, true, m, m, E);
    if (metric->kind == MLS_METRIC_COVARIANCE)
        for (size_t i = 0; i < m * m; i++)
            out[i] += share * plain[i];
    else
        memcpy(out, plain, m * m * sizeof *out);

done:
    mls_free_all(plain, scaled);
    return st;
}

const mls_basis_order mls_unit_first = {{"unit", "root", NULL},
                                        {MLS_BASIS_UNIT, MLS_BASIS_ROOT}};
const mls_basis_order mls_root_first = {{"root", "unit", NULL},
                                        {MLS_BASIS_ROOT, MLS_BASIS_UNIT}};

void mls_fold_roots(double *down, double *up, const double *values, size_t r, size_t n)
{
    for (size_t i = 0; i < r; i++) {
        /* Of zeros there is no direction to scale. */
        const double sigma =
            values[0] > 0 ? sqrt(fmax(values[i], 1e-12 * values[0])) : 1;

        for (size_t j = 0; j < n; j++) {
            down[i * n + j] /= sqrt(sigma);
            up[i * n + j] *= sqrt(sigma);
        }
    }
}

mls_status mls_lowrank_pca(mls_latent_form *f, const mls_metric *metric,
                           mls_basis basis, size_t at, const mls_rows *rows,
                           const mls_config *config, const mls_layer *layer,
                           const mls_layer_stats *stats, mls_err *err)
{
    const size_t m = rows->heads * config->D, r = f->latent[at].r;
    double *G = mls_calloc3(3 * m + 1, m, 1, sizeof *G);
    double *down = G + m * m, *up = down + m * m, *values = up + m * m;
    mls_status st;

    if (!G)
        return no_memory(layer, err);
    st = mls_metric_matrix(G, metric, config, layer, stats, rows, err);
    if (!st)
        st = mls_eigen(G, m, values, down, err);
    if (!st) {
        memcpy(up, down, r * m * sizeof *up);
        if (basis == MLS_BASIS_ROOT)
            mls_fold_roots(down, up, values, r, m);
        st = mls_lowrank_put(f, layer, at, rows, down, up, NULL, err);
    }
    free(G);
    return st;
}
