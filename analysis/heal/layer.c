/*
 * Local distillation of one layer. With M what errors of the output cost and C the
 * second moment of the inputs, the loss over tokens is
 *
 *   sum (o_hat - o)^T M (o_hat - o) / sum o^T M o
 *
 * Both matrices are put into the parameters: inputs become C^-1/2 x, matrices that act
 * on them W C^1/2, targets M^1/2 o, the output projection M^1/2 W_O. The form computes
 * the same function, the loss is a plain square again, and steps of Adam, which knows
 * no direction, are taken where inputs are white: hidden states of Transformers are far
 * from that, a few directions hold most of their power. C is damped by a share of its
 * mean eigenvalue.
 *
 * First W_O by least squares (closed form: for given attention the output is linear in
 * it), then Adam on all numbers over batches of whole windows. What is kept is the
 * point of lowest loss on windows that were never trained on, and only if the training
 * windows did not get worse.
 */
#include "analysis/heal/layer.h"

#include <lapacke.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/heal/adam.h"
#include "analysis/heal/parameters.h"
#include "analysis/heal/pass.h"
#include "analysis/numeric/linalg.h"
#include "common/base/checked.h"
#include "common/numbers/rng.h"

enum {
    SUMS = 4, /* gradients side by side, each over a fixed run of a batch's windows */
    MOMENT_TOKENS = 1 << 15, /* tokens that C is estimated from, at most about */
};

enum { WARM_STEPS = 5 }; /* over which the rate rises, at most */

/* A batch whose loss has grown by so much says that steps are too large. */
static const double worse = 1.1;

/* One layer being healed. */
typedef struct {
    const mls_heal_windows *w;
    const mls_heal_options *options;
    mls_pool *pool;
    mls_parameters p;
    mls_heal_pass **pass;     /* (workers) */
    float **out;              /* (workers, T, E) output, then its gradient */
    float *x, *target;        /* (n, T, E) in the coordinates that training uses */
    double *in, *in_back;     /* (E, E) C^1/2 and its inverse */
    double *cost, *cost_back; /* (E, E) M^1/2 and its inverse; NULL: none */
    float *theta, *best;      /* (parameters) */
    float *gradient;          /* (SUMS, parameters) */
    double *loss;             /* (n) of each window */
    double *at_start;         /* (n) loss of each window where Adam begins */
    double *power;            /* (n) of each window's target */
    size_t *order;            /* (n - n_held) of training windows */
    const size_t *batch;      /* windows of the job list that runs now */
    size_t n_batch;
    size_t columns; /* of W_O */
    double *normal; /* (SUMS, columns, columns + E): O^T O and O^T target */
} healing;

static void healing_free(healing *k)
{
    for (size_t i = 0; i < mls_pool_threads(k->pool); i++) {
        if (k->pass)
            mls_heal_pass_free(k->pass[i]);
        if (k->out)
            free(k->out[i]);
    }
    free(k->pass);
    free(k->out);
    free(k->x);
    free(k->target);
    free(k->in);
    free(k->in_back);
    free(k->cost);
    free(k->cost_back);
    free(k->theta);
    free(k->best);
    free(k->gradient);
    free(k->loss);
    free(k->at_start);
    free(k->power);
    free(k->order);
    free(k->normal);
    mls_parameters_free(&k->p);
}

static mls_status no_memory(const mls_latent_form *f, mls_err *err)
{
    return mls_fail(err, MLS_E_NOMEM, "no memory to heal layer %zu", f->layer);
}

static mls_status healing_new(healing *k, const mls_latent_form *f, mls_err *err)
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
    k->x = mls_calloc3(w->n, w->T, E, sizeof *k->x);
    k->target = mls_calloc3(w->n, w->T, E, sizeof *k->target);
    k->in = mls_calloc3(E, E, 1, sizeof *k->in);
    k->in_back = mls_calloc3(E, E, 1, sizeof *k->in_back);
    k->theta = mls_calloc3(k->p.n, 1, 1, sizeof *k->theta);
    k->best = mls_calloc3(k->p.n, 1, 1, sizeof *k->best);
    k->gradient = mls_calloc3(SUMS, k->p.n, 1, sizeof *k->gradient);
    k->loss = mls_calloc3(w->n, 1, 1, sizeof *k->loss);
    k->at_start = mls_calloc3(w->n, 1, 1, sizeof *k->at_start);
    k->power = mls_calloc3(w->n, 1, 1, sizeof *k->power);
    k->order = mls_calloc3(w->n, 1, 1, sizeof *k->order);
    k->normal = mls_calloc3(SUMS, k->columns, k->columns + E, sizeof *k->normal);
    if (!k->pass || !k->out || !k->x || !k->target || !k->in || !k->in_back ||
        !k->theta || !k->best || !k->gradient || !k->loss || !k->at_start ||
        !k->power || !k->order || !k->normal)
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

/* y (rows, E) = x (rows, E) a, a symmetric, in double. */
static void turn_rows(float *y, const float *x, const double *a, size_t rows, size_t E,
                      double *room)
{
    double *in = room, *out = room + rows * E;

    for (size_t i = 0; i < rows * E; i++)
        in[i] = (double)x[i];
    mls_matmul(out, in, false, a, false, rows, E, E);
    for (size_t i = 0; i < rows * E; i++)
        y[i] = (float)out[i];
}

/* x (E, cols) becomes a x. */
static void turn_columns(float *x, const double *a, size_t E, size_t cols, double *room)
{
    double *in = room, *out = room + E * cols;

    for (size_t i = 0; i < E * cols; i++)
        in[i] = (double)x[i];
    mls_matmul(out, a, false, in, false, E, cols, E);
    for (size_t i = 0; i < E * cols; i++)
        x[i] = (float)out[i];
}

/* theta between the form's coordinates and those of training. */
static mls_status turn_parameters(const healing *k, float *theta, const double *in,
                                  const double *cost, mls_err *err)
{
    const size_t E = k->w->E;

    for (size_t i = 0; i < k->p.n_arrays; i++) {
        const mls_parameter_array *a = &k->p.array[i];
        float *x = theta + a->first;
        double *room = mls_calloc3(2, a->rows, a->cols, sizeof *room);

        if (!room)
            return mls_fail(err, MLS_E_NOMEM, "no memory for %zu x %zu numbers",
                            a->rows, a->cols);
        if (a->role == MLS_PARAMETER_OF_INPUT)
            turn_rows(x, x, in, a->rows, E, room);
        else if (cost && (a->role == MLS_PARAMETER_OUTPUT ||
                          a->role == MLS_PARAMETER_OUTPUT_BIAS))
            turn_columns(x, cost, E, a->cols, room);
        free(room);
    }
    return MLS_OK;
}

/* C of the training windows, damped; of every stride-th token, which is enough. */
static mls_status input_moment(const healing *k, double *c, mls_err *err)
{
    const mls_heal_windows *w = k->w;
    const size_t E = w->E, tokens = (w->n - w->n_held) * w->T;
    const size_t stride = 1 + tokens / MOMENT_TOKENS,
                 n = (tokens + stride - 1) / stride;
    double *rows = mls_calloc3(n, E, 1, sizeof *rows), trace = 0;

    if (!rows)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu tokens", n);
    for (size_t i = 0; i < n; i++)
        for (size_t e = 0; e < E; e++)
            rows[i * E + e] = (double)w->x[i * stride * E + e];
    mls_matmul(c, rows, true, rows, false, E, E, n);
    free(rows);
    for (size_t e = 0; e < E; e++)
        trace += c[e * E + e];
    for (size_t i = 0; i < E * E; i++)
        c[i] /= (double)n;
    for (size_t e = 0; e < E; e++)
        c[e * E + e] += k->options->damping * trace / (double)(n * E);
    return MLS_OK;
}

/* Turns one window; jobs are windows. */
static mls_status turn_window(void *arg, size_t job, size_t worker, mls_err *err)
{
    const healing *k = arg;
    const size_t T = k->w->T, E = k->w->E, at = job * T * E;
    double *room = mls_calloc3(2, T, E, sizeof *room);

    (void)worker;
    if (!room)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu tokens", T);
    turn_rows(k->x + at, k->w->x + at, k->in_back, T, E, room);
    if (k->cost)
        turn_rows(k->target + at, k->w->target + at, k->cost, T, E, room);
    else
        memcpy(k->target + at, k->w->target + at, T * E * sizeof *k->target);
    k->power[job] = 0;
    for (size_t i = 0; i < T * E; i++)
        k->power[job] += (double)k->target[at + i] * (double)k->target[at + i];
    free(room);
    return MLS_OK;
}

static mls_status choose_coordinates(healing *k, const mls_latent_form *f, mls_err *err)
{
    const size_t E = k->w->E;
    double *c = mls_calloc3(E, E, 1, sizeof *c);
    mls_status st = c ? input_moment(k, c, err) : no_memory(f, err);

    if (!st)
        st = mls_sqrt_psd(c, E, 1e-12, k->in, k->in_back, err);
    free(c);
    if (!st && k->w->metric) {
        k->cost = mls_calloc3(E, E, 1, sizeof *k->cost);
        k->cost_back = mls_calloc3(E, E, 1, sizeof *k->cost_back);
        st = k->cost && k->cost_back
                 ? mls_sqrt_psd(k->w->metric, E, 1e-6, k->cost, k->cost_back, err)
                 : no_memory(f, err);
    }
    if (!st)
        st = mls_pool_run(k->pool, k->w->n, turn_window, k, err);
    mls_parameters_gather(&k->p, k->theta);
    return st ? st : turn_parameters(k, k->theta, k->in, k->cost, err);
}

/* --- Windows --- */

/* A window's own part of something that is kept for every window. */
static const float *of_window(const float *all, size_t window, size_t n)
{
    return all ? all + window * n : NULL;
}

/* Output minus target of a window in k->out[worker], its square in k->loss. */
static mls_status run_window(const healing *k, size_t window, size_t worker,
                             mls_err *err)
{
    const mls_heal_windows *w = k->w;
    const size_t n = w->T * w->E;
    const float *target = k->target + window * n;
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
    return run_window(arg, job, worker, err);
}

/* Windows first .. last - 1 of a batch that belong to one of the sums. */
static void part_of(const healing *k, size_t sum, size_t *first, size_t *last)
{
    *first = k->n_batch * sum / SUMS;
    *last = k->n_batch * (sum + 1) / SUMS;
}

static mls_status add_gradients(void *arg, size_t job, size_t worker, mls_err *err)
{
    const healing *k = arg;
    const size_t n = k->w->T * k->w->E;
    float *gradient = k->gradient + job * k->p.n;
    size_t first, last;
    mls_status st = MLS_OK;

    part_of(k, job, &first, &last);
    memset(gradient, 0, k->p.n * sizeof *gradient);
    for (size_t i = first; !st && i < last; i++) {
        st = run_window(k, k->batch[i], worker, err);
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
    const healing *k = arg;
    const size_t n = k->p.n, first = job * PIECE;
    float *g = k->gradient;

    (void)worker;
    (void)err;
    for (size_t i = first; i < n && i < first + PIECE; i++)
        g[i] = (g[i] + g[n + i]) + (g[2 * n + i] + g[3 * n + i]);
    return MLS_OK;
}

static double relative_loss(const healing *k, size_t first, size_t last)
{
    double loss = 0, power = 0;

    for (size_t i = first; i < last; i++) {
        loss += k->loss[i];
        power += k->power[i];
    }
    return power > 0 ? loss / power : 0;
}

/* Loss of all windows under theta. */
static mls_status measure(healing *k, double *train, double *held, mls_err *err)
{
    const size_t n = k->w->n, n_train = n - k->w->n_held;
    const mls_status st = mls_pool_run(k->pool, n, measure_window, k, err);

    *train = relative_loss(k, 0, n_train);
    *held = relative_loss(k, n_train, n);
    return st;
}

static mls_status measure_held(void *arg, size_t job, size_t worker, mls_err *err)
{
    const healing *k = arg;

    return run_window(k, k->w->n - k->w->n_held + job, worker, err);
}

static mls_status held_loss(healing *k, double *held, mls_err *err)
{
    const size_t n = k->w->n;
    const mls_status st = mls_pool_run(k->pool, k->w->n_held, measure_held, k, err);

    *held = relative_loss(k, n - k->w->n_held, n);
    return st;
}

/* --- W_O by least squares --- */

/* O^T O and O^T target of one of the sums' windows. */
static mls_status add_normal(void *arg, size_t job, size_t worker, mls_err *err)
{
    const healing *k = arg;
    const size_t T = k->w->T, E = k->w->E, m = k->columns;
    const float *bo = k->p.output.b == MLS_NO_ARRAY ? NULL : k->theta + k->p.output.b;
    double *normal = k->normal + job * m * (m + E);
    double *rows = mls_calloc3(T, m + E, 1, sizeof *rows);
    size_t first, last;
    mls_status st = rows ? MLS_OK : mls_fail(err, MLS_E_NOMEM, "no memory");

    part_of(k, job, &first, &last);
    memset(normal, 0, m * (m + E) * sizeof *normal);
    for (size_t i = first; !st && i < last; i++) {
        const float *o, *target = k->target + k->batch[i] * T * E;

        st = run_window(k, k->batch[i], worker, err);
        o = mls_heal_pass_heads(k->pass[worker]);
        for (size_t t = 0; t < T; t++) {
            for (size_t c = 0; c < m; c++)
                rows[t * (m + E) + c] = (double)o[t * m + c];
            for (size_t e = 0; e < E; e++)
                rows[t * (m + E) + m + e] =
                    (double)target[t * E + e] - (bo ? (double)bo[e] : 0);
        }
        cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)m, (int)(m + E),
                    (int)T, 1, rows, (int)(m + E), rows, (int)(m + E), 1, normal,
                    (int)(m + E));
    }
    free(rows);
    return st;
}

/*
 * W_O = argmin sum |W_O o + b - target|^2 + ridge |W_O - now|^2 over the training
 * windows, b as it is; ridge 1e-4 of the mean square of what heads read.
 */
static mls_status fit_output(healing *k, mls_err *err)
{
    const size_t E = k->w->E, m = k->columns, ld = m + E,
                 n_train = k->w->n - k->w->n_held;
    double *a = mls_calloc3(m, m, 1, sizeof *a), *b = mls_calloc3(m, E, 1, sizeof *b);
    float *wo = k->theta + k->p.output.w;
    double trace = 0, ridge;
    mls_status st = a && b ? MLS_OK : mls_fail(err, MLS_E_NOMEM, "no memory");

    k->batch = k->order;
    k->n_batch = n_train;
    if (!st)
        st = mls_pool_run(k->pool, SUMS, add_normal, k, err);
    if (st)
        goto done;
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < m; j++)
            for (size_t s = 0; s < SUMS; s++)
                a[i * m + j] += k->normal[(s * m + i) * ld + j];
        for (size_t e = 0; e < E; e++)
            for (size_t s = 0; s < SUMS; s++)
                b[i * E + e] += k->normal[(s * m + i) * ld + m + e];
        trace += a[i * m + i];
    }
    ridge = 1e-4 * trace / (double)m;
    for (size_t i = 0; i < m; i++) {
        a[i * m + i] += ridge;
        for (size_t e = 0; e < E; e++)
            b[i * E + e] += ridge * (double)wo[e * m + i];
    }
    if (LAPACKE_dposv(LAPACK_ROW_MAJOR, 'U', (int)m, (int)E, a, (int)m, b, (int)E) !=
        0) {
        st = mls_fail(err, MLS_E_NUMERIC, "the least squares of W_O failed");
        goto done;
    }
    for (size_t i = 0; i < m; i++)
        for (size_t e = 0; e < E; e++)
            wo[e * m + i] = (float)b[i * E + e];

done:
    free(a);
    free(b);
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
static double against_start(const healing *k)
{
    double now = 0, then = 0;

    for (size_t i = 0; i < k->n_batch; i++) {
        now += k->loss[k->batch[i]];
        then += k->at_start[k->batch[i]];
    }
    return then > 0 ? now / then : 1;
}

/* The next batch: windows without return, shuffled anew each time round. */
static void next_batch(healing *k, size_t batch, size_t *next, mls_rng *rng)
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
static mls_status look(healing *k, mls_healed *out, mls_err *err)
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
static mls_status train(healing *k, mls_healed *out, mls_err *err)
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
        if ((st = mls_pool_run(k->pool, SUMS, add_gradients, k, err)) ||
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
static mls_status start_closed(healing *k, mls_healed *out, mls_err *err)
{
    const size_t n_train = k->w->n - k->w->n_held;
    float *start = mls_calloc3(k->p.n, 1, 1, sizeof *start);
    mls_status st = start ? held_loss(k, &out->held_before, err)
                          : mls_fail(err, MLS_E_NOMEM, "no memory to heal");

    if (st)
        goto done;
    memcpy(start, k->theta, k->p.n * sizeof *start);
    if ((st = fit_output(k, err)))
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
    healing k = {.w = w, .options = options, .pool = pool};
    double ignored;
    mls_status st = healing_new(&k, f, err);

    *out = (mls_healed){0};
    for (size_t i = 0; !st && i < w->n - w->n_held; i++)
        k.order[i] = i;
    if (st || (st = choose_coordinates(&k, f, err)) ||
        (st = start_closed(&k, out, err)) || (st = train(&k, out, err)))
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
    st = turn_parameters(&k, k.theta, k.in_back, k.cost_back, err);
    if (!st)
        mls_parameters_scatter(&k.p, k.theta);

done:
    healing_free(&k);
    return st;
}
