/*
 * The model's own attention: GQA with RoPE, as its class in transformers computes it.
 */
#include "analysis/model/forward.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/model/rope.h"
#include "analysis/numeric/kernels.h"
#include "common/base/checked.h"

/* A worker's scratch: all parts of one sequence, one after the other. */
typedef struct {
    float *q, *q_rot; /* (T, H D) */
    float *k, *k_rot; /* (T, G D) */
    float *v;         /* (T, G D) */
    float *read;      /* (T, H D): what the heads read */
    float *scores;    /* (MLS_ATTEND_ROWS, T) */
} parts;

static parts parts_of(float *scratch, size_t T, size_t HD, size_t GD)
{
    parts p;

    p.q = scratch;
    p.q_rot = p.q + T * HD;
    p.k = p.q_rot + T * HD;
    p.k_rot = p.k + T * GD;
    p.v = p.k_rot + T * GD;
    p.read = p.v + T * GD;
    p.scores = p.read + T * HD;
    return p;
}

mls_status mls_plain_new(mls_plain *p, const mls_config *config, size_t T_max,
                         size_t n_workers, mls_err *err)
{
    const size_t D = config->D, C = D / 2;
    const size_t per_token = 3 * (config->H + config->G) * D + MLS_ATTEND_ROWS;
    double *inv_freq = mls_calloc3(C, 1, 1, sizeof *inv_freq);

    *p = (mls_plain){.config = config, .T_max = T_max, .n_workers = n_workers};
    p->cs = mls_calloc3(T_max, C, 2, sizeof *p->cs);
    p->scratch = mls_calloc3(n_workers, 1, 1, sizeof *p->scratch);
    if (!inv_freq || !p->cs || !p->scratch)
        goto no_memory;
    for (size_t i = 0; i < n_workers; i++) {
        p->scratch[i] = mls_calloc3(T_max, per_token, 1, sizeof(float));
        if (!p->scratch[i])
            goto no_memory;
    }
    mls_rope_frequencies(inv_freq, &config->rope, D);
    mls_rope_table(p->cs, inv_freq, C, T_max);
    free(inv_freq);
    return MLS_OK;

no_memory:
    free(inv_freq);
    mls_plain_free(p);
    return mls_fail(err, MLS_E_NOMEM,
                    "no memory for attention over %zu tokens on %zu threads", T_max,
                    n_workers);
}

void mls_plain_free(mls_plain *p)
{
    if (p->scratch)
        for (size_t i = 0; i < p->n_workers; i++)
            free(p->scratch[i]);
    free(p->scratch);
    free(p->cs);
    *p = (mls_plain){0};
}

/* x_rot = rotate(x), n heads side by side; a copy where the layer does not rotate. */
static void rotate_heads(const mls_plain *p, float *x_rot, const float *x, size_t n,
                         size_t T)
{
    const size_t D = p->config->D;

    memcpy(x_rot, x, T * n * D * sizeof *x);
    if (p->config->layer[p->layer->index].no_rope)
        return;
    for (size_t i = 0; i < n; i++)
        mls_rope_apply(x_rot + i * D, n * D, p->cs, D / 2, T, 1);
}

static void norm_heads(const mls_plain *p, float *x, const float *gain, size_t n,
                       size_t T)
{
    const size_t D = p->config->D;

    if (!gain)
        return;
    for (size_t i = 0; i < n; i++)
        mls_rmsnorm_rows(x + i * D, n * D, gain, p->config->rms_eps, T, D);
}

mls_status mls_plain_attention(void *arg, size_t sequence, size_t worker,
                               const float *x, size_t T, float *out, mls_err *err)
{
    const mls_plain *p = arg;
    const mls_config *c = p->config;
    const mls_layer *w = p->layer;
    const size_t E = c->E, H = c->H, G = c->G, D = c->D;
    const size_t window = c->layer[w->index].window;

    if (T > p->T_max || worker >= p->n_workers)
        return mls_fail(err, MLS_E_ARG,
                        "attention made for %zu tokens and %zu threads was given "
                        "sequence %zu of %zu tokens on thread %zu",
                        p->T_max, p->n_workers, sequence, T, worker);
    const parts a = parts_of(p->scratch[worker], T, H * D, G * D);

    mls_packed_linear(w->packed, a.q, H * D, x, w->wq, w->bq, T, H * D, E);
    mls_packed_linear(w->packed, a.k, G * D, x, w->wk, w->bk, T, G * D, E);
    mls_packed_linear(w->packed, a.v, G * D, x, w->wv, w->bv, T, G * D, E);
    norm_heads(p, a.q, w->q_norm, H, T);
    norm_heads(p, a.k, w->k_norm, G, T);
    rotate_heads(p, a.q_rot, a.q, H, T);
    rotate_heads(p, a.k_rot, a.k, G, T);
    if (p->see) {
        const mls_attention_view view = {.layer = w->index,
                                         .sequence = sequence,
                                         .worker = worker,
                                         .T = T,
                                         .x = x,
                                         .q = a.q,
                                         .k = a.k,
                                         .v = a.v,
                                         .q_rot = a.q_rot,
                                         .k_rot = a.k_rot};

        p->see(p->see_arg, &view);
    }
    for (size_t h = 0; h < H; h++) {
        const size_t g = h / (H / G); /* the KV head of query head h */

        mls_attend(a.read + h * D, H * D, a.q_rot + h * D, H * D, a.k_rot + g * D,
                   G * D, a.v + g * D, G * D, T, D, D, 1.0 / sqrt((double)D), window,
                   a.scores);
    }
    mls_packed_linear(w->packed, out, E, a.read, w->wo, w->bo, T, E, H * D);
    return MLS_OK;
}
