#include "bench/evaluate/evaluate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "analysis/latent/output_error.h"
#include "analysis/model/forward.h"
#include "analysis/numeric/kernels.h"
#include "common/base/checked.h"

enum {
    HEAD_ROWS = 32,     /* positions whose logits are in memory at once */
    OUTPUT_WINDOWS = 8, /* of the capture, on which outputs of forms are computed */
    DEFAULT_STATES_GIB = 4,
};

void mls_evaluation_free(mls_evaluation *e)
{
    free(e->original.seq_nll);
    free(e->original.seq_kl);
    free(e->original.layout);
    free(e->original.predicted);
    for (size_t i = 0; e->variant && i < e->n; i++) {
        free(e->variant[i].seq_nll);
        free(e->variant[i].seq_kl);
        free(e->variant[i].layout);
        free(e->variant[i].predicted);
    }
    free(e->variant);
    *e = (mls_evaluation){0};
}

/* Final norm and output matrix. */
typedef struct {
    float *norm, *head;
    bool owned;
} output_head;

/* Everything one pass over the weights needs. */
typedef struct {
    const mls_method_input *in;
    const mls_config *config;
    const mls_corpus *corpus;
    const mls_variant *variant; /* of this pass */
    size_t n;
    const mls_evaluate_options *options;
    const mls_progress *progress;
    double done, total; /* units of work for the progress: layers times variants */

    mls_states original;
    mls_states *states;       /* (n) */
    mls_ready_scheme **ready; /* (n), equal schemes share one: see scheme_of */
    size_t *scheme_of;        /* (n) index of the first variant with this scheme */
    bool *kept;               /* (n, L) a later layer shares this layer's cache */
    size_t *begins;           /* (n) first layer that does not run as the original's */
    mls_plain plain;
    mls_latent_runner **runner; /* (n) */

    output_head *out; /* (n + 1) of each variant, the original last */
    size_t *row;      /* (N + 1) first scored position of each sequence, counted on */
    float *kl;        /* (n, scored) every position's KL */
    double *seq_nll;  /* (n + 1, N), the original last */
    double *seq_kl;   /* (n, N) */
    double *seq_top1; /* (n, N) */
    float **logits;   /* per worker: (2, HEAD_ROWS, V), then (HEAD_ROWS, E) */
    double **prob;    /* per worker: (HEAD_ROWS, V) */
    mls_quality *quality; /* (n) of this pass */
} pass;

/* Positions of a sequence of T tokens that are scored: first .. T-2. */
static size_t first_scored(const pass *p, size_t T)
{
    return p->options->scored == MLS_SCORE_SECOND_HALF ? T / 2 : 0;
}

static void pass_free(pass *p)
{
    const size_t workers = p->in->pool ? mls_pool_threads(p->in->pool) : 0;

    mls_states_free(&p->original);
    for (size_t i = 0; i < p->n; i++) {
        if (p->states)
            mls_states_free(&p->states[i]);
        if (p->ready)
            mls_ready_scheme_free(p->ready[i]);
        if (p->runner)
            mls_latent_runner_free(p->runner[i]);
    }
    for (size_t i = 0; p->out && i <= p->n; i++)
        if (p->out[i].owned) {
            free(p->out[i].norm);
            free(p->out[i].head);
        }
    for (size_t w = 0; w < workers; w++) {
        if (p->logits)
            free(p->logits[w]);
        if (p->prob)
            free(p->prob[w]);
    }
    mls_plain_free(&p->plain);
    free(p->states);
    free(p->ready);
    free(p->scheme_of);
    free(p->kept);
    free(p->begins);
    free(p->runner);
    free(p->out);
    free(p->row);
    free(p->kl);
    free(p->seq_nll);
    free(p->seq_kl);
    free(p->seq_top1);
    free(p->logits);
    free(p->prob);
}

static double seconds_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The embeddings that a variant begins with. */
static mls_status begin_states(pass *p, size_t i, mls_err *err)
{
    const mls_model *body = mls_scheme_body(p->ready[p->scheme_of[i]], SIZE_MAX);

    return body ? mls_states_embed(&p->states[i], body, p->corpus, err)
                : mls_states_copy(&p->states[i], &p->original, err);
}

static mls_status pass_new(pass *p, mls_err *err)
{
    const size_t n = p->n, N = p->corpus->N, V = p->config->V, E = p->config->E;
    const size_t workers = mls_pool_threads(p->in->pool);
    mls_status st;

    p->states = mls_calloc3(n, 1, 1, sizeof *p->states);
    p->ready = mls_calloc3(n, 1, 1, sizeof(void *));
    p->runner = mls_calloc3(n, 1, 1, sizeof(void *));
    p->scheme_of = mls_calloc3(n, 1, 1, sizeof *p->scheme_of);
    p->kept = mls_calloc3(n, p->config->L, 1, sizeof *p->kept);
    p->begins = mls_calloc3(n, 1, 1, sizeof *p->begins);
    p->row = mls_calloc3(N + 1, 1, 1, sizeof *p->row);
    p->seq_nll = mls_calloc3(n + 1, N, 1, sizeof *p->seq_nll);
    p->seq_kl = mls_calloc3(n, N, 1, sizeof *p->seq_kl);
    p->seq_top1 = mls_calloc3(n, N, 1, sizeof *p->seq_top1);
    p->out = mls_calloc3(n + 1, 1, 1, sizeof *p->out);
    p->logits = mls_calloc3(workers, 1, 1, sizeof(void *));
    p->prob = mls_calloc3(workers, 1, 1, sizeof(void *));
    if (!p->states || !p->ready || !p->runner || !p->scheme_of || !p->kept ||
        !p->begins || !p->row || !p->seq_nll || !p->seq_kl || !p->seq_top1 || !p->out ||
        !p->logits || !p->prob)
        return mls_fail(err, MLS_E_NOMEM, "no memory to evaluate %zu settings", n);
    for (size_t i = 0; i < N; i++) {
        const size_t T = p->corpus->start[i + 1] - p->corpus->start[i];
        const size_t first = first_scored(p, T);

        p->row[i + 1] = p->row[i] + (T > first + 1 ? T - 1 - first : 0);
        if (p->row[i + 1] == p->row[i])
            return mls_fail(err, MLS_E_INPUT,
                            "sequence %zu has %zu tokens, too few to score", i, T);
    }
    p->kl = mls_calloc3(n, p->row[N], 1, sizeof *p->kl);
    if (!p->kl)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the KL of %zu positions",
                        p->row[N]);
    for (size_t w = 0; w < workers; w++) {
        p->logits[w] = mls_calloc3(2 * V + E, HEAD_ROWS, 1, sizeof(float));
        p->prob[w] = mls_calloc3(V, HEAD_ROWS, 1, sizeof(double));
        if (!p->logits[w] || !p->prob[w])
            return mls_fail(err, MLS_E_NOMEM, "no memory for logits of %zu tokens", V);
    }
    st = mls_states_embed(&p->original, p->in->model, p->corpus, err);
    if (!st)
        st = mls_plain_new(&p->plain, p->config, p->original.T_max, workers, err);
    for (size_t i = 0; !st && i < n; i++) {
        size_t j = 0;

        while (p->variant[j].scheme != p->variant[i].scheme)
            j++;
        p->scheme_of[i] = j;
        if (j == i) {
            const double start = seconds_now();

            st = mls_scheme_prepare(&p->ready[i], p->variant[i].scheme, p->in, err);
            p->quality[i].seconds += seconds_now() - start;
        }
        if (!st)
            st = mls_latent_runner_new(&p->runner[i], p->original.T_max, workers,
                                       p->options->absorbed, err);
        /* A variant that differs from one layer on starts there. */
        if (!st && p->variant[i].only_layer < 0 && !p->options->forms_only)
            st = begin_states(p, i, err);
    }
    return st;
}

static bool is_converted(const mls_variant *v, size_t l)
{
    return v->only_layer < 0 || v->only_layer == (int)l;
}

static mls_status add_to_quality(mls_quality *q, const mls_latent_form *f, size_t L,
                                 mls_err *err)
{
    if (!q->layout) {
        q->layout = calloc(1, sizeof *q->layout);
        if (!q->layout)
            return mls_fail(err, MLS_E_NOMEM, "no memory for a cache layout");
        q->layout->L = L;
    }
    if (f->share_layer < 0)
        q->elements += mls_latent_elements(f);
    q->parameters += mls_latent_parameters(f);
    return mls_latent_layout(f, &q->layout->layer[f->layer], err);
}

/*
 * One variant through layer l. `form` is the scheme's, `own` the norms and MLP that go
 * with it; a variant that leaves this layer alone runs it plain, as plain_form where
 * its cache is wanted later.
 */
static mls_status run_variant(pass *p, size_t i, const mls_layer *layer,
                              const mls_layer *own, const mls_latent_form *form,
                              const mls_latent_form *plain_form, mls_err *err)
{
    const mls_variant *v = &p->variant[i];
    /* Every form is kept that a later one might share: forms say so by share_layer. */
    const bool keep = p->kept[i * p->config->L + layer->index];
    mls_status st;

    if (!is_converted(v, layer->index))
        form = plain_form;
    if (form == plain_form && !keep)
        return mls_layer_forward(p->config, layer, &p->states[i], mls_plain_attention,
                                 &p->plain, p->in->pool, err);
    st = mls_latent_runner_set(p->runner[i], form, keep ? &p->states[i] : NULL, err);
    if (!st)
        st = mls_layer_forward(p->config, form == plain_form ? layer : own,
                               &p->states[i], mls_latent_attention, p->runner[i],
                               p->in->pool, err);
    if (st)
        mls_fail_in(err, st, "%s", v->scheme->name);
    return st;
}

/* Errors of a form, for every variant of the pass that uses it in this layer. */
static mls_status predict(pass *p, size_t i, const mls_layer *layer,
                          const mls_layer_stats *stats,
                          const mls_output_windows *windows,
                          const mls_latent_form *form, mls_err *err)
{
    const size_t L = p->config->L, l = layer->index;
    mls_predicted predicted;
    mls_status st = mls_predict(form, p->config, layer, stats, p->original.T_max,
                                p->in->pool, NULL, &predicted, err);

    if (!st && windows->n > 0)
        st = mls_output_error(&predicted.attention, windows, form, err);
    for (size_t j = i; !st && j < p->n; j++) {
        mls_quality *q = &p->quality[j];

        if (p->scheme_of[j] != i)
            continue;
        if (!q->predicted)
            q->predicted = mls_calloc3(L, 1, 1, sizeof *q->predicted);
        if (!q->predicted)
            return mls_fail(err, MLS_E_NOMEM, "no memory for predicted errors");
        if (is_converted(&p->variant[j], l))
            q->predicted[l] = predicted;
    }
    return st;
}

/* Beyond a rounding to bfloat16. */
static bool differs(const float *x, const float *y, size_t n)
{
    for (size_t i = 0; x && y && i < n; i++)
        if (!(fabsf(x[i] - y[i]) <= fabsf(y[i]) / 256))
            return true;
    return false;
}

/*
 * The scheme's own norms and MLP of a layer, where it has such; else *own stays {0}.
 * Variants of a scheme whose weights are not the original's are marked as trained.
 */
static mls_status read_own(mls_layer *own, pass *p, size_t i, const mls_layer *layer,
                           mls_err *err)
{
    const size_t E = p->config->E, F = p->config->F;
    const mls_model *body = mls_scheme_body(p->ready[i], layer->index);
    const mls_status st = body ? mls_model_body(body, layer->index, own, err) : MLS_OK;

    if (!body || st)
        return st;
    if (differs(own->attn_norm, layer->attn_norm, E) ||
        differs(own->mlp_norm, layer->mlp_norm, E) ||
        differs(own->w_gate, layer->w_gate, F * E) ||
        differs(own->w_up, layer->w_up, F * E) ||
        differs(own->w_down, layer->w_down, E * F))
        for (size_t j = i; j < p->n; j++)
            if (p->scheme_of[j] == i)
                p->quality[j].trained = true;
    return MLS_OK;
}

static mls_status run_layer(pass *p, size_t l, mls_err *err)
{
    const size_t L = p->config->L;
    mls_layer layer = {0}, own = {0};
    mls_layer_stats stats = {0};
    mls_latent_form form = {0}, plain_form = {0};
    mls_output_windows windows = {0};
    char what[64];
    mls_status st = mls_model_layer(p->in->model, l, &layer, err);

    if (!st && p->in->capture)
        st = mls_capture_stats(p->in->capture, l, &stats, err);
    if (!st)
        st = mls_latent_identity(&plain_form, p->config, &layer, err);
    if (!st && p->options->predict && p->in->capture &&
        mls_capture_windows(p->in->capture) > 0)
        st = mls_output_windows_load(&windows, p->in->capture, &plain_form,
                                     OUTPUT_WINDOWS, p->in->pool, err);
    p->plain.layer = &layer;
    snprintf(what, sizeof what, "layer %zu of %zu", l + 1, L);
    for (size_t i = 0; !st && i < p->n; i++)
        if (p->variant[i].only_layer >= 0 && p->begins[i] == l &&
            !p->options->forms_only)
            st = mls_states_copy(&p->states[i], &p->original, err);
    for (size_t i = 0; !st && i < p->n; i++) {
        if (p->scheme_of[i] != i)
            continue;
        /* Build once, run every variant of this scheme. */
        double start = seconds_now();

        st = mls_scheme_build(p->ready[i], &layer, p->in->capture ? &stats : NULL,
                              &form, err);
        p->quality[i].seconds += seconds_now() - start;
        if (!st && p->options->predict && p->in->capture)
            st = predict(p, i, &layer, &stats, &windows, &form, err);
        if (!st)
            st = read_own(&own, p, i, &layer, err);
        for (size_t j = i; !st && j < p->n; j++) {
            if (p->scheme_of[j] != i || p->begins[j] > l)
                continue;
            st = mls_progress_step(p->progress, what, p->done, p->total, err);
            start = seconds_now();
            if (!st && !p->options->forms_only)
                st = run_variant(p, j, &layer, own.attn_norm ? &own : &layer, &form,
                                 &plain_form, err);
            p->quality[j].seconds += seconds_now() - start;
            p->done++;
        }
        for (size_t j = i; !st && j < p->n; j++)
            if (p->scheme_of[j] == i)
                st = add_to_quality(
                    &p->quality[j],
                    is_converted(&p->variant[j], l) ? &form : &plain_form, L, err);
        mls_latent_free(&form);
        mls_layer_free(&own);
    }
    if (!st && !p->options->forms_only)
        st = mls_layer_forward(p->config, &layer, &p->original, mls_plain_attention,
                               &p->plain, p->in->pool, err);
    mls_latent_free(&form);
    mls_latent_free(&plain_form);
    mls_output_windows_free(&windows);
    mls_layer_stats_free(&stats);
    mls_layer_free(&own);
    mls_layer_free(&layer);
    return st;
}

static size_t argmax(const float *x, size_t n)
{
    size_t best = 0;

    for (size_t i = 1; i < n; i++)
        if (x[i] > x[best])
            best = i;
    return best;
}

/* Logits of rows h (n, E). */
static void make_logits(const pass *p, const output_head *out, float *logits, float *x,
                        const float *h, size_t n)
{
    const mls_config *c = p->config;

    mls_rmsnorm(x, h, out->norm, c->rms_eps, n, c->E);
    mls_linear(logits, x, out->head, NULL, n, c->V, c->E);
}

/* sum_v p(v) (a(v) - b(v)), a and b logits. */
static double weighted_difference(const double *prob, const float *a, const float *b,
                                  size_t V)
{
    double sum[8] = {0};
    size_t v = 0;

    for (; v + 8 <= V; v += 8)
        for (size_t j = 0; j < 8; j++)
            sum[j] += prob[v + j] * ((double)a[v + j] - (double)b[v + j]);
    for (; v < V; v++)
        sum[0] += prob[v] * ((double)a[v] - (double)b[v]);
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) +
           ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

/*
 * Score one block of positions of a sequence: the original's distributions once, then
 * every variant against them. KL = sum p (a - b) - lse(a) + lse(b) with logits a, b.
 */
static mls_status score_block(pass *p, size_t sequence, size_t t, size_t n,
                              size_t worker, mls_err *err)
{
    const mls_config *c = p->config;
    const size_t V = c->V, N = p->corpus->N;
    const size_t at = p->corpus->start[sequence] + t; /* of the first position */
    const size_t T = p->corpus->start[sequence + 1] - p->corpus->start[sequence];
    const int32_t *next = p->corpus->ids + at + 1;
    float *a = p->logits[worker], *b = a + HEAD_ROWS * V, *x = b + HEAD_ROWS * V;
    double *prob = p->prob[worker];
    double lse_a[HEAD_ROWS];
    size_t top_a[HEAD_ROWS];
    const size_t first_row = p->row[sequence] + t - first_scored(p, T);

    make_logits(p, &p->out[p->n], a, x, p->original.h + at * c->E, n);
    for (size_t j = 0; j < n; j++) {
        const float *row = a + j * V;

        lse_a[j] = mls_logsumexp(row, V);
        top_a[j] = argmax(row, V);
        mls_exp(prob + j * V, row, lse_a[j], V);
        p->seq_nll[p->n * N + sequence] += lse_a[j] - (double)row[next[j]];
        if (!isfinite(lse_a[j]))
            return mls_fail(err, MLS_E_NUMERIC,
                            "the original's logits are not finite in sequence %zu at "
                            "token %zu",
                            sequence, t + j);
    }
    for (size_t i = 0; i < p->n; i++) {
        make_logits(p, &p->out[i], b, x, p->states[i].h + at * c->E, n);
        for (size_t j = 0; j < n; j++) {
            const float *row = b + j * V;
            const double lse = mls_logsumexp(row, V);
            const double kl =
                weighted_difference(prob + j * V, a + j * V, row, V) - lse_a[j] + lse;

            if (!isfinite(kl))
                return mls_fail(
                    err, MLS_E_NUMERIC,
                    "%s: logits are not finite in sequence %zu at token %zu",
                    p->variant[i].scheme->name, sequence, t + j);
            p->kl[i * p->row[N] + first_row + j] = (float)kl;
            p->seq_kl[i * N + sequence] += kl;
            p->seq_nll[i * N + sequence] += lse - (double)row[next[j]];
            p->seq_top1[i * N + sequence] += argmax(row, V) == top_a[j];
        }
    }
    return MLS_OK;
}

static mls_status score_sequence(void *arg, size_t sequence, size_t worker,
                                 mls_err *err)
{
    pass *p = arg;
    const size_t T = p->corpus->start[sequence + 1] - p->corpus->start[sequence];
    const size_t N = p->corpus->N;
    const double scored = (double)(p->row[sequence + 1] - p->row[sequence]);
    mls_status st = MLS_OK;

    for (size_t t = first_scored(p, T); !st && t + 1 < T; t += HEAD_ROWS) {
        const size_t left = T - 1 - t;

        st = score_block(p, sequence, t, left < HEAD_ROWS ? left : HEAD_ROWS, worker,
                         err);
    }
    for (size_t i = 0; i <= p->n; i++)
        p->seq_nll[i * N + sequence] /= scored;
    for (size_t i = 0; i < p->n; i++) {
        p->seq_kl[i * N + sequence] /= scored;
        p->seq_top1[i * N + sequence] /= scored;
    }
    return st;
}

static double *copy_doubles(const double *x, size_t n)
{
    double *y = mls_calloc3(n, 1, 1, sizeof *y);

    if (y)
        memcpy(y, x, n * sizeof *y);
    return y;
}

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

static mls_status summarize(pass *p, mls_quality *original, mls_err *err)
{
    const size_t N = p->corpus->N, scored = p->row[N];
    const double *nll = p->seq_nll + p->n * N; /* the original's */

    if (!original->seq_nll) {
        original->N = N;
        original->n_scored = scored;
        original->nll = mls_mean_of(nll, N);
        original->seq_nll = copy_doubles(nll, N);
        original->seq_kl = mls_calloc3(N, 1, 1, sizeof(double));
        original->top1 = (mls_mean){.mean = 1};
        if (!original->seq_nll || !original->seq_kl)
            return mls_fail(err, MLS_E_NOMEM, "no memory for the results");
    }
    for (size_t i = 0; i < p->n; i++) {
        mls_quality *q = &p->quality[i];
        float *kl = p->kl + i * scored;

        q->N = N;
        q->n_scored = scored;
        q->nll = mls_mean_of(p->seq_nll + i * N, N);
        q->kl = mls_mean_of(p->seq_kl + i * N, N);
        q->top1 = mls_mean_of(p->seq_top1 + i * N, N);
        q->dnll = mls_mean_of_difference(p->seq_nll + i * N, nll, N);
        qsort(kl, scored, sizeof *kl, by_value);
        q->kl_median = mls_quantile_sorted(kl, scored, 0.5);
        q->kl_90 = mls_quantile_sorted(kl, scored, 0.9);
        q->kl_95 = mls_quantile_sorted(kl, scored, 0.95);
        q->kl_99 = mls_quantile_sorted(kl, scored, 0.99);
        q->kl_999 = mls_quantile_sorted(kl, scored, 0.999);
        q->kl_max = (double)kl[scored - 1];
        q->seq_nll = copy_doubles(p->seq_nll + i * N, N);
        q->seq_kl = copy_doubles(p->seq_kl + i * N, N);
        if (!q->seq_nll || !q->seq_kl)
            return mls_fail(err, MLS_E_NOMEM, "no memory for the results");
    }
    return MLS_OK;
}

/*
 * Which layers of the pass' schemes are shared by later ones, and where each variant
 * parts from the original: at its only layer, or at the one whose cache that shares.
 */
static mls_status find_kept_layers(pass *p, mls_err *err)
{
    mls_status st = MLS_OK;

    for (size_t i = 0; !st && i < p->n; i++) {
        const int only = p->variant[i].only_layer;
        int share[MLS_LAYERS_MAX];

        st = mls_scheme_shares(p->ready[p->scheme_of[i]], share, err);
        for (size_t l = 0; !st && l < p->config->L; l++)
            if (share[l] >= 0 && is_converted(&p->variant[i], l))
                p->kept[i * p->config->L + (size_t)share[l]] = true;
        if (!st && only >= 0)
            p->begins[i] = (size_t)(share[only] >= 0 ? share[only] : only);
    }
    return st;
}

/* The original's head for every variant that has none of its own. */
static mls_status read_heads(pass *p, mls_err *err)
{
    output_head *original = &p->out[p->n];
    mls_status st = mls_model_head(p->in->model, &original->norm, &original->head, err);

    original->owned = !st;
    for (size_t i = 0; !st && i < p->n; i++) {
        const mls_model *body = mls_scheme_body(p->ready[p->scheme_of[i]], SIZE_MAX);

        p->out[i] = (output_head){original->norm, original->head, false};
        if (!body || p->variant[i].only_layer >= 0)
            continue;
        st = mls_model_head(body, &p->out[i].norm, &p->out[i].head, err);
        p->out[i].owned = !st;
    }
    return st;
}

/* Without a run there is nothing to say about the text. */
static void leave_unmeasured(pass *p)
{
    const mls_mean none = {NAN, NAN};

    for (size_t i = 0; i < p->n; i++)
        p->quality[i].nll = p->quality[i].kl = p->quality[i].top1 = p->quality[i].dnll =
            none;
}

static mls_status run_pass(pass *p, mls_quality *original, mls_err *err)
{
    mls_status st = pass_new(p, err);

    if (!st)
        st = find_kept_layers(p, err);
    for (size_t l = 0; !st && l < p->config->L; l++)
        st = run_layer(p, l, err);
    if (p->options->forms_only) {
        leave_unmeasured(p);
        pass_free(p);
        return st;
    }
    if (!st)
        st = mls_progress_step(p->progress, "comparing logits", p->done, p->total, err);
    if (!st)
        st = read_heads(p, err);
    if (!st)
        st = mls_pool_run(p->in->pool, p->corpus->N, score_sequence, p, err);
    p->done += (double)p->n;
    if (!st)
        st = summarize(p, original, err);
    pass_free(p);
    return st;
}

mls_status mls_evaluate(mls_evaluation *out, const mls_method_input *in,
                        const mls_corpus *corpus, const mls_variant *variants, size_t n,
                        const mls_evaluate_options *options,
                        const mls_progress *progress, mls_err *err)
{
    const mls_evaluate_options defaults = {0};
    const mls_config *config = mls_model_config(in->model);
    mls_status st = MLS_OK;
    double done = 0;

    if (!options)
        options = &defaults;
    *out =
        (mls_evaluation){.n = n, .variant = mls_calloc3(n, 1, 1, sizeof *out->variant)};
    if (!out->variant)
        return mls_fail(err, MLS_E_NOMEM, "no memory to evaluate %zu settings", n);
    const uint64_t limit = options->states_bytes ? options->states_bytes
                                                 : (uint64_t)DEFAULT_STATES_GIB << 30;
    const uint64_t each =
        (uint64_t)corpus->start[corpus->N] * config->E * sizeof(float);
    size_t per_pass = each && limit / each > 1 ? (size_t)(limit / each) - 1 : 1;

    if (per_pass > n)
        per_pass = n;
    for (size_t first = 0; !st && (first < n || (n == 0 && first == 0));
         first += per_pass ? per_pass : 1) {
        pass p = {.in = in,
                  .config = config,
                  .corpus = corpus,
                  .variant = variants + first,
                  .n = n - first < per_pass ? n - first : per_pass,
                  .options = options,
                  .progress = progress,
                  .done = done,
                  .total = (double)n * (double)(config->L + 1),
                  .quality = out->variant + first};

        st = run_pass(&p, &out->original, err);
        done = p.done;
    }
    if (!st)
        st = mls_progress_step(progress, "evaluated", 1, 1, err);
    if (st)
        mls_evaluation_free(out);
    return st;
}
