/*
 * Distillation of all layers' attention at once. The loss is what counts in the end,
 *
 *   mean over tokens of KL(p || q),
 *
 * p and q the original's and the student's distributions of the next token; its
 * gradient comes back through head, norms and MLPs (model_pass.c). Steps are Adam's, in
 * the coordinates and units that single layers are healed in (analysis/heal/layer.c):
 * with C the second moment of a layer's inputs, gradients by W C^1/2, of rms(row)
 * rms(column) / rms(array). The rate rises over a few steps and falls to 0 by a cosine;
 * where the windows held out get worse, training goes back to its best point and on
 * with half the rate.
 */
#include "analysis/distil/distil.h"

#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/distil/distil_inner.h"
#include "analysis/heal/whitening.h"
#include "analysis/model/block.h"
#include "common/base/checked.h"

enum { WARM_STEPS = 20 };

/*
 * Steps are too large where the windows held out are so much above their lowest, or a
 * batch so much above what windows of training were at the start.
 */
static const double worse = 1.05, far_worse = 1.5;

mls_status mls_distil_possible(const mls_config *config, mls_err *err)
{
    for (size_t l = 0; l < config->L; l++) {
        const char *other = mls_latent_other(config, l);

        if (!other)
            other = mls_latent_ours(config, l);
        if (!other && config->net.sparse[l])
            other = "a mixture of experts";
        if (!other &&
            (config->net.act == MLS_ACT_OAI || config->net.act == MLS_ACT_XIELU))
            other = "an activation without a way back";
        if (!other && config->net.single)
            other = "attention or an MLP, not both";
        if (other)
            return mls_fail(err, MLS_E_INPUT,
                            "layer %zu has %s: all layers together cannot be trained",
                            l, other);
    }
    return MLS_OK;
}

/* --- The start --- */

/* Jobs are layers: white coordinates and the sizes of numbers in them. */
static mls_status begin_layer(void *arg, size_t job, size_t worker, mls_err *err)
{
    mls_distilling *k = arg;
    mls_distil_layer *a = &k->layer[job];
    const mls_layer *w = &k->weights[job];
    const size_t rows = k->states.N * k->T;
    float *x = mls_calloc3(rows, k->E, 1, sizeof *x);
    double *root = mls_calloc3(2, k->E, k->E, sizeof *root);
    double *const inverse = root + k->E * k->E;
    mls_status st = mls_distil_open(k, job, err);

    (void)worker;
    if (!st && (!x || !root))
        st = mls_fail(err, MLS_E_NOMEM, "no memory to train layer %zu", job);
    if (!st) {
        mls_block_norm(k->config, x, k->inputs + job * k->batch * k->T * k->E,
                       w->attn_norm, w->attn_norm_bias, rows);
        st = mls_whitening(root, inverse, x, rows, k->E, k->job->damping, err);
        for (size_t i = 0; !st && i < k->E * k->E; i++)
            a->inverse[i] = (float)inverse[i];
    }
    if (!st)
        st = mls_turn_inputs(&a->p, a->theta, root, k->E, err);
    if (!st)
        st = mls_adam_new(&a->adam, &a->p, a->theta, err);
    memcpy(a->theta, a->best, a->p.n * sizeof *a->theta);
    mls_distil_close(k, job);
    mls_free_all(x, root);
    return st;
}

/* Mean divergence of windows first .. first + n - 1, a batch at a time. */
static mls_status measure(mls_distilling *k, size_t first, size_t n, double *kl,
                          mls_err *err)
{
    mls_status st = MLS_OK;
    double sum = 0;

    k->back = false;
    for (size_t done = 0; !st && done < n; done += k->batch) {
        const size_t some = n - done < k->batch ? n - done : k->batch;

        for (size_t i = 0; i < some; i++)
            k->window[i] = first + done + i;
        st = mls_distil_pass(k, some, err);
        for (size_t i = 0; i < some; i++)
            sum += k->kl[i];
    }
    *kl = sum / (double)(n * k->T);
    return st;
}

static mls_status begin(mls_distilling *k, mls_err *err)
{
    mls_distilled *out = k->out;
    mls_status st = measure(k, k->n_train, k->job->n_held, &out->held_before, err);

    if (!st)
        st = measure(k, 0, k->batch, &out->train_before, err);
    if (!st) /* of the inputs of these windows, which are there still */
        st = mls_pool_run(k->job->pool, k->L, begin_layer, k, err);
    out->held_after = out->held_before;
    out->point[out->n_points++].held = out->held_before;
    mls_rng_seed(&k->rng, 2, 0);
    k->next = k->n_train;
    k->rate = k->job->rate;
    return st;
}

/* --- Steps --- */

/* The next batch: windows without return, shuffled anew each time round. */
static void next_batch(mls_distilling *k)
{
    if (k->next + k->batch > k->n_train) {
        for (size_t i = k->n_train; i > 1; i--) {
            const size_t j = mls_rng_below(&k->rng, i), kept = k->order[j];

            k->order[j] = k->order[i - 1];
            k->order[i - 1] = kept;
        }
        k->next = 0;
    }
    memcpy(k->window, k->order + k->next, k->batch * sizeof *k->window);
    k->next += k->batch;
}

static double rate_now(const mls_distilling *k)
{
    const double steps = (double)k->job->steps;
    const double warm = fmin(WARM_STEPS, 1 + steps / 10);

    return k->rate * fmin(1, (double)k->since / warm) * 0.5 *
           (1 + cos(3.14159265358979 * (double)k->out->steps / steps));
}

/* What acts on the layer's input, in v, times C^-1/2; room as long as v. */
static void turn(const mls_distil_layer *a, float *v, size_t E, float *room)
{
    for (size_t i = 0; i < a->p.n_arrays; i++) {
        const mls_parameter_array *of = &a->p.array[i];
        float *at = v + of->first;

        if (of->role != MLS_PARAMETER_OF_INPUT)
            continue;
        memcpy(room, at, of->rows * E * sizeof *room);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)of->rows, (int)E,
                    (int)E, 1, room, (int)E, a->inverse, (int)E, 0, at, (int)E);
    }
}

/* Jobs are layers: one step of Adam, in white coordinates. */
static mls_status step_layer(void *arg, size_t job, size_t worker, mls_err *err)
{
    const mls_distilling *k = arg;
    mls_distil_layer *a = &k->layer[job];
    float *moved, *room;

    (void)worker;
    if (k->job->fixed[job])
        return MLS_OK;
    moved = mls_calloc3(2, a->p.n, 1, sizeof *moved);
    if (!moved)
        return mls_fail(err, MLS_E_NOMEM, "no memory to train layer %zu", job);
    room = moved + a->p.n;
    turn(a, a->gradient, k->E, room);
    mls_adam_step(&a->adam, moved, a->gradient, rate_now(k));
    turn(a, moved, k->E, room);
    for (size_t i = 0; i < a->p.n; i++)
        a->theta[i] += moved[i];
    mls_parameters_scatter(&a->p, a->theta);
    free(moved);
    return MLS_OK;
}

/* All layers at the best point so far, or that point where they are. */
static void go_to_best(mls_distilling *k)
{
    for (size_t l = 0; l < k->L; l++) {
        mls_distil_layer *a = &k->layer[l];

        memcpy(a->theta, a->best, a->p.n * sizeof *a->theta);
        mls_parameters_scatter(&a->p, a->theta);
    }
}

static void keep_as_best(mls_distilling *k)
{
    for (size_t l = 0; l < k->L; l++)
        memcpy(k->layer[l].best, k->layer[l].theta,
               k->layer[l].p.n * sizeof *k->layer[l].best);
}

/* Back to the best point, and on with a part of the rate. */
static void back_off(mls_distilling *k, double part)
{
    go_to_best(k);
    for (size_t l = 0; l < k->L; l++)
        mls_adam_restart(&k->layer[l].adam);
    k->rate /= part;
    k->since = 0;
}

/* The windows held out, on the way. */
static mls_status look(mls_distilling *k, mls_err *err)
{
    mls_distilled *out = k->out;
    double held;
    const mls_status st = measure(k, k->n_train, k->job->n_held, &held, err);

    if (st)
        return st;
    if (out->n_points < MLS_DISTIL_POINTS) {
        out->point[out->n_points].step = out->steps;
        out->point[out->n_points++].held = held;
    }
    if (held < out->held_after) {
        keep_as_best(k);
        out->held_after = held;
        out->best = out->steps;
    } else if (held > worse * out->held_after) {
        back_off(k, 2);
    }
    return MLS_OK;
}

/* A step from the gradient of the batch that has just passed. */
static mls_status step(mls_distilling *k, mls_err *err)
{
    double sum = 0;

    for (size_t i = 0; i < k->batch; i++)
        sum += k->kl[i];
    if (sum / (double)(k->batch * k->T) > far_worse * k->out->train_before) {
        back_off(k, 4);
        return MLS_OK;
    }
    k->since++;
    return mls_pool_run(k->job->pool, k->L, step_layer, k, err);
}

static mls_status train(mls_distilling *k, mls_err *err)
{
    const mls_distil_job *job = k->job;
    const size_t every = (job->steps + MLS_DISTIL_POINTS - 2) / (MLS_DISTIL_POINTS - 1);
    mls_distilled *out = k->out;
    mls_status st = MLS_OK;

    while (!st && out->steps < job->steps) {
        char what[96];

        snprintf(what, sizeof what, "all layers together (divergence %.4f -> %.4f)",
                 out->held_before, out->held_after);
        st = mls_progress_step(job->progress, what, (double)out->steps,
                               (double)job->steps, err);
        if (st)
            break;
        next_batch(k);
        k->back = true;
        if ((st = mls_distil_pass(k, k->batch, err)) || (st = step(k, err)))
            break;
        out->steps++;
        if (out->steps % every == 0 || out->steps == job->steps) {
            st = look(k, err);
            if (!st)
                st = mls_distil_save(k, err);
        }
    }
    out->rate = k->rate;
    return st;
}

mls_status mls_distil(mls_distilled *out, mls_latent_form *form,
                      const mls_distil_job *job, mls_err *err)
{
    const mls_config *config = mls_model_config(job->model);
    const size_t n_train = job->corpus->N - job->n_held;
    mls_distilling k = {.job = job,
                        .config = config,
                        .form = form,
                        .out = out,
                        .T = job->corpus->start[1],
                        .E = config->E,
                        .L = config->L,
                        .n_train = n_train,
                        .batch = job->batch < n_train ? job->batch : n_train,
                        .keep_weights = mls_model_ram(job->model) == 0};
    mls_status st;

    *out = (mls_distilled){0};
    k.n_sums = k.batch < MLS_DISTIL_SUMS ? k.batch : MLS_DISTIL_SUMS;
    st = mls_distilling_new(&k, err);
    if (!st && (st = begin(&k, err)) == MLS_OK) {
        mls_distil_load(&k);
        st = train(&k, err);
    }
    if (!st) {
        go_to_best(&k);
        st = measure(&k, 0, k.batch, &out->train_after, err);
    }
    mls_distilling_free(&k);
    return st;
}
