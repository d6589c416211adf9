/*
 * TransMLA's form of one layer (arXiv 2502.07864, section 4; transmla/lora_qkv.py):
 * keys rotated by RoRoPE, then a PCA of z = [rest of the keys / alpha; values] whose
 * leading components are the latent. alpha makes both sides count alike: keys are much
 * larger than values, and without it the latent would hold keys alone. Queries may be
 * reduced by a PCA of their own outputs.
 */
#include "bench/methods/transmla.h"

#include <math.h>
#include <string.h>

#include "analysis/numeric/linalg.h"
#include "bench/frame/factor.h"
#include "bench/frame/shared_key.h"
#include "common/base/checked.h"

static mls_status no_memory(const mls_layer *layer, mls_err *err)
{
    return mls_fail(err, MLS_E_NOMEM, "no memory for the latent form of layer %zu",
                    layer->index);
}

/*
 * How much larger keys are than values: the mean root mean square of the components.
 * The code skips the first qk_mqa_dim values, the paper takes mean squares of all.
 */
static double balance(const mls_transmla *p, const double *second, size_t n_keys,
                      size_t n_values, size_t R)
{
    const size_t n = n_keys + n_values;
    const size_t skip = p->alpha == MLS_ALPHA_CODE && R < n_values ? R : 0;
    double keys = 0.0, values = 0.0;

    if (p->alpha == MLS_ALPHA_NONE || n_keys == 0)
        return p->balance;
    for (size_t i = 0; i < n_keys; i++)
        keys += p->alpha == MLS_ALPHA_CODE ? sqrt(second[i * (n + 1)])
                                           : second[i * (n + 1)];
    for (size_t i = n_keys + skip; i < n; i++)
        values += p->alpha == MLS_ALPHA_CODE ? sqrt(second[i * (n + 1)])
                                             : second[i * (n + 1)];
    if (p->alpha == MLS_ALPHA_CODE) {
        keys /= (double)n_keys;
        values /= (double)(n_values - skip);
    }
    return keys > 0.0 && values > 0.0 ? p->balance * keys / values : 1.0;
}

/* Rows of `basis` (r, n) cut to columns first .. first+m-1, transposed: (m, r). */
static double *columns_of(const double *basis, size_t r, size_t n, size_t first,
                          size_t m, double factor)
{
    double *y = mls_calloc3(m, r, 1, sizeof *y);

    for (size_t i = 0; y && i < m; i++)
        for (size_t j = 0; j < r; j++)
            y[i * r + j] = factor * basis[j * n + first + i];
    return y;
}

/* What heads read back from the latent with basis (r, n_rest + G D). */
static mls_status add_read_back(mls_latent_form *f, const mls_rotated *y,
                                const double *basis, double alpha,
                                const mls_layer *layer, mls_err *err)
{
    const size_t G = f->G, D = f->D, n = y->n_rest + G * D, r = f->latent[0].r;
    double *rest = columns_of(basis, r, n, 0, y->n_rest, alpha);
    double *values = columns_of(basis, r, n, y->n_rest, G * D, 1.0);
    double *unrotate = mls_calloc3(D, y->n_rest, 1, sizeof *unrotate);
    double *up = mls_calloc3(D, r, 1, sizeof *up);
    mls_status st = MLS_OK;

    if (!rest || !values || !unrotate || !up)
        st = no_memory(layer, err);
    for (size_t g = 0; !st && g < G; g++) {
        mls_affine_put_double(&f->head[g].value, 0, values + g * D * r, NULL, D);
        if (!y->n_rest)
            continue;
        mls_rotated_read_back(unrotate, y, g, D);
        mls_matmul(up, unrotate, false, rest, false, D, r, y->n_rest);
        mls_affine_put_double(&f->head[g].key, 0, up, NULL, D);
    }
    mls_free_all(up, unrotate, values, rest);
    return st;
}

/*
 * PCA of z = [rest of the keys / alpha; values]; the latent is its leading components.
 */
static mls_status add_latent(mls_latent_form *f, const mls_rotated *y,
                             const mls_transmla *p, const mls_layer *layer,
                             const mls_layer_stats *stats, mls_err *err)
{
    const size_t GD = f->G * f->D, E = f->E, n = y->n_rest + GD, r = f->latent[0].r;
    const bool biased = f->latent[0].down.biased;
    double *z = mls_calloc3(n, E, 1, sizeof *z);
    double *z_b = mls_calloc3(n + r, 1, 1, sizeof *z_b), *down_b = z_b ? z_b + n : NULL;
    double *second = mls_calloc3(n, n, 1, sizeof *second);
    double *basis = mls_calloc3(r, n, 1, sizeof *basis);
    double *down = mls_calloc3(r, E, 1, sizeof *down);
    float *z_float = mls_calloc3(n, E + 1, 1, sizeof *z_float);
    mls_status st = MLS_OK;

    if (!z || !z_b || !second || !basis || !down || !z_float) {
        st = no_memory(layer, err);
        goto done;
    }
    memcpy(z, y->w + y->n_rope * E, y->n_rest * E * sizeof *z);
    mls_widen(z + y->n_rest * E, layer->wv, GD * E);
    memcpy(z_b, y->b + y->n_rope, y->n_rest * sizeof *z_b);
    if (layer->bv)
        mls_widen(z_b + y->n_rest, layer->bv, GD);
    mls_narrow(z_float, z, n * E);
    mls_narrow(z_float + n * E, z_b, n);
    st = mls_second_of_outputs(second, stats, z_float, biased ? z_float + n * E : NULL,
                               n, err);
    if (st)
        goto done;

    const double alpha = balance(p, second, y->n_rest, GD, y->n_rope);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            second[i * n + j] /=
                (i < y->n_rest ? alpha : 1.0) * (j < y->n_rest ? alpha : 1.0);
    for (size_t i = 0; i < y->n_rest; i++) {
        z_b[i] /= alpha;
        for (size_t e = 0; e < E; e++)
            z[i * E + e] /= alpha;
    }
    if (p->rank == 0) {
        for (size_t i = 0; i < n; i++)
            basis[i * (n + 1)] = 1.0;
    } else if ((st = mls_factor_pca(basis, second, n, r, err))) {
        goto done;
    }
    mls_matmul(down, basis, false, z, false, r, E, n);
    mls_matmul(down_b, basis, false, z_b, false, r, 1, n);
    mls_affine_put_double(&f->latent[0].down, 0, down, biased ? down_b : NULL, r);
    st = add_read_back(f, y, basis, alpha, layer, err);

done:
    mls_free_all(z_float, down, basis, second, z_b, z);
    return st;
}

/* PCA of the queries: Q_down = B W_q, its bias B b_q, and the left factor B^T. */
static mls_status reduce_queries(mls_latent_form *f, double **left,
                                 const mls_layer *layer, const double *w,
                                 const double *b, const mls_layer_stats *stats,
                                 mls_err *err)
{
    const size_t n = f->H * f->D, r = f->q_rank;
    double *second = mls_calloc3(n, n, 1, sizeof *second);
    double *basis = mls_calloc3(r, n, 1, sizeof *basis);
    double *down = mls_calloc3(r, f->E + 1, 1, sizeof *down);
    mls_status st = MLS_OK;

    if (!second || !basis || !down) {
        st = no_memory(layer, err);
        goto done;
    }
    double *down_b = down + r * f->E;

    if ((st = mls_second_of_outputs(second, stats, layer->wq, layer->bq, n, err)) ||
        (st = mls_factor_pca(basis, second, n, r, err)))
        goto done;
    mls_matmul(down, basis, false, w, false, r, f->E, n);
    if (b)
        mls_matmul(down_b, basis, false, b, false, r, 1, n);
    mls_affine_put_double(&f->q_down, 0, down, b ? down_b : NULL, r);
    *left = columns_of(basis, r, n, 0, n, 1.0);
    if (!*left)
        st = no_memory(layer, err);

done:
    mls_free_all(down, basis, second);
    return st;
}

static mls_status add_queries(mls_latent_form *f, const mls_rotated *y,
                              const mls_layer *layer, const mls_layer_stats *stats,
                              mls_err *err)
{
    const size_t n = f->H * f->D;
    double *w = mls_calloc3(n, f->E + 1, 1, sizeof *w), *left = NULL, *b = NULL;
    mls_status st = MLS_OK;

    if (!w)
        return no_memory(layer, err);
    mls_widen(w, layer->wq, n * f->E);
    if (layer->bq) {
        b = w + n * f->E;
        mls_widen(b, layer->bq, n);
    }
    if (f->q_rank)
        st = reduce_queries(f, &left, layer, w, b, stats, err);
    if (!st)
        st = mls_rotated_queries(f, y, left ? left : w, b, err);
    mls_free_all(left, w);
    return st;
}

mls_status mls_transmla_shape(mls_latent_form *f, const mls_config *c,
                              const mls_transmla *p, size_t l, mls_err *err)
{
    const size_t GD = c->G * c->D, n_rope = c->layer[l].no_rope ? 0 : p->rope_dim;
    const mls_shared_sizes sizes = {
        .n_rope = n_rope,
        .n_key = n_rope < GD ? c->D : 0,
        .rank = p->rank ? p->rank : 2 * GD - n_rope,
        .q_rank = p->q_rank,
        .down_biased = c->qkv_bias,
        .q_down_biased = c->qkv_bias,
        .uneven = p->keep > 1 && p->keep * p->collapse != p->freqfold,
    };

    return mls_shared_shape(f, c, l, &sizes, err);
}

mls_status mls_transmla_fill(mls_latent_form *f, const mls_config *c,
                             const mls_transmla *p, const mls_layer *layer,
                             const mls_layer_stats *stats,
                             const mls_layer_stats *reduced, mls_err *err)
{
    mls_rotated y = {0};
    mls_status st;

    if (!stats)
        return mls_fail(
            err, MLS_E_INPUT,
            "transmla: rotations and latents follow from the data; it needs "
            "--capture RUN.h5, written by mlascope capture");
    if ((st = mls_rotated_new(&y, c, layer, stats, p->freqfold, p->collapse, p->keep,
                              err)) ||
        (st = mls_latent_start(f, c, layer, err)))
        goto done;
    mls_rotated_rope_key(f, &y);
    st = add_latent(f, &y, p, layer, reduced, err);
    if (!st)
        st = add_queries(f, &y, layer, reduced, err);

done:
    mls_rotated_free(&y);
    return st;
}

mls_status mls_transmla_whole(mls_latent_form *out, const mls_config *c,
                              const mls_transmla *p, const mls_layer *layer,
                              const mls_layer_stats *stats, mls_err *err)
{
    mls_transmla whole = *p;
    mls_status st;

    whole.rank = whole.q_rank = 0;
    st = mls_transmla_shape(out, c, &whole, layer->index, err);
    if (!st)
        st = mls_transmla_fill(out, c, &whole, layer, stats, stats, err);
    return mls_latent_end(out, st, err);
}
