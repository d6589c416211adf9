/*
 * A batch through the whole model and back. Forward is layer-major, as everywhere, and
 * keeps the states before each layer. Back, a layer's attention is run again from them,
 * so that memory does not grow by what a layer computes inside: a batch needs
 * (layers + 3) x tokens x width numbers.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/distil/distil_inner.h"
#include "analysis/model/block.h"
#include "common/base/checked.h"

/* --- Memory --- */

void mls_distilling_free(mls_distilling *k)
{
    for (size_t l = 0; k->layer && l < k->L; l++) {
        mls_distil_layer *a = &k->layer[l];

        mls_parameters_free(&a->p);
        mls_adam_free(&a->adam);
        mls_free_all(a->theta, a->best, a->gradient, a->inverse);
    }
    for (size_t l = 0; k->weights && l < k->L; l++)
        mls_layer_free(&k->weights[l]);
    for (size_t i = 0; i < mls_pool_threads(k->job->pool); i++) {
        if (k->pass)
            mls_heal_pass_free(k->pass[i]);
        if (k->scratch)
            free(k->scratch[i]);
    }
    mls_free_all(k->layer, k->weights);
    mls_head_free(&k->head);
    mls_packed_free(k->head_packed);
    mls_latent_runner_free(k->runner);
    mls_free_all(k->start, k->window, k->states.h, k->inputs, k->d, k->kl, k->pass,
                 k->scratch, k->sums, k->order);
}

static mls_status no_memory(mls_err *err)
{
    return mls_fail(err, MLS_E_NOMEM, "no memory to train all layers together");
}

static mls_status layer_new(mls_distilling *k, size_t l, mls_err *err)
{
    mls_distil_layer *a = &k->layer[l];
    mls_status st;

    if (k->form[l].own || k->form[l].share_layer >= 0)
        return mls_fail(err, MLS_E_INPUT,
                        "layer %zu %s: all layers together cannot be trained", l,
                        k->form[l].own ? "has attention that no latent form says"
                                       : "shares another layer's cache");
    st = mls_parameters_of(&a->p, &k->form[l], err);
    if (st)
        return st;
    a->theta = mls_calloc3(a->p.n, 1, 1, sizeof *a->theta);
    a->best = mls_calloc3(a->p.n, 1, 1, sizeof *a->best);
    a->gradient = mls_calloc3(a->p.n, 1, 1, sizeof *a->gradient);
    a->inverse = mls_calloc3(k->E, k->E, 1, sizeof *a->inverse);
    if (!a->theta || !a->best || !a->gradient || !a->inverse)
        return no_memory(err);
    mls_parameters_gather(&a->p, a->theta);
    memcpy(a->best, a->theta, a->p.n * sizeof *a->best);
    return MLS_OK;
}

/* The head's matrix, in bfloat16 where the model is multiplied so. */
static mls_status head_new(mls_distilling *k, mls_err *err)
{
    const mls_config *c = k->config;
    mls_status st = mls_model_head(k->job->model, &k->head, err);

    if (!st && mls_model_compute(k->job->model) == MLS_COMPUTE_BF16) {
        st = mls_packed_new(&k->head_packed, err);
        if (!st)
            st = mls_packed_add(k->head_packed, k->head.w, c->V, c->E, err);
        if (!st)
            st = mls_packed_add_back(k->head_packed, k->head.w, c->V, c->E, err);
    }
    k->logits = (mls_logits){.E = c->E,
                             .V = c->V,
                             .norm = c->net.norm,
                             .norm_free = c->net.norm_free,
                             .eps = c->rms_eps,
                             .scale = c->net.logit_scale,
                             .cap = c->net.logit_cap,
                             .gain = k->head.norm,
                             .gain_bias = k->head.norm_bias,
                             .w = k->head.w,
                             .bias = k->head.bias,
                             .packed = k->head_packed};
    return st;
}

static void block_of(mls_block *b, const mls_config *c, const mls_layer *w)
{
    *b = (mls_block){.E = c->E,
                     .F = c->F,
                     .norm = c->net.norm,
                     .place = c->net.place,
                     .parallel = c->net.parallel,
                     .one_norm = c->net.one_norm,
                     .norm_free = c->net.norm_free,
                     .act = c->net.act,
                     .eps = c->rms_eps,
                     .attn_norm = w->attn_norm,
                     .attn_norm_bias = w->attn_norm_bias,
                     .attn_post_norm = w->attn_post_norm,
                     .mlp_norm = w->mlp_norm,
                     .mlp_norm_bias = w->mlp_norm_bias,
                     .mlp_post_norm = w->mlp_post_norm,
                     .gate = w->w_gate,
                     .gate_bias = w->b_gate,
                     .up = w->w_up,
                     .up_bias = w->b_up,
                     .down = w->w_down,
                     .down_bias = w->b_down,
                     .packed = w->packed};
}

mls_status mls_distilling_new(mls_distilling *k, mls_err *err)
{
    const size_t workers = mls_pool_threads(k->job->pool);
    const size_t n = k->T * k->E;
    const mls_block widest = {.E = k->E, .F = k->config->F};
    size_t most = 0, scratch = mls_block_back_scratch(&widest, k->T) + 3 * n;
    mls_status st = mls_distil_possible(k->config, err);

    if (st)
        return st;
    k->layer = mls_calloc3(k->L, 1, 1, sizeof *k->layer);
    k->weights = mls_calloc3(k->L, 1, 1, sizeof *k->weights);
    k->start = mls_calloc3(k->batch + 1, 1, 1, sizeof *k->start);
    k->window = mls_calloc3(k->batch, 1, 1, sizeof *k->window);
    k->states.h = mls_calloc3(k->batch, n, 1, sizeof(float));
    k->inputs = mls_calloc3(k->L, k->batch, n, sizeof *k->inputs);
    k->d = mls_calloc3(k->batch, n, 1, sizeof *k->d);
    k->kl = mls_calloc3(k->batch, 1, 1, sizeof *k->kl);
    k->pass = mls_calloc3(workers, 1, 1, sizeof(void *));
    k->scratch = mls_calloc3(workers, 1, 1, sizeof(void *));
    k->order = mls_calloc3(k->n_train, 1, 1, sizeof *k->order);
    if (!k->layer || !k->weights || !k->start || !k->window || !k->states.h ||
        !k->inputs || !k->d || !k->kl || !k->pass || !k->scratch || !k->order)
        return no_memory(err);
    for (size_t i = 0; i < k->n_train; i++)
        k->order[i] = i;
    for (size_t i = 0; i <= k->batch; i++)
        k->start[i] = i * k->T;
    for (size_t l = 0; !st && l < k->L; l++) {
        st = layer_new(k, l, err);
        most = k->layer[l].p.n > most ? k->layer[l].p.n : most;
    }
    if (!st)
        st = head_new(k, err);
    if (!st)
        st = mls_latent_runner_new(&k->runner, k->T, workers, false, err);
    if (st)
        return st;
    mls_latent_runner_compute(k->runner, mls_model_compute(k->job->model));
    if (mls_divergence_scratch(&k->logits) > scratch)
        scratch = mls_divergence_scratch(&k->logits);
    k->sums = mls_calloc3(k->n_sums, most, 1, sizeof *k->sums);
    for (size_t i = 0; i < workers; i++)
        if (!(k->scratch[i] = mls_calloc3(scratch, 1, 1, sizeof(float))))
            return no_memory(err);
    return k->sums ? MLS_OK : no_memory(err);
}

/* --- Weights of a layer, read once or whenever they are wanted --- */

mls_status mls_distil_open(mls_distilling *k, size_t l, mls_err *err)
{
    mls_layer *w = &k->weights[l];
    const size_t E = k->E, F = k->config->F;
    mls_status st;

    if (w->w_down)
        return MLS_OK;
    st = mls_model_layer(k->job->model, l, w, err);
    if (!st && w->packed &&
        !(st = mls_packed_add_back(w->packed, w->w_gate, F, E, err)) &&
        !(st = mls_packed_add_back(w->packed, w->w_up, F, E, err)))
        st = mls_packed_add_back(w->packed, w->w_down, E, F, err);
    return st;
}

void mls_distil_close(mls_distilling *k, size_t l)
{
    if (!k->keep_weights)
        mls_layer_free(&k->weights[l]);
}

/* --- Forward --- */

static mls_status embed(mls_distilling *k, size_t n, mls_err *err)
{
    const mls_corpus *c = k->job->corpus;
    mls_status st = MLS_OK;

    k->states.N = n;
    k->states.E = k->E;
    k->states.start = k->start;
    k->states.T_max = k->T;
    k->states.per_job = 1;
    for (size_t i = 0; !st && i < n; i++)
        st = mls_model_embed(k->job->model, c->ids + c->start[k->window[i]], k->T,
                             k->states.h + i * k->T * k->E, err);
    return st;
}

/* Jobs are windows: divergence, and the gradient by the last states. */
static mls_status diverge(void *arg, size_t job, size_t worker, mls_err *err)
{
    const mls_distilling *k = arg;
    const size_t n = k->T * k->E;
    const double weight = 1 / (double)(k->states.N * k->T);
    const float *h =
        k->job->original->h + k->job->original->start[k->window[job]] * k->E;

    k->kl[job] = mls_divergence(&k->logits, h, k->states.h + job * n, k->T, weight,
                                k->back ? k->d + job * n : NULL, k->scratch[worker]);
    if (isfinite(k->kl[job]))
        return MLS_OK;
    return mls_fail(err, MLS_E_NUMERIC, "the divergence of window %zu is not finite",
                    k->window[job]);
}

/* --- Back through one layer --- */

/* Jobs are sums over a fixed run of the batch's windows. */
static mls_status layer_back(void *arg, size_t job, size_t worker, mls_err *err)
{
    const mls_distilling *k = arg;
    const mls_distil_layer *a = &k->layer[k->now];
    const mls_layer *w = &k->weights[k->now];
    const size_t n = k->T * k->E, N = k->states.N;
    float *gradient = k->sums + job * a->p.n;
    float *x = k->scratch[worker], *out = x + n, *d_x = out + n, *rest = d_x + n;
    mls_status st = MLS_OK;

    memset(gradient, 0, a->p.n * sizeof *gradient);
    for (size_t i = N * job / k->n_sums; !st && i < N * (job + 1) / k->n_sums; i++) {
        const float *h = k->inputs + (k->now * k->batch + i) * n;
        float *d = k->d + i * n;

        mls_block_norm(k->config, x, h, w->attn_norm, w->attn_norm_bias, k->T);
        st = mls_heal_pass_forward(k->pass[worker], a->theta, x, k->T, NULL, NULL, out,
                                   err);
        if (st)
            break;
        mls_block_back(&k->block, h, out, d, k->T, out, d, rest);
        mls_heal_pass_backward(k->pass[worker], a->theta, x, out, gradient, d_x);
        mls_block_input_back(&k->block, h, d_x, k->T, d);
    }
    return st;
}

enum { PIECE = 1 << 16 };

/* Jobs are pieces of the layer's numbers: the sums in a fixed order. */
static mls_status add_sums(void *arg, size_t job, size_t worker, mls_err *err)
{
    const mls_distilling *k = arg;
    const mls_distil_layer *a = &k->layer[k->now];

    (void)worker;
    (void)err;
    for (size_t i = job * PIECE; i < a->p.n && i < (job + 1) * PIECE; i++) {
        float sum = 0;

        for (size_t s = 0; s < k->n_sums; s++)
            sum += k->sums[s * a->p.n + i];
        a->gradient[i] = sum;
    }
    return MLS_OK;
}

static mls_status back(mls_distilling *k, size_t l, mls_err *err)
{
    const size_t workers = mls_pool_threads(k->job->pool);
    const mls_distil_layer *a = &k->layer[l];
    mls_status st = mls_distil_open(k, l, err);

    k->now = l;
    block_of(&k->block, k->config, &k->weights[l]);
    for (size_t i = 0; !st && i < workers; i++) {
        st = mls_heal_pass_new(&k->pass[i], &k->form[l], &a->p, k->T, err);
        if (!st)
            mls_heal_pass_compute(k->pass[i], mls_model_compute(k->job->model));
    }
    if (!st)
        st = mls_pool_run(k->job->pool, k->n_sums, layer_back, k, err);
    if (!st)
        st = mls_pool_run(k->job->pool, (a->p.n + PIECE - 1) / PIECE, add_sums, k, err);
    for (size_t i = 0; i < workers; i++) {
        mls_heal_pass_free(k->pass[i]);
        k->pass[i] = NULL;
    }
    mls_distil_close(k, l);
    return st;
}

mls_status mls_distil_pass(mls_distilling *k, size_t n, mls_err *err)
{
    const size_t numbers = n * k->T * k->E;
    mls_status st = embed(k, n, err);

    for (size_t l = 0; !st && l < k->L; l++) {
        memcpy(k->inputs + l * k->batch * k->T * k->E, k->states.h,
               numbers * sizeof *k->inputs);
        if (!(st = mls_distil_open(k, l, err)) &&
            !(st = mls_latent_runner_set(k->runner, &k->form[l], NULL, err)))
            st = mls_layer_forward(k->config, &k->weights[l], &k->states,
                                   mls_latent_attention, k->runner, k->job->pool, err);
        mls_distil_close(k, l);
    }
    if (!st)
        st = mls_pool_run(k->job->pool, n, diverge, k, err);
    for (size_t l = k->L; !st && k->back && l > 0; l--)
        st = back(k, l - 1, err);
    return st;
}
