/*
 * Sequential calibration: the text of the capture passes through the layers that are
 * converted so far, and the next layer's form is made of the moments of what it will
 * really read, not of what the original's layers made of the text (SliceGPT and GPTQ
 * calibrate so; for low-rank caches X-EcoMLA and Palu do not). What looks at more than
 * moments, windows and model-wide decisions, stays the original's.
 */
#include <stdlib.h>

#include "analysis/capture/moments.h"
#include "bench/evaluate/evaluate_inner.h"
#include "common/base/checked.h"

enum { JOBS = 8 /* of sums; the result depends on it, not on the threads */ };

void mls_sequential_free(mls_sequential *q)
{
    mls_states_free(&q->states);
    mls_latent_runner_free(q->runner);
    mls_own_attention_free(&q->own);
    *q = (mls_sequential){0};
}

mls_status mls_sequential_new(mls_sequential *q, const mls_pass *p, mls_err *err)
{
    const size_t workers = mls_pool_threads(p->in->pool);
    mls_status st =
        mls_states_embed(&q->states, p->in->model, p->options->calibration, err);

    if (!st)
        st = mls_own_attention_new(&q->own, p->config, q->states.T_max, workers, err);
    if (!st)
        st = mls_latent_runner_new(&q->runner, q->states.T_max, workers, false, err);
    if (!st)
        mls_latent_runner_compute(q->runner, mls_model_compute(p->in->model));
    return st;
}

/* Sums of the plain projections of what a layer reads. */
typedef struct {
    mls_layer_stats sum[JOBS];
    size_t per_job, HC, GC;
    double *q_norms, *k_norms; /* (N, HC), (N, GC) */
    float **scratch;           /* per worker */
} sums;

static void see(void *arg, const mls_attention_view *v)
{
    sums *s = arg;

    mls_moments_add(&s->sum[v->sequence / s->per_job], v,
                    s->q_norms + v->sequence * s->HC, s->k_norms + v->sequence * s->GC,
                    s->scratch[v->worker]);
}

static mls_status sums_new(sums *s, const mls_pass *p, const mls_states *states,
                           mls_err *err)
{
    const mls_config *c = p->config;
    const size_t workers = mls_pool_threads(p->in->pool), N = states->N;
    mls_status st = MLS_OK;

    *s = (sums){.per_job = (N + JOBS - 1) / JOBS,
                .HC = c->H * (c->D / 2),
                .GC = c->G * (c->D / 2)};
    s->q_norms = mls_calloc3(N, s->HC, 1, sizeof *s->q_norms);
    s->k_norms = mls_calloc3(N, s->GC, 1, sizeof *s->k_norms);
    s->scratch = mls_calloc3(workers, 1, 1, sizeof *s->scratch);
    if (!s->q_norms || !s->k_norms || !s->scratch)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the sums of a layer");
    for (size_t i = 0; !st && i < workers; i++) {
        s->scratch[i] =
            mls_calloc3(mls_moments_scratch(c->D), 1, 1, sizeof **s->scratch);
        if (!s->scratch[i])
            st = mls_fail(err, MLS_E_NOMEM, "no memory for the sums of a layer");
    }
    for (size_t i = 0; !st && i < JOBS; i++)
        st = mls_layer_stats_new_small(&s->sum[i], c, err);
    return st;
}

static void sums_free(sums *s, size_t workers)
{
    for (size_t i = 0; s->scratch && i < workers; i++)
        free(s->scratch[i]);
    for (size_t i = 0; i < JOBS; i++)
        mls_layer_stats_free(&s->sum[i]);
    mls_free_all(s->scratch, s->q_norms, s->k_norms);
}

mls_status mls_sequential_stats(mls_layer_stats *out, mls_sequential *q,
                                const mls_pass *p, const mls_layer *layer, mls_err *err)
{
    const size_t workers = mls_pool_threads(p->in->pool), N = q->states.N;
    const size_t n = q->states.start[N];
    mls_states copy = {0};
    double *v[JOBS];
    sums s;
    mls_status st = sums_new(&s, p, &q->states, err);

    if (!st)
        st = mls_states_copy(&copy, &q->states, err);
    if (!st)
        st = mls_layer_stats_new(out, p->config, err);
    if (!st)
        st = mls_moments_x(out->x_second, &q->states.room, q->states.h, n, p->config,
                           layer, p->in->pool, err);
    if (!st) {
        copy.per_job = s.per_job;
        q->own.layer = layer;
        q->own.see = see;
        q->own.see_arg = &s;
        st = mls_layer_forward(p->config, layer, &copy, mls_own_attention_run, &q->own,
                               p->in->pool, err);
        q->own.see = NULL;
    }
    if (!st) {
        const size_t n_small = s.sum[0].n_block;

        for (size_t i = 0; i < JOBS; i++)
            v[i] = s.sum[i].block;
        mls_moments_join(v, n_small, 0, JOBS, JOBS, false);
        mls_moments_finish(out, s.sum[0].block, n_small, (double)n);
        mls_moments_mean_norm(out->q_norm, s.q_norms, q->states.start, N, s.HC);
        mls_moments_mean_norm(out->k_norm, s.k_norms, q->states.start, N, s.GC);
    }
    mls_states_free(&copy);
    sums_free(&s, workers);
    if (st)
        mls_layer_stats_free(out);
    return st;
}

mls_status mls_sequential_forward(mls_sequential *q, const mls_pass *p,
                                  const mls_layer *layer, const mls_latent_form *form,
                                  bool keep, mls_err *err)
{
    mls_status st;

    q->own.layer = layer;
    if (form->own)
        return mls_layer_forward(p->config, layer, &q->states, mls_own_attention_run,
                                 &q->own, p->in->pool, err);
    st = mls_latent_runner_set(q->runner, form, keep ? &q->states : NULL, err);
    return st ? st
              : mls_layer_forward(p->config, layer, &q->states, mls_latent_attention,
                                  q->runner, p->in->pool, err);
}
