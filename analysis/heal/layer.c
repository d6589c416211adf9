/*
 * Local distillation of one layer. The loss over tokens is
 *
 *   sum |o_hat - o|^2 / sum |o|^2
 *
 * With C the second moment of the inputs, inputs become C^-1/2 x, matrices that act on
 * them W C^1/2. The form computes the same function, and steps of Adam, which knows no
 * direction, are taken where inputs are white: hidden states of Transformers are far
 * from that, a few directions hold most of their power. C is damped by a share of its
 * mean eigenvalue.
 *
 * First W_O by least squares (closed form: for given attention the output is linear in
 * it), then Adam on all numbers over batches of whole windows. What is kept is the
 * point of lowest loss on windows that were never trained on, and only if the training
 * windows did not get worse.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/heal/adam.h"
#include "analysis/heal/layer_inner.h"
#include "analysis/heal/whitening.h"
#include "common/base/checked.h"
#include "common/numbers/rng.h"

enum { WARM_STEPS = 5 }; /* over which the rate rises, at most */

/* A batch whose loss has grown by so much says that steps are too large. */
static const double worse = 1.1;

static void healing_free(mls_healing *k)
{
    for (size_t i = 0; i < mls_pool_threads(k->pool); i++) {
        if (k->pass)
            mls_heal_pass_free(k->pass[i]);
        if (k->out)
            free(k->out[i]);
    }
    mls_free_all(k->pass, k->out, k->in, k->in_back, k->theta, k->best, k->gradient,
                 k->loss, k->at_start, k->power, k->order, k->normal);
    mls_spill_free(&k->x_room);
    mls_parameters_free(&k->p);
}

static mls_status no_memory(const mls_latent_form *f, mls_err *err)
{
    return mls_fail(err, MLS_E_NOMEM, "no memory to heal layer %zu", f->layer);
}

static mls_status healing_new(mls_healing *k, const mls_latent_form *f, mls_err *err)
{
    const mls_heal_windows *w = k->w;
    const size_t workers = mls_pool_threads(k->pool), E = w->E;
    mls_status st = mls_parameters_of(&k->p, f, err);

    if (st)
        return st;
    for (size_t h = 0; h < f->H; h++)
        k->columns += f->head[h / (f->H / f->G)].n_value;
    k->pass = mls_calloc3(workers, 1, 1, sizeof(void *));
    k->out = mls_calloc3(workers, 1, 1, sizeof(void *));
    if ((st = mls_spill_new(&k->x_room, w->n * w->T * E * sizeof *k->x, w->ram, err)))
        return st;
    k->x = k->x_room.data;
    k->in = mls_calloc3(E, E, 1, sizeof *k->in);
    k->in_back = mls_calloc3(E, E, 1, sizeof *k->in_back);
    k->theta = mls_calloc3(k->p.n, 1, 1, sizeof *k->theta);
    k->best = mls_calloc3(k->p.n, 1, 1, sizeof *k->best);
    k->gradient = mls_calloc3(MLS_HEAL_SUMS, k->p.n, 1, sizeof *k->gradient);
    k->loss = mls_calloc3(w->n, 1, 1, sizeof *k->loss);
    k->at_start = mls_calloc3(w->n, 1, 1, sizeof *k->at_start);
    k->power = mls_calloc3(w->n, 1, 1, sizeof *k->power);
    k->order = mls_calloc3(w->n, 1, 1, sizeof *k->order);
    k->normal =
        mls_calloc3(MLS_HEAL_SUMS, k->columns, k->columns + E, sizeof *k->normal);
    if (!k->pass || !k->out || !k->in || !k->in_back || !k->theta || !k->best ||
        !k->gradient || !k->loss || !k->at_start || !k->power || !k->order ||
        !k->normal)
        return no_memory(f, err);
    for (size_t i = 0; !st && i < workers; i++) {
        st = mls_heal_pass_new(&k->pass[i], f, &k->p, w->T, err);
        k->out[i] = mls_calloc3(w->T, E, 1, sizeof **k->out);
        if (!st && !k->out[i])
            st = no_memory(f, err);
    }
    return st;
}

/* --- Coordinates --- */

/* Turns one window; jobs are windows. */
static mls_status turn_window(void *arg, size_t job, size_t worker, mls_err *err)
{
    const mls_healing *k = arg;
    const size_t T = k->w->T, E = k->w->E, at = job * T * E;
    double *room = mls_calloc3(2, T, E, sizeof *room);

    (void)worker;
    if (!room)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu tokens", T);
    mls_turn_rows(k->x + at, k->w->x + at, k->in_back, T, E, room);
    k->power[job] = 0;
    for (size_t i = 0; i < T * E; i++)
        k->power[job] += (double)k->w->target[at + i] * (double)k->w->target[at + i];
    free(room);
    return MLS_OK;
}

static mls_status choose_coordinates(mls_healing *k, mls_err *err)
{
    const size_t E = k->w->E;
    mls_status st =
        mls_whitening(k->in, k->in_back, k->w->x, (k->w->n - k->w->n_held) * k->w->T, E,
                      k->options->damping, err);

    if (!st)
        st = mls_pool_run(k->pool, k->w->n, turn_window, k, err);
    mls_parameters_gather(&k->p, k->theta);
    return st ? st : mls_turn_inputs(&k->p, k->theta, k->in, E, err);
}

/* --- Windows --- */

/* A window's own part of something that is kept for every window. */
static const float *of_window(const float *all, size_t window, size_t n)
{
    return all ? all + window * n : NULL;
}

mls_status mls_healing_window(const mls_healing *k, size_t window, size_t worker,
                              mls_err *err)
{
    const mls_heal_windows *w = k->w;
    const size_t n = w->T * w->E;
    const float *target = w->target + window * n;
    float *out = k->out[worker];
    size_t n_keys, n_values;
    double sum = 0;
    mls_status st;

    mls_heal_pass_keys(k->pass[worker], &n_keys);
    mls_heal_pass_values(k->pass[worker], &n_values);
    st = mls_heal_pass_forward(k->pass[worker], k->theta, k->x + window * n, w->T,
                               of_window(w->keys, window, n_keys),
                               of_window(w->values, window, n_values), out, err);
    for (size_t i = 0; !st && i < n; i++) {
        out[i] -= target[i];
        sum += (double)out[i] * (double)out[i];
    }
    k->loss[window] = sum;
    if (!st && !isfinite(sum))
        st = mls_fail(err, MLS_E_NUMERIC, "the loss of window %zu is not finite",
                      window);
    return st;
}

static mls_status measure_window(void *arg, size_t job, size_t worker, mls_err *err)
{
    return mls_healing_window(arg, job, worker, err);
}

static mls_status add_gradients(void *arg, size_t job, size_t worker, mls_err *err)
{
    const mls_healing *k = arg;
    const size_t n = k->w->T * k->w->E;
    float *gradient = k->gradient + job * k->p.n;
    size_t first, last;
    mls_status st = MLS_OK;

    mls_healing_part(k, job, &first, &last);
    memset(gradient, 0, k->p.n * sizeof *gradient);
    for (size_t i = first; !st && i < last; i++) {
        st = mls_healing_window(k, k->batch[i], worker, err);
        if (!st)
            mls_heal_pass_backward(k->pass[worker], k->theta, k->x + k->batch[i] * n,
                                   k->out[worker], gradient, NULL);
    }
    return st;
}

/* Job j adds a piece of all sums in one fixed tree. */
enum { PIECE = 1 << 16 };

static mls_status add_sums(void *arg, size_t job, size_t worker, mls_err *err)
{
    const mls_healing *k = arg;
    const size_t n = k->p.n, first = job * PIECE;
    float *g = k->gradient;

    (void)worker;
    (void)err;
    for (size_t i = first; i < n && i < first + PIECE; i++)
        g[i] = (g[i] + g[n + i]) + (g[2 * n + i] + g[3 * n + i]);
    return MLS_OK;
}

static double relative_loss(const mls_healing *k, size_t first, size_t last)
{
    double loss = 0, power = 0;

    for (size_t i = first; i < last; i++) {
        loss += k->loss[i];
        power += k->power[i];
    }
    return power > 0 ? loss / power : 0;
}

/* Loss of all windows under theta. */
static mls_status measure(mls_healing *k, double *train, double *held, mls_err *err)
{
    const size_t n = k->w->n, n_train = n - k->w->n_held;
    const mls_status st = mls_pool_run(k->pool, n, measure_window, k, err);

    *train = relative_loss(k, 0, n_train);
    *held = relative_loss(k, n_train, n);
    return st;
}

static mls_status measure_held(void *arg, size_t job, size_t worker, mls_err *err)
{
    const mls_healing *k = arg;

    return mls_healing_window(k, k->w->n - k->w->n_held + job, worker, err);
}

static mls_status held_loss(mls_healing *k, double *held, mls_err *err)
{
    const size_t n = k->w->n;
    const mls_status st = mls_pool_run(k->pool, k->w->n_held, measure_held, k, err);

    *held = relative_loss(k, n - k->w->n_held, n);
    return st;
}

/* --- Training --- */

static void shuffle(size_t *order, size_t n, mls_rng *rng)
{
    for (size_t i = n; i > 1; i--) {
        const size_t j = mls_rng_below(rng, i), kept = order[j];

        order[j] = order[i - 1];
        order[i - 1] = kept;
    }
}

static void note_point(mls_healed *out, size_t step, double held)
{
    if (out->n_points < MLS_HEAL_POINTS) {
        out->point[out->n_points].step = step;
        out->point[out->n_points++].held = held;
    }
}

/* Loss of the batch's windows as a share of what they had where training began. */
static double against_start(const mls_healing *k)
{
    double now = 0, then = 0;

    for (size_t i = 0; i < k->n_batch; i++) {
        now += k->loss[k->batch[i]];
        then += k->at_start[k->batch[i]];
    }
    return then > 0 ? now / then : 1;
}

/* The next batch: windows without return, shuffled anew each time round. */
static void next_batch(mls_healing *k, size_t batch, size_t *next, mls_rng *rng)
{
    const size_t n_train = k->w->n - k->w->n_held;

    if (*next + batch > n_train) {
        shuffle(k->order, n_train, rng);
        *next = 0;
    }
    k->batch = k->order + *next;
    k->n_batch = batch;
    *next += batch;
}

/* Held-out loss on the way; the lowest point is kept in k->best. */
static mls_status look(mls_healing *k, mls_healed *out, mls_err *err)
{
    double held;
    const mls_status st = held_loss(k, &held, err);

    note_point(out, out->steps, held);
    if (!st && held < out->held_after) {
        memcpy(k->best, k->theta, k->p.n * sizeof *k->best);
        out->held_after = held;
        out->best = out->steps;
    }
    return st;
}

/*
 * Adam; theta ends at its last step, k->best is the point of lowest held-out loss. How
 * large steps may be depends on how far the inputs are from white even in the
 * coordinates chosen: where a batch has become worse than it was at the start, training
 * goes back to the best point and on with half the rate.
 */
static mls_status train(mls_healing *k, mls_healed *out, mls_err *err)
{
    const mls_heal_options *o = k->options;
    const size_t n_train = k->w->n - k->w->n_held, n = k->p.n;
    const size_t batch = o->batch < n_train ? o->batch : n_train;
    const size_t every = (o->steps + MLS_HEAL_POINTS - 2) / (MLS_HEAL_POINTS - 1);
    const double warm = fmin(WARM_STEPS, 1 + (double)o->steps / 10);
    size_t next = n_train, since = 0;
    double rate = o->rate;
    mls_rng rng;
    mls_adam adam;
    mls_status st = mls_adam_new(&adam, &k->p, k->theta, err);

    mls_rng_seed(&rng, 1, 0);
    for (size_t step = 0; !st && step < o->steps; step++) {
        const double falling =
            0.5 * (1 + cos(3.14159265358979 * (double)step / (double)o->steps));

        next_batch(k, batch, &next, &rng);
        if ((st = mls_pool_run(k->pool, MLS_HEAL_SUMS, add_gradients, k, err)) ||
            (st = mls_pool_run(k->pool, (n + PIECE - 1) / PIECE, add_sums, k, err)))
            break;
        out->steps = step + 1;
        if (against_start(k) > worse) {
            memcpy(k->theta, k->best, n * sizeof *k->theta);
            mls_adam_restart(&adam);
            rate /= 2;
            since = 0;
        } else {
            mls_adam_step(&adam, k->theta, k->gradient,
                          rate * fmin(1, (double)++since / warm) * falling);
        }
        if ((step + 1) % every == 0 || step + 1 == o->steps)
            st = look(k, out, err);
        if (!st)
            st = mls_progress_step(o->progress, o->what, o->before + (double)(step + 1),
                                   o->total, err);
    }
    out->rate = rate;
    mls_adam_free(&adam);
    return st;
}

/* W_O by least squares, where that is better on the held-out windows. */
static mls_status start_closed(mls_healing *k, mls_healed *out, mls_err *err)
{
    const size_t n_train = k->w->n - k->w->n_held;
    float *start = mls_calloc3(k->p.n, 1, 1, sizeof *start);
    mls_status st = start ? held_loss(k, &out->held_before, err)
                          : mls_fail(err, MLS_E_NOMEM, "no memory to heal");

    if (st)
        goto done;
    memcpy(start, k->theta, k->p.n * sizeof *start);
    if ((st = mls_heal_output(k, err)))
        goto done;
    out->train_before = relative_loss(k, 0, n_train);
    if ((st = held_loss(k, &out->closed, err)))
        goto done;
    note_point(out, 0, out->closed);
    out->held_after = fmin(out->closed, out->held_before);
    memcpy(k->at_start, k->loss, n_train * sizeof *k->at_start);
    if (!(out->closed < out->held_before))
        memcpy(k->theta, start, k->p.n * sizeof *start);
    else if (k->options->steps > 0 &&
             !(st = mls_pool_run(k->pool, n_train, measure_window, k, err)))
        memcpy(k->at_start, k->loss, n_train * sizeof *k->at_start);
    memcpy(k->best, k->theta, k->p.n * sizeof *k->best);

done:
    free(start);
    return st;
}

mls_status mls_heal_layer(mls_latent_form *f, const mls_heal_windows *w,
                          const mls_heal_options *options, mls_pool *pool,
                          mls_healed *out, mls_err *err)
{
    mls_healing k = {.w = w, .options = options, .pool = pool};
    double ignored;
    mls_status st = healing_new(&k, f, err);

    *out = (mls_healed){0};
    for (size_t i = 0; !st && i < w->n - w->n_held; i++)
        k.order[i] = i;
    if (st || (st = choose_coordinates(&k, err)) || (st = start_closed(&k, out, err)) ||
        (st = train(&k, out, err)))
        goto done;
    memcpy(k.theta, k.best, k.p.n * sizeof *k.best);
    if ((st = measure(&k, &out->train_after, &ignored, err)))
        goto done;
    out->kept =
        !(out->held_after < out->held_before) || out->train_after > out->train_before;
    if (out->kept) {
        out->held_after = out->held_before;
        out->train_after = out->train_before;
        goto done;
    }
    st = mls_turn_inputs(&k.p, k.theta, k.in_back, w->E, err);
    if (!st)
        mls_parameters_scatter(&k.p, k.theta);

done:
    healing_free(&k);
    return st;
}
