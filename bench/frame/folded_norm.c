/*
 * QK-norm (Qwen3) normalizes a head's whole key before RoPE: k = g * u / rms(u) of u
 * = W_k x. A form that caches parts of u, some rotated and some not, cannot norm what
 * it reads, as rms(u) takes all of u. But rms(u) is one number for a token and head,
 * and it multiplies the whole key, rotated or not:
 *
 *   score = q k = (1/rms(u)) q R(g * u),    q likewise from its own 1/rms
 *
 * So the gains go into the weights, diag(g) W, the method converts that as if there
 * were no norm, and 1/rms(u) is cached beside it: G numbers a token and layer, exact,
 * as a factor on every score with that key. A shared latent or rope key may serve all
 * heads, because the factor is applied after it is read. The price: these bytes, and
 * W_q and W_k themselves stay to make the two rms. The idea is Mercurius'
 * (alexhergomz/Mercurius).
 */
#include "bench/frame/folded_norm.h"

#include <stdlib.h>

#include "common/base/checked.h"

mls_config mls_folded_config(const mls_config *config)
{
    mls_config c = *config;

    c.qk_norm = false;
    c.net.qk = MLS_QK_NONE;
    c.qk_folded = true;
    return c;
}

/* Rows of n heads of D, each times its gain. */
static void put_rows(float *w, float *b, const float *from, const float *bias,
                     const float *gain, size_t n, size_t D, size_t E)
{
    for (size_t i = 0; i < n * D; i++) {
        for (size_t e = 0; e < E; e++)
            w[i * E + e] = gain[i % D] * from[i * E + e];
        if (bias)
            b[i] = gain[i % D] * bias[i];
    }
}

mls_status mls_folded_layer_new(mls_folded_layer *out, const mls_config *c,
                                const mls_layer *layer, mls_err *err)
{
    const size_t q = c->H * c->D, k = c->G * c->D, E = c->E;
    float *w = mls_calloc3(q + k, E + 1, 1, sizeof *w);

    *out = (mls_folded_layer){.layer = *layer, .numbers = w};
    if (!w)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the weights of layer %zu",
                        layer->index);
    out->layer.wq = w;
    out->layer.wk = w + q * E;
    out->layer.bq = layer->bq ? w + (q + k) * E : NULL;
    out->layer.bk = layer->bk ? w + (q + k) * E + q : NULL;
    put_rows(out->layer.wq, out->layer.bq, layer->wq, layer->bq, layer->q_norm, c->H,
             c->D, E);
    put_rows(out->layer.wk, out->layer.bk, layer->wk, layer->bk, layer->k_norm, c->G,
             c->D, E);
    out->layer.q_norm = out->layer.k_norm = NULL;
    out->layer.own = layer;
    return MLS_OK;
}

void mls_folded_layer_free(mls_folded_layer *f)
{
    free(f->numbers);
    *f = (mls_folded_layer){0};
}

mls_status mls_predict_form(const mls_latent_form *f, const mls_config *config,
                            const mls_layer *layer, const mls_layer_stats *stats,
                            mls_own_moments *own, size_t T, mls_pool *pool,
                            mls_predicted *out, mls_err *err)
{
    const mls_config without = mls_folded_config(config);
    mls_own_moments weighed = {0};
    mls_folded_layer folded;
    mls_status st;

    if (!f->k_own.cols)
        return mls_predict(f, config, layer, stats, own, T, pool, NULL, out, err);
    st = mls_folded_layer_new(&folded, config, layer, err);
    if (!st)
        st = mls_predict(f, &without, &folded.layer, stats, &weighed, T, pool, NULL,
                         out, err);
    mls_own_moments_free(&weighed);
    mls_folded_layer_free(&folded);
    return st;
}

bool mls_reads_parts(const mls_latent_form *f)
{
    if (f->own)
        return false;
    for (size_t g = 0; g < f->G; g++)
        if (f->head[g].rope_key >= 0 || f->head[g].rotation == MLS_ROTATE_NEVER)
            return true;
    return false;
}
