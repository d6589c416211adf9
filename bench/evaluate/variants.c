/*
 * Variants of the model, run through the layers side by side: each layer's weights are
 * read once, each scheme's form of it is built once, several at a time on all threads,
 * and every variant of that scheme passes through. So memory holds one layer, a few
 * forms and the hidden states of all variants. A variant that differs from one layer on
 * starts there, with a copy of the original's states.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "analysis/latent/output_error.h"
#include "bench/evaluate/evaluate_inner.h"
#include "bench/frame/folded_norm.h"
#include "common/base/checked.h"

enum {
    OUTPUT_WINDOWS = 8, /* of the capture, on which outputs of forms are computed */
    FORMS_BYTES = 256 << 20, /* of a layer, in memory at once */
};

void mls_pass_free(mls_pass *p)
{
    for (size_t i = 0; p->run && i < p->n; i++) {
        mls_states_free(&p->run[i].states);
        mls_sequential_free(&p->run[i].sequential);
        mls_ready_scheme_free(p->run[i].ready);
        mls_latent_runner_free(p->run[i].runner);
    }
    free(p->run);
    mls_own_attention_free(&p->own);
    mls_states_free(&p->original);
}

static double seconds_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The scheme of a variant, made ready. */
static const mls_ready_scheme *scheme_of(const mls_pass *p, size_t i)
{
    return p->run[p->run[i].scheme_of].ready;
}

static bool is_refused(const mls_pass *p, size_t i)
{
    return p->quality[i].refused != NULL;
}

/*
 * What this model refuses ends the variants of that scheme alone, where that was asked:
 * they run no further, with the sentence as their reason. Other failures stay.
 */
static mls_status refuse_alone(mls_pass *p, size_t scheme, mls_status st, mls_err *err)
{
    if (!p->options->keep_going || (st != MLS_E_INPUT && st != MLS_E_NUMERIC))
        return st;
    for (size_t i = scheme; i < p->n; i++) {
        if (p->run[i].scheme_of != scheme)
            continue;
        if (mls_quality_refuse(&p->quality[i], err->text))
            return mls_fail(err, MLS_E_NOMEM, "no memory for what was refused");
        mls_states_free(&p->run[i].states);
    }
    *err = (mls_err){0};
    return MLS_OK;
}

bool mls_pass_is_over(const mls_pass *p)
{
    size_t refused = 0;

    for (size_t i = 0; i < p->n; i++)
        refused += is_refused(p, i);
    return p->n > 0 && refused == p->n && p->last;
}

/* With a copy of the original's states before its first own layer. */
static bool starts_later(const mls_pass *p, size_t i)
{
    return p->variant[i].only_layer >= 0 || p->run[i].begins > 0;
}

/* The embeddings that a variant begins with. */
static mls_status begin_states(mls_pass *p, size_t i, mls_err *err)
{
    const mls_model *body = mls_scheme_body(scheme_of(p, i), SIZE_MAX);

    return body ? mls_states_embed(&p->run[i].states, body, p->corpus, err)
                : mls_states_copy(&p->run[i].states, &p->original, err);
}

static bool is_converted(const mls_variant *v, size_t l)
{
    return v->only_layer < 0 || v->only_layer == (int)l;
}

/* Layers before the first that does not run, or is not kept, as the original's. */
static size_t plain_layers(const mls_pass *p, size_t i)
{
    size_t l = 0;

    while (l + 1 < p->config->L && !p->run[i].kept[l] &&
           mls_scheme_is_original(scheme_of(p, i), l))
        l++;
    return l;
}

/*
 * Which layers of the pass' schemes are shared by later ones, and where each variant
 * parts from the original: at its only layer, or at the one whose cache that shares.
 */
static mls_status find_kept_layers(mls_pass *p, mls_err *err)
{
    mls_status st = MLS_OK;

    for (size_t i = 0; !st && i < p->n; i++) {
        const int only = p->variant[i].only_layer;
        int share[MLS_LAYERS_MAX];

        if (is_refused(p, i))
            continue;
        st = mls_scheme_shares(scheme_of(p, i), share, err);
        for (size_t l = 0; !st && l < p->config->L; l++)
            if (share[l] >= 0 && is_converted(&p->variant[i], l))
                p->run[i].kept[share[l]] = true;
        if (!st && only >= 0)
            p->run[i].begins = (size_t)(share[only] >= 0 ? share[only] : only);
        else if (!st && !mls_scheme_body(scheme_of(p, i), SIZE_MAX))
            p->run[i].begins = plain_layers(p, i);
    }
    return st;
}

mls_status mls_pass_start(mls_pass *p, mls_err *err)
{
    const size_t workers = mls_pool_threads(p->in->pool);
    mls_status st;

    p->run = mls_calloc3(p->n, 1, 1, sizeof *p->run);
    if (!p->run)
        return mls_fail(err, MLS_E_NOMEM, "no memory to evaluate %zu settings", p->n);
    st = mls_states_embed(&p->original, p->in->model, p->corpus, err);
    if (!st)
        st = mls_own_attention_new(&p->own, p->config, p->original.T_max, workers, err);
    for (size_t i = 0; i < p->n; i++)
        while (p->variant[p->run[i].scheme_of].scheme != p->variant[i].scheme)
            p->run[i].scheme_of++;
    for (size_t i = 0; !st && i < p->n; i++) {
        const double start = seconds_now();

        if (p->run[i].scheme_of != i)
            continue;
        st = mls_scheme_prepare(&p->run[i].ready, p->variant[i].scheme, p->in, err);
        p->quality[i].seconds += seconds_now() - start;
        st = refuse_alone(p, i, st, err);
    }
    for (size_t i = 0; !st && i < p->n; i++) {
        if (is_refused(p, i))
            continue;
        st = mls_latent_runner_new(&p->run[i].runner, p->original.T_max, workers,
                                   p->options->absorbed, err);
        if (!st)
            mls_latent_runner_compute(p->run[i].runner,
                                      mls_model_compute(p->in->model));
        if (!st && p->options->calibration)
            st = mls_sequential_new(&p->run[i].sequential, p, err);
    }
    if (!st)
        st = find_kept_layers(p, err);
    /* A variant that differs from one layer on starts there. */
    for (size_t i = 0; !st && i < p->n; i++)
        if (!is_refused(p, i) && !starts_later(p, i) && !p->options->forms_only)
            st = begin_states(p, i, err);
    return st;
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
static mls_status run_variant(mls_pass *p, size_t i, const mls_layer *layer,
                              const mls_layer *own, const mls_latent_form *form,
                              const mls_latent_form *plain_form, mls_err *err)
{
    const mls_variant *v = &p->variant[i];
    /* Every form is kept that a later one might share: forms say so by share_layer. */
    const bool keep = p->run[i].kept[layer->index];
    mls_status st;

    if (!is_converted(v, layer->index))
        form = plain_form;
    if (form->own || (form == plain_form && !keep))
        return mls_layer_forward(p->config, layer, &p->run[i].states,
                                 mls_own_attention_run, &p->own, p->in->pool, err);
    st = mls_latent_runner_set(p->run[i].runner, form, keep ? &p->run[i].states : NULL,
                               err);
    if (!st)
        st = mls_layer_forward(p->config, form == plain_form ? layer : own,
                               &p->run[i].states, mls_latent_attention,
                               p->run[i].runner, p->in->pool, err);
    if (st)
        mls_fail_in(err, st, "%s", v->scheme->name);
    return st;
}

/* Errors of a form, for every variant of the pass that uses it in this layer. */
static mls_status predict(mls_pass *p, size_t i, const mls_layer *layer,
                          const mls_layer_stats *stats, mls_own_moments *own,
                          const mls_output_windows *windows,
                          const mls_latent_form *form, mls_err *err)
{
    const size_t L = p->config->L, l = layer->index;
    mls_predicted predicted;
    mls_status st = mls_predict_form(form, p->config, layer, stats, own,
                                     p->original.T_max, p->in->pool, &predicted, err);

    if (!st && windows->n > 0)
        st = mls_output_error(&predicted.attention, windows, form, err);
    for (size_t j = i; !st && j < p->n; j++) {
        mls_quality *q = &p->quality[j];

        if (p->run[j].scheme_of != i)
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
static mls_status read_own(mls_layer *own, mls_pass *p, size_t i,
                           const mls_layer *layer, mls_err *err)
{
    const size_t E = p->config->E, F = p->config->F;
    const mls_model *body = mls_scheme_body(p->run[i].ready, layer->index);
    const mls_status st = body ? mls_model_body(body, layer->index, own, err) : MLS_OK;

    if (!body || st)
        return st;
    if (differs(own->attn_norm, layer->attn_norm, E) ||
        differs(own->mlp_norm, layer->mlp_norm, E) ||
        differs(own->w_gate, layer->w_gate, F * E) ||
        differs(own->w_up, layer->w_up, F * E) ||
        differs(own->w_down, layer->w_down, E * F))
        for (size_t j = i; j < p->n; j++)
            if (p->run[j].scheme_of == i)
                p->quality[j].trained = true;
    return MLS_OK;
}

/* Forms of one layer, made side by side: jobs are schemes. */
typedef struct {
    mls_pass *p;
    const mls_layer *layer;
    const mls_layer_stats *stats; /* NULL without a capture */
    mls_own_moments own;          /* of the layer, where errors are predicted */
    mls_layer_stats *read;        /* (n) of what each scheme's layers below make of the
                                     calibration text; {0}: not asked for */
    size_t *scheme;               /* (n) first runs of the schemes */
    mls_latent_form *form;        /* (n) */
    mls_status *st;               /* (n), with its sentence: one failure may be alone */
    mls_err *err;                 /* (n) */
    size_t n;
} layer_forms;

static void layer_forms_free(layer_forms *f)
{
    for (size_t k = 0; f->form && k < f->n; k++)
        mls_latent_free(&f->form[k]);
    for (size_t k = 0; f->read && k < f->n; k++)
        mls_layer_stats_free(&f->read[k]);
    mls_own_moments_free(&f->own);
    mls_free_all(f->read, f->scheme, f->form, f->st, f->err);
}

static mls_status layer_forms_new(layer_forms *f, mls_pass *p, const mls_layer *layer,
                                  const mls_layer_stats *stats, mls_err *err)
{
    *f = (layer_forms){.p = p,
                       .layer = layer,
                       .stats = p->in->capture ? stats : NULL,
                       .scheme = mls_calloc3(p->n, 1, 1, sizeof *f->scheme),
                       .read = mls_calloc3(p->n, 1, 1, sizeof *f->read),
                       .form = mls_calloc3(p->n, 1, 1, sizeof *f->form),
                       .st = mls_calloc3(p->n, 1, 1, sizeof *f->st),
                       .err = mls_calloc3(p->n, 1, 1, sizeof *f->err)};
    if (!f->scheme || !f->read || !f->form || !f->st || !f->err)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu forms", p->n);
    for (size_t i = 0; i < p->n; i++)
        if (p->run[i].scheme_of == i && !is_refused(p, i))
            f->scheme[f->n++] = i;
    return MLS_OK;
}

typedef struct {
    layer_forms *f;
    size_t first;
    const mls_output_windows *windows;
    const mls_latent_form *plain_form;
} batch;

/* Forms to be made side by side. */
typedef struct {
    layer_forms *f;
    size_t *k, n; /* (n) */
} making;

static mls_status make_one(void *arg, size_t job, size_t worker, mls_err *err)
{
    const making *m = arg;
    layer_forms *f = m->f;
    const size_t k = m->k[job], i = f->scheme[k];
    const double start = seconds_now();

    (void)worker;
    (void)err;
    f->st[k] = mls_scheme_build(f->p->run[i].ready, f->layer,
                                f->read[k].block ? &f->read[k] : f->stats, &f->form[k],
                                &f->err[k]);
    f->p->quality[i].seconds += seconds_now() - start;
    return MLS_OK;
}

static const char *form_text(const layer_forms *f, size_t k)
{
    return mls_scheme_form_text(f->p->run[f->scheme[k]].ready, f->layer->index);
}

/* Does form k differ from one of first .. k-1 in its quantizers alone? */
static bool is_like_another(const layer_forms *f, size_t first, size_t k)
{
    const char *text = f->p->in->forms ? form_text(f, k) : NULL;

    for (size_t i = first; text && i < k; i++) {
        const char *other = form_text(f, i);

        if (other && strcmp(text, other) == 0)
            return true;
    }
    return false;
}

/*
 * Forms first .. first+n-1: of those that differ in quantizers alone first one of each,
 * then the others, which find it among the forms that are kept.
 */
static mls_status make_batch(layer_forms *f, size_t first, size_t n, mls_err *err)
{
    making one = {f, mls_calloc3(2 * n, 1, 1, sizeof *one.k), 0}, others = {f, NULL, 0};
    mls_status st = MLS_OK;

    if (!one.k)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu forms", n);
    others.k = one.k + n;
    for (size_t k = first; k < first + n; k++) {
        making *to = is_like_another(f, first, k) ? &others : &one;

        to->k[to->n++] = k;
    }
    st = mls_pool_run(f->p->in->pool, one.n, make_one, &one, err);
    if (!st)
        st = mls_pool_run(f->p->in->pool, others.n, make_one, &others, err);
    free(one.k);
    return st;
}

/* How many forms are in memory at once: a few for each thread, more where small. */
static size_t batch_size(const mls_pass *p)
{
    const mls_config *c = p->config;
    const size_t each = (2 * c->H * c->D * c->E + 1) * sizeof(float);
    const size_t fit = FORMS_BYTES / each, threads = mls_pool_threads(p->in->pool);

    return fit > threads ? fit : threads;
}

/* Runs the form's variants that are at work in this layer. */
static bool is_at_work(const mls_pass *p, size_t j, size_t scheme, size_t l)
{
    return p->run[j].scheme_of == scheme && p->run[j].begins <= l;
}

/* What is done with a form once it is there: errors, runs, sizes of its variants. */
static mls_status use_form(mls_pass *p, size_t i, const mls_layer *layer,
                           const mls_layer_stats *stats, mls_own_moments *moments,
                           const mls_output_windows *windows,
                           const mls_latent_form *form,
                           const mls_latent_form *plain_form, mls_err *err)
{
    const size_t l = layer->index, L = p->config->L;
    mls_layer own = {0};
    mls_status st = MLS_OK;

    if (p->options->predict && p->in->capture && !plain_form->own)
        st = predict(p, i, layer, stats, moments, windows, form, err);
    if (st)
        mls_fail_in(err, st, "%s, layer %zu", p->variant[i].scheme->name, l);
    if (!st)
        st = read_own(&own, p, i, layer, err);
    st = refuse_alone(p, i, st, err);
    for (size_t j = i; !st && !is_refused(p, i) && j < p->n; j++) {
        if (!is_at_work(p, j, i, l) || p->options->forms_only)
            continue;
        const double start = seconds_now();

        st = refuse_alone(p, i,
                          run_variant(p, j, layer, own.attn_norm ? &own : layer, form,
                                      plain_form, err),
                          err);
        p->quality[j].seconds += seconds_now() - start;
    }
    for (size_t j = i; !st && !is_refused(p, i) && j < p->n; j++)
        if (p->run[j].scheme_of == i)
            st = add_to_quality(&p->quality[j],
                                is_converted(&p->variant[j], l) ? form : plain_form, L,
                                err);
    mls_layer_free(&own);
    return st;
}

static mls_status use_one(void *arg, size_t job, size_t worker, mls_err *err)
{
    const batch *b = arg;
    layer_forms *f = b->f;
    const size_t k = b->first + job, i = f->scheme[k];
    mls_status st = MLS_OK;

    (void)worker;
    if (f->st[k]) {
        *err = f->err[k];
        st = refuse_alone(f->p, i, f->st[k], err);
    }
    return st || is_refused(f->p, i)
               ? st
               : use_form(f->p, i, f->layer, f->stats, &f->own, b->windows, &f->form[k],
                          b->plain_form, err);
}

/*
 * Forms first .. first+n-1 in use, as many at a time as there are threads: the few
 * windows of one would leave most of these without work.
 */
static mls_status use_batch(layer_forms *f, size_t first, size_t n,
                            const mls_output_windows *windows,
                            const mls_latent_form *plain_form, mls_err *err)
{
    mls_pass *p = f->p;
    const size_t at_once = mls_pool_threads(p->in->pool), l = f->layer->index;
    char what[64];
    mls_status st = MLS_OK;

    snprintf(what, sizeof what, "layer %zu of %zu", l + 1, p->config->L);
    for (size_t k = first; !st && k < first + n; k += at_once) {
        const size_t end = k + at_once < first + n ? k + at_once : first + n;
        batch b = {f, k, windows, plain_form};

        st = mls_progress_step(p->progress, what, p->done, p->total, err);
        if (!st)
            st = mls_pool_run(p->in->pool, end - k, use_one, &b, err);
        for (size_t of = k; of < end; of++)
            for (size_t j = f->scheme[of]; j < p->n; j++)
                p->done += is_at_work(p, j, f->scheme[of], l);
    }
    return st;
}

/* What predictions of all forms share, before several ask for it at once. */
static mls_status own_moments(layer_forms *f, const mls_latent_form *plain_form,
                              mls_err *err)
{
    const mls_pass *p = f->p;
    const mls_layer *w = f->layer;

    if (!p->options->predict || !p->in->capture || plain_form->own || w->q_norm ||
        w->kv_a)
        return MLS_OK;
    return mls_own_moments_new(&f->own, p->config, w, f->stats, p->in->pool, err);
}

static mls_status use_forms(layer_forms *f, const mls_output_windows *windows,
                            const mls_latent_form *plain_form, mls_err *err)
{
    const size_t size = batch_size(f->p);
    mls_status st = own_moments(f, plain_form, err);

    for (size_t first = 0; !st && first < f->n; first += size) {
        const size_t n = f->n - first < size ? f->n - first : size;

        for (size_t k = first; !st && f->p->options->calibration && k < first + n; k++)
            st = mls_sequential_stats(&f->read[k], &f->p->run[f->scheme[k]].sequential,
                                      f->p, f->layer, err);
        if (!st)
            st = make_batch(f, first, n, err);
        if (!st)
            st = use_batch(f, first, n, windows, plain_form, err);
        for (size_t k = first; k < first + n; k++) {
            const size_t i = f->scheme[k];

            if (!st && !is_refused(f->p, i) && f->p->options->calibration)
                st = mls_sequential_forward(&f->p->run[i].sequential, f->p, f->layer,
                                            &f->form[k],
                                            f->p->run[i].kept[f->layer->index], err);
            mls_layer_stats_free(&f->read[k]);
            mls_latent_free(&f->form[k]);
        }
    }
    return st;
}

static mls_status run_layer(mls_pass *p, size_t l, mls_err *err)
{
    mls_layer layer = {0};
    mls_layer_stats stats = {0};
    mls_latent_form plain_form = {0};
    mls_output_windows windows = {0};
    layer_forms forms = {0};
    mls_status st = mls_model_layer(p->in->model, l, &layer, err);

    if (!st && p->in->capture)
        st = mls_capture_stats(p->in->capture, l, &stats, err);
    if (!st)
        st = mls_latent_identity(&plain_form, p->config, &layer, err);
    if (!st && p->options->predict && p->in->capture && !plain_form.own &&
        mls_capture_windows(p->in->capture) > 0)
        st = mls_output_windows_load(
            &windows, p->in->capture, &plain_form,
            p->options->output_windows ? p->options->output_windows : OUTPUT_WINDOWS,
            p->in->pool, err);
    p->own.layer = &layer;
    for (size_t i = 0; !st && i < p->n; i++)
        if (starts_later(p, i) && p->run[i].begins == l && !is_refused(p, i) &&
            !p->options->forms_only)
            st = mls_states_copy(&p->run[i].states, &p->original, err);
    if (!st)
        st = layer_forms_new(&forms, p, &layer, &stats, err);
    if (!st)
        st = use_forms(&forms, &windows, &plain_form, err);
    if (!st && !p->options->forms_only)
        st = mls_layer_forward(p->config, &layer, &p->original, mls_own_attention_run,
                               &p->own, p->in->pool, err);
    layer_forms_free(&forms);
    mls_latent_free(&plain_form);
    mls_output_windows_free(&windows);
    mls_layer_stats_free(&stats);
    mls_layer_free(&layer);
    return st;
}

mls_status mls_pass_layers(mls_pass *p, mls_err *err)
{
    mls_status st = MLS_OK;

    for (size_t l = 0; !st && l < p->config->L && !mls_pass_is_over(p); l++)
        st = run_layer(p, l, err);
    for (size_t i = 0; !st && i < p->n; i++)
        if (!is_refused(p, i))
            st = mls_scheme_serve(&p->quality[i].serve, p->variant[i].scheme, p->config,
                                  p->quality[i].layout, err);
    return st;
}
