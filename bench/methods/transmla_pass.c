/*
 * TransMLA's second pass over the calibration text: its joint PCA is made on the model
 * whose rotations are already reduced in every layer (RoRoPE, FreqFold, collapse), so
 * that it sees the inputs that this leaves to later layers.
 */
#include <stdlib.h>
#include <string.h>

#include "analysis/capture/moments.h"
#include "analysis/model/block.h"
#include "analysis/model/forward.h"
#include "bench/frame/folded_norm.h"
#include "bench/methods/transmla.h"
#include "common/base/checked.h"

enum { ROWS = 64 };

void mls_transmla_pass_free(mls_layer_stats *s, size_t L)
{
    for (size_t l = 0; s && l < L; l++)
        mls_free_all(s[l].x_second, s[l].x_mean);
    free(s);
}

/* The input of attention, norm(h), of all rows: second moment and mean. */
static mls_status measure(mls_layer_stats *s, const mls_states *h, const mls_config *c,
                          const mls_layer *layer, mls_pool *pool, mls_err *err)
{
    const size_t n = h->start[h->N], E = c->E;
    float *x = mls_calloc3(ROWS, E, 1, sizeof *x);

    *s = (mls_layer_stats){.E = E,
                           .H = c->H,
                           .G = c->G,
                           .D = c->D,
                           .C = c->D / 2,
                           .n_tokens = (double)n,
                           .x_second = mls_calloc3(E, E, 1, sizeof *s->x_second),
                           .x_mean = mls_calloc3(E, 1, 1, sizeof *s->x_mean)};
    if (!s->x_second || !s->x_mean || !x) {
        free(x);
        return mls_fail(
            err, MLS_E_NOMEM,
            "transmla: pass=2 keeps %.1f MB of moments per layer: no memory "
            "for layer %zu",
            1e-6 * (double)E * (double)E * sizeof(double), layer->index);
    }
    for (size_t t = 0; t < n; t += ROWS) {
        const size_t rows = n - t < ROWS ? n - t : ROWS;

        mls_block_norm(c, x, h->h + t * E, layer->attn_norm, layer->attn_norm_bias,
                       rows);
        for (size_t i = 0; i < rows * E; i++)
            s->x_mean[i % E] += (double)x[i] / (double)n;
    }
    free(x);
    return mls_moments_x(s->x_second, &h->room, h->h, n, c, layer, pool, err);
}

/* Rotations reduced and nothing else; gains of QK-norm go into the weights. */
static mls_status whole(mls_latent_form *form, const mls_config *c,
                        const mls_transmla *p, const mls_layer *layer,
                        const mls_layer_stats *stats, mls_err *err)
{
    const mls_config without = mls_folded_config(c);
    mls_folded_layer folded;
    mls_status st;

    if (!c->qk_norm)
        return mls_transmla_whole(form, c, p, layer, stats, err);
    st = mls_folded_layer_new(&folded, c, layer, err);
    if (!st)
        st = mls_transmla_whole(form, &without, p, &folded.layer, stats, err);
    mls_folded_layer_free(&folded);
    return st;
}

/* One layer as it is, or with its rotations reduced. */
static mls_status run_layer(mls_states *h, mls_latent_runner *runner,
                            const mls_method_input *in, const mls_transmla *p,
                            const mls_layer *layer, mls_own_attention *own,
                            bool converted, mls_err *err)
{
    mls_layer_stats stats = {0};
    mls_latent_form form = {0};
    mls_status st;

    if (!converted) {
        own->layer = layer;
        return mls_layer_forward(in->config, layer, h, mls_own_attention_run, own,
                                 in->pool, err);
    }
    st = mls_capture_stats(in->capture, layer->index, &stats, err);
    if (!st)
        st = whole(&form, in->config, p, layer, &stats, err);
    if (!st)
        st = mls_latent_runner_set(runner, &form, NULL, err);
    if (!st)
        st = mls_layer_forward(in->config, layer, h, mls_latent_attention, runner,
                               in->pool, err);
    mls_latent_free(&form);
    mls_layer_stats_free(&stats);
    return st;
}

mls_status mls_transmla_pass(mls_layer_stats **out, const mls_method_input *in,
                             const mls_transmla *p, const bool *converted, mls_err *err)
{
    const mls_config *c = in->config;
    const size_t N = mls_capture_sequences(in->capture);
    const size_t *start = mls_capture_start(in->capture);
    mls_layer_stats *s = mls_calloc3(c->L, 1, 1, sizeof *s);
    mls_latent_runner *runner = NULL;
    mls_own_attention own = {0};
    mls_states h = {0};
    int32_t *ids = mls_calloc3(start[N], 1, 1, sizeof *ids);
    size_t *starts = mls_calloc3(N + 1, 1, 1, sizeof *starts);
    mls_status st = MLS_OK;

    *out = NULL;
    if (!s || !ids || !starts)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a second pass over the text");
    if (!st) {
        memcpy(ids, mls_capture_ids(in->capture), start[N] * sizeof *ids);
        memcpy(starts, start, (N + 1) * sizeof *starts);
        const mls_corpus text = {
            .N = N, .n_ids = start[N], .ids = ids, .start = starts};

        st = mls_states_embed(&h, in->model, &text, err);
    }
    if (!st)
        st = mls_latent_runner_new(&runner, mls_capture_length(in->capture),
                                   mls_pool_threads(in->pool), false, err);
    if (!st)
        st = mls_own_attention_new(&own, c, mls_capture_length(in->capture),
                                   mls_pool_threads(in->pool), err);
    for (size_t l = 0; !st && l < c->L; l++) {
        mls_layer layer = {0};

        st = mls_model_layer(in->model, l, &layer, err);
        if (!st)
            st = measure(&s[l], &h, c, &layer, in->pool, err);
        if (!st && l + 1 < c->L)
            st = run_layer(&h, runner, in, p, &layer, &own, converted[l], err);
        mls_layer_free(&layer);
    }
    mls_latent_runner_free(runner);
    mls_own_attention_free(&own);
    mls_states_free(&h);
    mls_free_all(starts, ids);
    if (st)
        mls_transmla_pass_free(s, c->L);
    else
        *out = s;
    return st;
}
