/*
 * TransMLA (arXiv 2502.07864): the keys of all KV heads are rotated so that one shared
 * rope key carries most of the positional energy (RoRoPE, FreqFold); the rest of the
 * keys and the values are reduced together by a balanced PCA.
 */
#include <stdlib.h>
#include <string.h>

#include "bench/frame/common_keys.h"
#include "bench/frame/fit.h"
#include "bench/frame/method.h"
#include "bench/methods/transmla.h"
#include "common/base/checked.h"

static const char *const alpha_words[] = {"code", "paper", "none", NULL};

/* A number, or 0 for "auto" and when the key is absent. */
static mls_status size_or_auto(const mls_setting *s, const char *key, size_t *out,
                               mls_err *err)
{
    const char *value = mls_setting_get(s, key);

    *out = 0;
    if (!value || strcmp(value, "auto") == 0)
        return MLS_OK;
    return mls_setting_size(s, key, 0, 1, MLS_DIM_MAX, out, err);
}

/* The divisor of n that is nearest to x, the larger of two equally near ones. */
static size_t nearest_divisor(size_t n, size_t x)
{
    size_t best = n;

    for (size_t d = n; d > 0; d--)
        if (n % d == 0 && (d > x ? d - x : x - d) < (best > x ? best - x : x - best))
            best = d;
    return best;
}

/* keep=N: more components per fold than the project takes, up to all of them. */
static mls_status read_keep(mls_transmla *p, const mls_config *c, const mls_setting *s,
                            mls_err *err)
{
    const size_t C = c->D / 2;
    mls_status st;

    if (!p->freqfold || mls_setting_get(s, "rope_dim"))
        return mls_fail(err, MLS_E_INPUT,
                        "%s: keep needs freqfold=N, and together they say rope_dim",
                        s->method);
    p->collapse = p->collapse ? p->collapse : 1;
    if (C % p->freqfold || p->freqfold % p->collapse)
        return mls_fail(
            err, MLS_E_INPUT,
            "%s: freqfold=%zu must be a multiple of collapse=%zu that "
            "divides the %zu chunks; the nearest possible is %zu",
            s->method, p->freqfold, p->collapse, C,
            p->collapse * nearest_divisor(C / p->collapse, p->freqfold / p->collapse));
    if ((st = mls_setting_size(s, "keep", 0, 1, MLS_WIDTH_MAX, &p->keep, err)) ||
        (st = mls_at_most(s, "keep", p->keep, c->G * p->freqfold,
                          "the components of a fold", err)))
        return st;
    p->rope_dim = 2 * (C / p->freqfold) * p->keep;
    return MLS_OK;
}

static mls_status read_widths(mls_transmla *p, const mls_config *c,
                              const mls_setting *s, mls_err *err)
{
    const size_t C = c->D / 2;
    mls_status st;

    if ((st = size_or_auto(s, "collapse", &p->collapse, err)) ||
        (st = size_or_auto(s, "freqfold", &p->freqfold, err)))
        return st;
    if (p->collapse && C % p->collapse)
        return mls_fail(
            err, MLS_E_INPUT,
            "%s: collapse=%zu does not divide the %zu chunks of a head; the "
            "nearest possible is %zu",
            s->method, p->collapse, C, nearest_divisor(C, p->collapse));
    if (mls_setting_get(s, "keep"))
        return read_keep(p, c, s, err);
    /* 64 dims as in the project's README, where collapse divides the chunks. */
    const size_t usual =
        p->collapse ? 2 * (C / p->collapse) : 2 * nearest_divisor(C, mls_least(32, C));
    if ((st =
             mls_setting_size(s, "rope_dim", usual, 1, MLS_DIM_MAX, &p->rope_dim, err)))
        return st;
    if (p->rope_dim % 2 || p->rope_dim > 2 * C || C % (p->rope_dim / 2))
        return mls_fail(err, MLS_E_INPUT,
                        "%s: rope_dim=%zu does not divide the head dimension %zu into "
                        "whole chunks; the nearest possible is %zu",
                        s->method, p->rope_dim, c->D,
                        2 * nearest_divisor(C, p->rope_dim / 2));
    const size_t collapse = C / (p->rope_dim / 2);
    if (p->collapse && p->collapse != collapse)
        return mls_fail(
            err, MLS_E_INPUT,
            "%s: collapse=%zu and rope_dim=%zu contradict each other: %zu / "
            "%zu is %zu",
            s->method, p->collapse, p->rope_dim, c->D, p->rope_dim, collapse);
    p->collapse = collapse;
    if (p->freqfold && (p->freqfold % collapse || C % p->freqfold))
        return mls_fail(err, MLS_E_INPUT,
                        "%s: freqfold=%zu must be a multiple of collapse=%zu that "
                        "divides the %zu chunks; the nearest possible is %zu",
                        s->method, p->freqfold, collapse, C,
                        collapse *
                            nearest_divisor(C / collapse, p->freqfold / collapse));
    return MLS_OK;
}

static mls_status read_params(void *params, const mls_config *c, const mls_setting *s,
                              mls_err *err)
{
    mls_transmla *p = params;
    const size_t GD = c->G * c->D, with_bias = c->E + (c->qkv_bias ? 1 : 0);
    const size_t max_q = mls_least(c->H * c->D, with_bias);
    mls_status st;

    if ((st = read_widths(p, c, s, err)) ||
        (st = mls_setting_size(s, "pass", 1, 1, MLS_WIDTH_MAX, &p->pass, err)) ||
        (st = mls_at_most(s, "pass", p->pass, 2, "passes over the text", err)) ||
        (st = mls_setting_word(s, "alpha", alpha_words, &p->alpha, err)) ||
        (st = mls_setting_real(s, "balance", 1.0, 1e-6, 1e6, &p->balance, err)) ||
        (st = mls_setting_size(s, "qrank", 0, 1, MLS_WIDTH_MAX, &p->q_rank, err)) ||
        (st =
             mls_at_most(s, "qrank", p->q_rank, max_q, "the rank of the queries", err)))
        return st;
    const size_t max = mls_least(2 * GD - p->rope_dim, with_bias);
    if ((st = mls_setting_size(s, "rank", mls_least(mls_least(512, GD), max), 1,
                               MLS_WIDTH_MAX, &p->rank, err)))
        return st;
    return mls_at_most(s, "rank", p->rank, max, "the rank of [K without RoPE; V]", err);
}

static mls_status shape(mls_latent_form *f, const mls_config *c, const mls_parsed *p,
                        const void *plan, size_t l, mls_err *err)
{
    (void)plan;
    return mls_transmla_shape(f, c, p->params, l, err);
}

/* Windows that choose a freqfold, and what they are measured with. */
enum { WINDOWS_MAX = 4 };

typedef struct trial {
    const mls_method_input *in;
    mls_latent_runner *runner;
    size_t T, n_windows;
    float *x, *want, *got; /* (T, E) each */
} trial;

static mls_status attend(const trial *t, const mls_latent_form *f, float *out,
                         mls_err *err)
{
    const mls_status st = mls_latent_runner_set(t->runner, f, NULL, err);

    return st ? st : mls_latent_attention(t->runner, 0, 0, t->x, t->T, out, err);
}

/*
 * error[i] += |attention with fold[i] - the model's|^2 / |the model's|^2 of one layer.
 */
static mls_status try_layer(const trial *t, const mls_transmla *p, const size_t *fold,
                            size_t n, size_t l, double *error, mls_err *err)
{
    const size_t E = t->in->config->E;
    mls_layer layer = {0};
    mls_layer_stats stats = {0};
    mls_latent_form whole = {0}, form = {0};
    mls_status st;

    if ((st = mls_model_attention(t->in->model, l, &layer, err)) ||
        (st = mls_capture_stats(t->in->capture, l, &stats, err)) ||
        (st = mls_latent_identity(&whole, t->in->config, &layer, err)))
        goto done;
    for (size_t i = 0; i < n && !st; i++) {
        mls_transmla q = *p;
        double difference = 0.0, size = 0.0;

        q.freqfold = fold[i];
        st = mls_transmla_whole(&form, t->in->config, &q, &layer, &stats, err);
        for (size_t w = 0; w < t->n_windows && !st; w++) {
            if ((st = mls_capture_window(t->in->capture, l, w, MLS_WINDOW_X, t->x,
                                         err)) ||
                (st = attend(t, &whole, t->want, err)) ||
                (st = attend(t, &form, t->got, err)))
                break;
            for (size_t j = 0; j < t->T * E; j++) {
                const double d = (double)t->got[j] - (double)t->want[j];

                difference += d * d;
                size += (double)t->want[j] * (double)t->want[j];
            }
        }
        mls_latent_free(&form);
        error[i] += size > 0.0 ? difference / size : 0.0;
    }

done:
    mls_latent_free(&whole);
    mls_layer_stats_free(&stats);
    mls_layer_free(&layer);
    return st;
}

/*
 * freqfold=auto: the fold whose rope key alone (nothing else reduced) disturbs the
 * attention outputs of the captured windows least. The project doubles from `collapse`
 * while the perplexity of its test text falls; choosing on the text that is reported
 * flatters, so we look at the calibration text.
 */
static mls_status choose_fold(const mls_method_input *in, const mls_transmla *p,
                              size_t *best, mls_err *err)
{
    const size_t C = in->config->D / 2, E = in->config->E;
    const size_t T = mls_capture_window_length(in->capture);
    const size_t W = mls_capture_windows(in->capture);
    size_t fold[16], n = 0;
    double error[16] = {0};
    trial t = {.in = in, .T = T, .n_windows = mls_least(W, WINDOWS_MAX)};
    mls_status st = MLS_OK;

    for (size_t f = p->collapse; f <= C && n < 16; f *= 2)
        if (C % f == 0)
            fold[n++] = f;
    *best = 0;
    if (n > 1) {
        if (W == 0)
            return mls_fail(err, MLS_E_INPUT,
                            "transmla: freqfold=auto needs a capture with whole "
                            "windows; this one has none, so give freqfold=N");
        t.x = mls_calloc3(T, E, 1, sizeof *t.x);
        t.want = mls_calloc3(T, E, 1, sizeof *t.want);
        t.got = mls_calloc3(T, E, 1, sizeof *t.got);
        if (!t.x || !t.want || !t.got)
            st = mls_fail(err, MLS_E_NOMEM, "no memory for windows of %zu tokens", T);
        if (!st)
            st = mls_latent_runner_new(&t.runner, T, 1, false, err);
        for (size_t l = 0; l < in->config->L && !st; l++)
            st = try_layer(&t, p, fold, n, l, error, err);
    }
    for (size_t i = 1; i < n; i++)
        if (error[i] < error[*best])
            *best = i;
    *best = fold[*best];
    mls_latent_runner_free(t.runner);
    free(t.x);
    free(t.want);
    free(t.got);
    return st;
}

/* What is settled for all layers: only what the setting leaves open. */
typedef struct plan {
    size_t fold, L;
    mls_layer_stats *reduced; /* (L) with pass=2 */
} plan;

static void release(void *all)
{
    plan *p = all;

    if (p)
        mls_transmla_pass_free(p->reduced, p->L);
    free(p);
}

static mls_status prepare(const mls_method_input *in, const mls_parsed *parsed,
                          void **out, mls_err *err)
{
    mls_transmla p = *(const mls_transmla *)parsed->params;
    mls_status st = MLS_OK;
    plan *made;

    *out = NULL;
    if (p.freqfold && p.pass == 1)
        return MLS_OK;
    if (!in->model || !in->capture)
        return mls_fail(err, MLS_E_INPUT, "%s: %s needs the weights and a capture file",
                        parsed->method->name, p.freqfold ? "pass=2" : "freqfold=auto");
    made = calloc(1, sizeof *made);
    if (!made)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a plan");
    *made = (plan){.fold = p.freqfold, .L = in->config->L};
    if (!p.freqfold)
        st = choose_fold(in, &p, &made->fold, err);
    p.freqfold = made->fold;
    if (!st && p.pass == 2)
        st = mls_transmla_pass(&made->reduced, in, &p, parsed->common.converted, err);
    if (st) {
        release(made);
        made = NULL;
    }
    *out = made;
    return st;
}

static mls_status build(const mls_method_input *in, const mls_parsed *parsed,
                        const void *all, const mls_layer *layer,
                        const mls_layer_stats *stats, mls_latent_form *f, mls_err *err)
{
    const plan *made = all;
    mls_transmla p = *(const mls_transmla *)parsed->params;

    if (made)
        p.freqfold = made->fold;
    return mls_transmla_fill(
        f, in->config, &p, layer, stats,
        made && made->reduced ? &made->reduced[layer->index] : stats, err);
}

/* 64 dims as in the README's table first, then every other collapse. */
static void fit(const mls_config *c, size_t elements, mls_fits *out)
{
    const size_t usual = c->D < 128 ? c->D / 2 : 64;
    size_t d_r = usual;

    for (size_t collapse = 0; collapse <= 8; collapse = collapse ? 2 * collapse : 1) {
        if (collapse)
            d_r = c->D / collapse;
        if (d_r % 2 || d_r == 0 || (collapse && d_r == usual) || elements <= d_r)
            continue;
        mls_fits_add(out, "rope_dim=%zu rank=%zu freqfold=%zu", d_r, elements - d_r,
                     c->D / d_r < 4 && c->D % 8 == 0 ? (size_t)4 : c->D / d_r);
    }
}

const mls_method mls_method_transmla = {
    .name = "transmla",
    .title = "TransMLA",
    .source = "arXiv 2502.07864; MuLabPKU/TransMLA partial_rope.py, lora_qkv.py",
    .keys = "rank=N rope_dim=N freqfold=N|auto collapse=N|auto balance=X "
            "alpha=code|paper|none qrank=N keep=N pass=1|2",
    .formula = "rank + d_r",
    .exact = true,
    .identity = true,
    .fits_need_data = true,
    .params_size = sizeof(mls_transmla),
    .read = read_params,
    .shape = shape,
    .fit = fit,
    .prepare = prepare,
    .release = release,
    .build = build,
};
