/*
 * kq with one rope key for all heads, as DeepSeek's MLA serves it: RoRoPE (TransMLA)
 * gathers what rotates, and the rest z of the rotated keys shares kq's latent with the
 * values. A head reads key_g = up_g z, so an error dz costs tr(sum_g up_g^T Q_g up_g
 * S_dz).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/numeric/linalg.h"
#include "bench/frame/shared_key.h"
#include "bench/methods/kq.h"
#include "common/base/checked.h"

static mls_status no_memory(const mls_layer *layer, mls_err *err)
{
    return mls_fail(err, MLS_E_NOMEM, "no memory for the latent form of layer %zu",
                    layer->index);
}

/* sum_g up_g^T Q_g up_g: what an error in z costs. */
static mls_status weigh_rest(mls_kq_stack *y, const mls_rotated *a,
                             const mls_sensitivity *weight, const mls_layer *layer,
                             mls_err *err)
{
    const size_t D = weight->D, n = a->n_rest;
    double *sum = mls_calloc3(n, n, 1, sizeof *sum);
    double *one = mls_calloc3(n, n, 1, sizeof *one);
    double *q_up = mls_calloc3(D, n, 1, sizeof *q_up);
    double *up = mls_calloc3(D, n, 1, sizeof *up);
    mls_status st = MLS_OK;

    if (!sum || !one || !q_up || !up)
        st = no_memory(layer, err);
    for (size_t g = 0; !st && g < weight->G; g++) {
        mls_rotated_read_back(up, a, g, D);
        mls_matmul(q_up, weight->key_plain + g * D * D, false, up, false, D, n, D);
        mls_matmul(one, up, true, q_up, false, n, n, D);
        for (size_t i = 0; i < n * n; i++)
            sum[i] += one[i];
    }
    for (size_t i = 0; !st && i < n; i++)
        for (size_t j = 0; j < i; j++)
            sum[i * n + j] = sum[j * n + i] = (sum[i * n + j] + sum[j * n + i]) / 2;
    if (!st)
        st = mls_kq_stack_weigh(y, 0, sum, n, err);
    free(sum);
    free(one);
    free(q_up);
    free(up);
    return st;
}

static mls_status stack(mls_kq_stack *y, const mls_rotated *a, const mls_kq_shared *p,
                        const mls_config *c, const mls_layer *layer,
                        const mls_sensitivity *weight, mls_err *err)
{
    const size_t G = c->G, D = c->D, E = c->E, n = a->n_rest;
    double *value = mls_calloc3(D, D, 1, sizeof *value);
    mls_status st =
        value ? weigh_rest(y, a, weight, layer, err) : no_memory(layer, err);

    if (!st) {
        mls_narrow(y->w, a->w + a->n_rope * E, n * E);
        mls_narrow(y->b, a->b + a->n_rope, n);
        memcpy(y->w + n * E, layer->wv, G * D * E * sizeof *y->w);
    }
    if (!st && layer->bv)
        memcpy(y->b + n, layer->bv, G * D * sizeof *y->b);
    for (size_t g = 0; !st && g < G; g++) {
        for (size_t i = 0; i < D * D; i++)
            value[i] = p->balance * weight->value[g * D * D + i];
        st = mls_kq_stack_weigh(y, n + g * D, value, D, err);
    }
    free(value);
    return st;
}

/* key_g = up_g (mean z + rows of the read-back). */
static mls_status read_key(mls_affine *key, const mls_kq_stack *y, const mls_rotated *a,
                           size_t g, const mls_layer *layer, mls_err *err)
{
    const size_t D = key->rows, n = a->n_rest;
    double *up = mls_calloc3(D, n + y->r, 1, sizeof *up), *read;

    if (!up)
        return no_memory(layer, err);
    read = up + D * n;
    mls_rotated_read_back(up, a, g, D);
    mls_matmul(read, up, false, y->up, false, D, y->r, n);
    mls_affine_put_double(key, 0, read, NULL, D);
    for (size_t i = 0; key->b && i < D; i++) {
        double sum = 0;

        for (size_t j = 0; j < n; j++)
            sum += up[i * n + j] * y->mean[j];
        key->b[i] = (float)sum;
    }
    free(up);
    return MLS_OK;
}

static mls_status add_queries(mls_latent_form *f, const mls_rotated *a,
                              const mls_layer *layer, mls_err *err)
{
    const size_t n = f->H * f->D;
    double *w = mls_calloc3(n, f->E + 1, 1, sizeof *w), *b = NULL;
    mls_status st;

    if (!w)
        return no_memory(layer, err);
    mls_widen(w, layer->wq, n * f->E);
    if (layer->bq) {
        b = w + n * f->E;
        mls_widen(b, layer->bq, n);
    }
    st = mls_rotated_queries(f, a, w, b, err);
    free(w);
    return st;
}

mls_status mls_kq_shared_shape(mls_latent_form *f, const mls_kq_shared *p,
                               const mls_config *c, size_t l, mls_err *err)
{
    const mls_shared_sizes sizes = {.n_rope = p->rope_dim,
                                    .n_key = c->D,
                                    .rank = p->rank,
                                    .down_biased = p->centred || c->qkv_bias,
                                    .read_biased = p->centred};
    const mls_status st = mls_shared_shape(f, c, l, &sizes, err);

    if (!st)
        f->latent[0].n_tail = 2 * c->G * c->D - p->rope_dim + 1;
    return st;
}

mls_status mls_kq_shared_fill(mls_latent_form *f, const mls_kq_shared *p,
                              const mls_config *c, const mls_layer *layer,
                              const mls_layer_stats *stats,
                              const mls_sensitivity *weight, mls_err *err)
{
    const size_t G = c->G, D = c->D;
    mls_rotated a = {0};
    mls_kq_stack y = {0};
    mls_status st =
        mls_rotated_new(&a, c, layer, stats, p->fold, D / p->rope_dim, 0, err);

    if (!st && p->rank > a.n_rest + G * D)
        st = mls_fail(err, MLS_E_INPUT,
                      "kq: rank=%zu is more than the %zu rows of keys and values; the "
                      "nearest possible is %zu",
                      p->rank, a.n_rest + G * D, a.n_rest + G * D);
    if (!st)
        st = mls_latent_start(f, c, layer, err);
    if (!st) {
        mls_rotated_rope_key(f, &a);
        st = mls_kq_stack_new(&y, a.n_rest + G * D, c->E, err);
        y.centred = p->centred;
    }
    if (!st)
        st = stack(&y, &a, p, c, layer, weight, err);
    if (!st)
        st = mls_kq_stack_reduce(&y, f, stats, err);
    for (size_t g = 0; !st && g < G; g++) {
        mls_kq_stack_read(&y, a.n_rest + g * D, &f->head[g].value);
        st = read_key(&f->head[g].key, &y, &a, g, layer, err);
    }
    if (!st)
        st = add_queries(f, &a, layer, err);
    mls_kq_stack_free(&y);
    mls_rotated_free(&a);
    return st;
}
