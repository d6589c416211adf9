/*
 * kq with one rope key for all heads, as DeepSeek's MLA serves it: RoRoPE (TransMLA)
 * gathers what rotates, and the rest z of the rotated keys shares kq's latent with the
 * values. A head reads key_g = up_g z, so an error dz costs tr(sum_g up_g^T Q_g up_g
 * S_dz).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/model/rope.h"
#include "analysis/numeric/linalg.h"
#include "analysis/spectrum/rorope.h"
#include "bench/methods/kq.h"
#include "common/base/checked.h"

typedef struct {
    mls_rorope turn;
    size_t n_rope, n_rest; /* rows of the rope key, rows that lose RoPE */
    double *w, *b;         /* (G D, E), (G D) keys in the rotated basis */
    double **up;           /* per KV head (D, n_rest) */
} basis;

static mls_status no_memory(const mls_layer *layer, mls_err *err)
{
    return mls_fail(err, MLS_E_NOMEM, "no memory for the latent form of layer %zu",
                    layer->index);
}

static void basis_free(basis *a, size_t G)
{
    for (size_t g = 0; a->up && g < G; g++)
        free(a->up[g]);
    free(a->up);
    free(a->w);
    free(a->b);
    mls_rorope_free(&a->turn);
}

static mls_status basis_new(basis *a, const mls_kq_shared *p, const mls_config *c,
                            const mls_layer *layer, const mls_layer_stats *stats,
                            mls_err *err)
{
    const size_t G = c->G, D = c->D, E = c->E;
    double *second = mls_calloc3(G * D, G * D, 1, sizeof *second);
    double *plain = mls_calloc3(G * D, E + 1, 1, sizeof *plain);
    mls_status st = MLS_OK;

    a->w = mls_calloc3(G * D, E, 1, sizeof *a->w);
    a->b = mls_calloc3(G * D, 1, 1, sizeof *a->b);
    a->up = mls_calloc3(G, 1, 1, sizeof *a->up);
    if (!second || !plain || !a->w || !a->b || !a->up)
        st = no_memory(layer, err);
    if (!st)
        st = mls_project_second(second, stats, layer->wk, layer->bk, G * D, err);
    if (!st)
        st = mls_rorope_new(&a->turn, second, G, D, p->fold, D / p->rope_dim, 0, err);
    if (st)
        goto done;
    a->n_rope = 2 * mls_rorope_chunks(&a->turn);
    a->n_rest = G * D - a->n_rope;
    for (size_t i = 0; i < G * D * E; i++)
        plain[i] = (double)layer->wk[i];
    mls_rorope_keys(&a->turn, plain, E, a->w);
    for (size_t i = 0; layer->bk && i < G * D; i++)
        plain[i] = (double)layer->bk[i];
    if (layer->bk)
        mls_rorope_keys(&a->turn, plain, 1, a->b);
    for (size_t g = 0; !st && g < G; g++) {
        a->up[g] = mls_calloc3(D, a->n_rest, 1, sizeof **a->up);
        if (!a->up[g])
            st = no_memory(layer, err);
        else
            mls_rorope_read_back(&a->turn, g, a->up[g]);
    }

done:
    free(second);
    free(plain);
    return st;
}

static mls_status add_rope_key(mls_latent_form *f, const basis *a, const mls_config *c,
                               const mls_layer *layer, mls_err *err)
{
    mls_rope_key *key = &f->rope_key[0];
    double *inv_freq = mls_calloc3(c->D / 2, 1, 1, sizeof *inv_freq);

    key->n = a->n_rope;
    key->map.w = mls_calloc3(a->n_rope, c->E, 1, sizeof *key->map.w);
    key->inv_freq = mls_calloc3(a->n_rope / 2, 1, 1, sizeof *key->inv_freq);
    if (layer->bk)
        key->map.b = mls_calloc3(a->n_rope, 1, 1, sizeof *key->map.b);
    if (!inv_freq || !key->map.w || !key->inv_freq || (layer->bk && !key->map.b)) {
        free(inv_freq);
        return no_memory(layer, err);
    }
    for (size_t i = 0; i < a->n_rope * c->E; i++)
        key->map.w[i] = (float)a->w[i];
    for (size_t i = 0; layer->bk && i < a->n_rope; i++)
        key->map.b[i] = (float)a->b[i];
    mls_rope_frequencies(inv_freq, &c->rope, c->D);
    mls_rorope_frequencies(&a->turn, inv_freq, key->inv_freq);
    free(inv_freq);
    return MLS_OK;
}

/* Per head the D original rows, then its rows that meet the rope key. */
static mls_status add_queries(mls_latent_form *f, const basis *a, const mls_config *c,
                              const mls_layer *layer, mls_err *err)
{
    const size_t D = c->D, E = c->E, rows = D + a->n_rope;
    double *q = mls_calloc3(D, E, 1, sizeof *q);
    double *met = mls_calloc3(a->n_rope, E, 1, sizeof *met);

    f->query.w = mls_calloc3(c->H * rows, E, 1, sizeof *f->query.w);
    if (layer->bq)
        f->query.b = mls_calloc3(c->H * rows, 1, 1, sizeof *f->query.b);
    if (!q || !met || !f->query.w || (layer->bq && !f->query.b)) {
        free(q);
        free(met);
        return no_memory(layer, err);
    }
    for (size_t h = 0; h < c->H; h++) {
        const size_t g = h / (c->H / c->G);
        float *to = f->query.w + h * rows * E;

        memcpy(to, layer->wq + h * D * E, D * E * sizeof *to);
        for (size_t i = 0; i < D * E; i++)
            q[i] = (double)layer->wq[h * D * E + i];
        mls_rorope_queries(&a->turn, g, q, E, met);
        for (size_t i = 0; i < a->n_rope * E; i++)
            to[D * E + i] = (float)met[i];
        if (!layer->bq)
            continue;
        memcpy(f->query.b + h * rows, layer->bq + h * D, D * sizeof *f->query.b);
        for (size_t i = 0; i < D; i++)
            q[i] = (double)layer->bq[h * D + i];
        mls_rorope_queries(&a->turn, g, q, 1, met);
        for (size_t i = 0; i < a->n_rope; i++)
            f->query.b[h * rows + D + i] = (float)met[i];
    }
    free(q);
    free(met);
    return MLS_OK;
}

/* sum_g up_g^T Q_g up_g: what an error in z costs. */
static mls_status weigh_rest(mls_kq_stack *y, const basis *a,
                             const mls_sensitivity *weight, const mls_layer *layer,
                             mls_err *err)
{
    const size_t D = weight->D, n = a->n_rest;
    double *sum = mls_calloc3(n, n, 1, sizeof *sum);
    double *one = mls_calloc3(n, n, 1, sizeof *one);
    double *q_up = mls_calloc3(D, n, 1, sizeof *q_up);
    mls_status st = MLS_OK;

    if (!sum || !one || !q_up)
        st = no_memory(layer, err);
    for (size_t g = 0; !st && g < weight->G; g++) {
        mls_matmul(q_up, weight->key_plain + g * D * D, false, a->up[g], false, D, n,
                   D);
        mls_matmul(one, a->up[g], true, q_up, false, n, n, D);
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
    return st;
}

static mls_status stack(mls_kq_stack *y, const basis *a, const mls_kq_shared *p,
                        const mls_config *c, const mls_layer *layer,
                        const mls_sensitivity *weight, mls_err *err)
{
    const size_t G = c->G, D = c->D, E = c->E, n = a->n_rest;
    double *value = mls_calloc3(D, D, 1, sizeof *value);
    mls_status st =
        value ? weigh_rest(y, a, weight, layer, err) : no_memory(layer, err);

    for (size_t i = 0; !st && i < n; i++) {
        for (size_t e = 0; e < E; e++)
            y->w[i * E + e] = (float)a->w[(a->n_rope + i) * E + e];
        y->b[i] = (float)a->b[a->n_rope + i];
    }
    if (!st)
        memcpy(y->w + n * E, layer->wv, G * D * E * sizeof *y->w);
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
static mls_status read_key(mls_read_head *h, const mls_kq_stack *y, const double *up,
                           size_t D, size_t n, const mls_layer *layer, mls_err *err)
{
    double *key = mls_calloc3(D, y->r, 1, sizeof *key);

    h->key.w = mls_calloc3(D, y->r, 1, sizeof *h->key.w);
    h->key.b = mls_calloc3(D, 1, 1, sizeof *h->key.b);
    if (!key || !h->key.w || !h->key.b) {
        free(key);
        return no_memory(layer, err);
    }
    mls_matmul(key, up, false, y->up, false, D, y->r, n);
    for (size_t i = 0; i < D * y->r; i++)
        h->key.w[i] = (float)key[i];
    for (size_t i = 0; i < D; i++) {
        double sum = 0;

        for (size_t j = 0; j < n; j++)
            sum += up[i * n + j] * y->mean[j];
        h->key.b[i] = (float)sum;
    }
    free(key);
    return MLS_OK;
}

mls_status mls_kq_shared_form(mls_latent_form *out, const mls_kq_shared *p,
                              const mls_config *c, const mls_layer *layer,
                              const mls_layer_stats *stats,
                              const mls_sensitivity *weight, mls_err *err)
{
    const size_t G = c->G, D = c->D;
    basis a = {0};
    mls_kq_stack y = {0};
    mls_status st = basis_new(&a, p, c, layer, stats, err);

    if (!st)
        st = mls_latent_begin(out, c, layer, 1, 1, err);
    if (!st)
        st = add_rope_key(out, &a, c, layer, err);
    if (!st)
        st = mls_kq_stack_new(&y, a.n_rest + G * D, c->E, err);
    if (!st)
        st = stack(&y, &a, p, c, layer, weight, err);
    if (!st && p->rank > y.m)
        st = mls_fail(err, MLS_E_INPUT,
                      "kq: rank=%zu is more than the %zu rows of keys and values; the "
                      "nearest possible is %zu",
                      p->rank, y.m, y.m);
    if (!st)
        st = mls_kq_stack_reduce(&y, out, p->rank, stats, err);
    for (size_t g = 0; !st && g < G; g++) {
        mls_read_head *h = &out->head[g];

        h->key_latent = h->value_latent = h->rope_key = 0;
        h->n_key = h->n_value = D;
        st = read_key(h, &y, a.up[g], D, a.n_rest, layer, err);
        if (!st)
            st = mls_kq_stack_read(&y, a.n_rest + g * D, D, &h->value.w, &h->value.b,
                                   err);
    }
    if (!st)
        st = add_queries(out, &a, c, layer, err);
    mls_kq_stack_free(&y);
    basis_free(&a, G);
    return st;
}
