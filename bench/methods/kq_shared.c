/*
 * kq with rope keys that heads share, as DeepSeek's MLA serves one: RoRoPE (TransMLA)
 * gathers what rotates, and the rest z of the rotated keys shares kq's latent with the
 * values. A head reads key_g = up_g z, so an error dz costs tr(sum_g up_g^T Q_g up_g
 * S_dz).
 *
 * More than one rope key: KV heads in order, each key for as many, RoRoPE among these.
 * More than one latent: each with the rest and the values of the heads of one rope key,
 * so that the layer is as many MLA layers side by side, which tensor parallelism takes
 * apart (GLA, arXiv 2505.21487; MLRA, 2603.02188). Both are the same work on a part of
 * the heads, of the layer and of the form.
 *
 * turn=output: chunk c of KV head g is first times s_gc, its queries by 1 / s_gc, with
 * s_gc^2 the mean cost of an error in it (diagonal of Q_g). Scores stay what they were
 * and RoRoPE then gathers what outputs mind instead of the energy of keys.
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

/* KV heads of a layer with all that belongs to them; the numbers are borrowed. */
typedef struct {
    mls_config config;
    mls_layer layer;
    mls_sensitivity weight;
    mls_latent_form form;
} part;

static float *rows_from(float *w, size_t row, size_t cols)
{
    return w ? w + row * cols : NULL;
}

/* n heads of a part from `first` on, of which every latent and rope key has `each`. */
static part heads_of(const part *of, size_t first, size_t n, size_t latent_each,
                     size_t key_each)
{
    const size_t D = of->config.D, E = of->config.E, per = of->config.H / of->config.G;
    part y = *of;
    size_t rows = 0;

    y.config.G = y.weight.G = y.form.G = n;
    y.config.H = y.form.H = n * per;
    y.layer.wq = rows_from(of->layer.wq, first * per * D, E);
    y.layer.bq = rows_from(of->layer.bq, first * per * D, 1);
    y.layer.wk = rows_from(of->layer.wk, first * D, E);
    y.layer.bk = rows_from(of->layer.bk, first * D, 1);
    y.layer.wv = rows_from(of->layer.wv, first * D, E);
    y.layer.bv = rows_from(of->layer.bv, first * D, 1);
    y.weight.key = of->weight.key + first * D * D;
    y.weight.key_plain = of->weight.key_plain + first * D * D;
    y.weight.value = of->weight.value + first * D * D;
    for (size_t h = 0; h < first * per; h++)
        rows += mls_latent_query_dims(&of->form, h);
    y.form.query = mls_affine_rows(&of->form.query, rows, of->form.query.rows - rows);
    y.form.head += first;
    y.form.latent += first / latent_each;
    if (y.form.rope_key)
        y.form.rope_key += first / key_each;
    return y;
}

/* sum_g up_g^T Q_g up_g: what an error in z, from row `at` of the stack, costs. */
static mls_status weigh_rest(mls_kq_stack *y, size_t at, const mls_rotated *a,
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
        st = mls_kq_stack_weigh(y, at, sum, n, err);
    mls_free_all(sum, one, q_up, up);
    return st;
}

/* Rest of the keys of one rope key, in the stack from row `at` on. */
static mls_status stack_rest(mls_kq_stack *y, size_t at, const mls_rotated *a,
                             const part *x, mls_err *err)
{
    const size_t E = x->config.E;

    if (a->n_rest == 0) /* the rope key holds all */
        return MLS_OK;
    mls_narrow(y->w + at * E, a->w + a->n_rope * E, a->n_rest * E);
    mls_narrow(y->b + at, a->b + a->n_rope, a->n_rest);
    return weigh_rest(y, at, a, &x->weight, &x->layer, err);
}

static mls_status stack_values(mls_kq_stack *y, size_t at, double balance,
                               const part *x, mls_err *err)
{
    const size_t G = x->config.G, D = x->config.D, E = x->config.E;
    double *value = mls_calloc3(D, D, 1, sizeof *value);
    mls_status st = value ? MLS_OK : no_memory(&x->layer, err);

    memcpy(y->w + at * E, x->layer.wv, G * D * E * sizeof *y->w);
    if (x->layer.bv)
        memcpy(y->b + at, x->layer.bv, G * D * sizeof *y->b);
    for (size_t g = 0; !st && g < G; g++) {
        for (size_t i = 0; i < D * D; i++)
            value[i] = balance * x->weight.value[g * D * D + i];
        st = mls_kq_stack_weigh(y, at + g * D, value, D, err);
    }
    free(value);
    return st;
}

/* key_g = up_g (mean z + rows of the read-back), z from row `at` of the stack. */
static mls_status read_key(mls_affine *key, const mls_kq_stack *y, size_t at,
                           const mls_rotated *a, size_t g, const mls_layer *layer,
                           mls_err *err)
{
    const size_t D = key->rows, n = a->n_rest;
    double *up = mls_calloc3(D, n + y->r, 1, sizeof *up), *read;

    if (!up)
        return no_memory(layer, err);
    read = up + D * n;
    mls_rotated_read_back(up, a, g, D);
    mls_matmul(read, up, false, y->up + at * y->r, false, D, y->r, n);
    mls_affine_put_double(key, 0, read, NULL, D);
    for (size_t i = 0; key->b && i < D; i++) {
        double sum = 0;

        for (size_t j = 0; j < n; j++)
            sum += up[i * n + j] * y->mean[at + j];
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
                                    .keys = p->keys,
                                    .latents = p->latents,
                                    .n_key = c->D,
                                    .rank = p->rank / p->latents,
                                    .uneven = p->keep > 1 && p->keep != p->fold,
                                    .down_biased = p->centred || c->qkv_bias,
                                    .read_biased = p->centred};
    const mls_status st = mls_shared_shape(f, c, l, &sizes, err);

    for (size_t j = 0; !st && j < p->latents; j++)
        f->latent[j].n_tail =
            (2 * c->G * c->D - p->keys * p->rope_dim) / p->latents + 1;
    return st;
}

/* One latent of the part's heads, with n rope keys. */
static mls_status fill_latent(part *x, const mls_kq_shared *p, size_t n,
                              const mls_layer_stats *stats, mls_err *err)
{
    const size_t G = x->config.G, D = x->config.D, each = G / n;
    const size_t rest = each * D - p->rope_dim, values = n * rest;
    mls_rotated *a = mls_calloc3(n, 1, 1, sizeof *a);
    part *own = mls_calloc3(n, 1, 1, sizeof *own);
    mls_kq_stack y = {0};
    mls_status st = a && own ? MLS_OK : no_memory(&x->layer, err);

    if (!st)
        st = mls_kq_stack_new(&y, values + G * D, x->config.E, err);
    y.centred = p->centred;
    y.basis = p->basis;
    for (size_t b = 0; !st && b < n; b++) {
        own[b] = heads_of(x, b * each, each, G, each);
        st = mls_rotated_new(&a[b], &own[b].config, &own[b].layer, stats, p->fold,
                             p->collapse, p->keep, err);
        if (!st)
            mls_rotated_rope_key(&own[b].form, &a[b]);
        if (!st)
            st = add_queries(&own[b].form, &a[b], &own[b].layer, err);
        if (!st)
            st = stack_rest(&y, b * rest, &a[b], &own[b], err);
    }
    if (!st)
        st = stack_values(&y, values, p->balance, x, err);
    if (!st)
        st = mls_kq_stack_reduce(&y, &x->form, stats, err);
    for (size_t g = 0; !st && g < G; g++) {
        const size_t b = g / each;

        mls_kq_stack_read(&y, values + g * D, &x->form.head[g].value);
        st = read_key(&x->form.head[g].key, &y, b * rest, &a[b], g % each, &x->layer,
                      err);
    }
    for (size_t b = 0; a && b < n; b++)
        mls_rotated_free(&a[b]);
    mls_kq_stack_free(&y);
    mls_free_all(own, a);
    return st;
}

/* sqrt of what an error in a chunk of KV head g costs, both its dims alike. */
static double cost_of(const mls_sensitivity *w, size_t g, size_t c)
{
    const size_t D = w->D, C = D / 2;
    const double *Q = w->key_plain + g * D * D;
    double mean = 0;

    for (size_t i = 0; i < D; i++)
        mean += Q[i * D + i] / (double)D;
    if (!(mean > 0))
        return 1;
    return sqrt((Q[c * D + c] + Q[(c + C) * D + c + C]) / 2 + 1e-4 * mean);
}

static void scale_row(float *w, size_t row, size_t cols, double by)
{
    for (size_t i = 0; w && i < cols; i++)
        w[row * cols + i] = (float)(by * (double)w[row * cols + i]);
}

/* Numbers of a part with every chunk's keys and queries in units of its cost. */
typedef struct {
    float *weights;
    double *costs;
} weighed;

static mls_status weigh_chunks(part *x, weighed *out, mls_err *err)
{
    const size_t G = x->config.G, H = x->config.H, D = x->config.D, E = x->config.E;
    const size_t C = D / 2, q = H * D, k = G * D;
    float *w = mls_calloc3(q + k, E + 1, 1, sizeof *w);
    double *cost = mls_calloc3(G * D, D + 1, 1, sizeof *cost);

    *out = (weighed){w, cost};
    if (!w || !cost)
        return no_memory(&x->layer, err);
    double *plain = cost + G * D;

    memcpy(w, x->layer.wq, q * E * sizeof *w);
    memcpy(w + q * E, x->layer.wk, k * E * sizeof *w);
    if (x->layer.bq)
        memcpy(w + (q + k) * E, x->layer.bq, q * sizeof *w);
    if (x->layer.bk)
        memcpy(w + (q + k) * E + q, x->layer.bk, k * sizeof *w);
    x->layer.wq = w;
    x->layer.wk = w + q * E;
    x->layer.bq = x->layer.bq ? w + (q + k) * E : NULL;
    x->layer.bk = x->layer.bk ? w + (q + k) * E + q : NULL;
    for (size_t i = 0; i < G * D; i++)
        cost[i] = cost_of(&x->weight, i / D, i % D % C);
    for (size_t i = 0; i < k; i++) {
        scale_row(x->layer.wk, i, E, cost[i]);
        scale_row(x->layer.bk, i, 1, cost[i]);
        for (size_t j = 0; j < D; j++)
            plain[i * D + j] =
                x->weight.key_plain[i * D + j] / cost[i] / cost[i / D * D + j];
    }
    for (size_t i = 0; i < q; i++) {
        const double by = 1 / cost[i / D / (H / G) * D + i % D];

        scale_row(x->layer.wq, i, E, by);
        scale_row(x->layer.bq, i, 1, by);
    }
    x->weight.key_plain = plain;
    return MLS_OK;
}

mls_status mls_kq_shared_fill(mls_latent_form *f, const mls_kq_shared *p,
                              const mls_config *c, const mls_layer *layer,
                              const mls_layer_stats *stats,
                              const mls_sensitivity *weight, mls_err *err)
{
    const size_t each = c->G / p->latents;
    part *x = mls_calloc3(2, 1, 1, sizeof *x);
    weighed numbers = {0};
    mls_status st = x ? mls_latent_start(f, c, layer, err) : no_memory(layer, err);

    if (!st) {
        x[0] = (part){.config = *c, .layer = *layer, .weight = *weight, .form = *f};
        st = p->by_output ? weigh_chunks(&x[0], &numbers, err) : MLS_OK;
    }
    for (size_t j = 0; !st && j < p->latents; j++) {
        x[1] = heads_of(&x[0], j * each, each, each, c->G / p->keys);
        st = fill_latent(&x[1], p, p->keys / p->latents, stats, err);
    }
    mls_free_all(numbers.weights, numbers.costs, x);
    return st;
}
