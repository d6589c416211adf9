/*
 * TransMLA (arXiv 2502.07864): the keys of all KV heads are rotated so that one shared
 * rope key carries most of the positional energy (RoRoPE, FreqFold); the rest of the
 * keys and the values are reduced together by a balanced PCA.
 */
#include <stdlib.h>

#include "bench/frame/common_keys.h"
#include "bench/frame/fit.h"
#include "bench/frame/method.h"
#include "bench/methods/transmla.h"
#include "common/base/checked.h"

static const char *const auto_words[] = {"auto", NULL};
static const char *const alpha_words[] = {"code", "paper", "none", NULL};

/* The divisor of n that is nearest to x, the larger of two equally near ones. */
static size_t nearest_divisor(size_t n, size_t x)
{
    size_t best = n;

    for (size_t d = n; d > 0; d--)
        if (n % d == 0 && (d > x ? d - x : x - d) < (best > x ? best - x : x - best))
            best = d;
    return best;
}

MLS_KEY_REFUSED(no_keep, mls_transmla, !p->freqfold || p->rope_dim,
                "keep needs freqfold=N, and together they say rope_dim")

/* 64 dims as in the project's README, where collapse divides the chunks. */
static size_t width(const mls_transmla *p, const mls_config *c)
{
    const size_t C = c->D / 2;

    return p->keep       ? 2 * (C / p->freqfold) * p->keep
           : p->rope_dim ? p->rope_dim
           : p->collapse ? 2 * (C / p->collapse)
                         : 2 * nearest_divisor(C, mls_least(32, C));
}

/* The most that the latent can hold. */
static size_t rows(const mls_config *c, const void *v)
{
    const size_t all = 2 * c->G * c->D, n_rope = width(v, c);

    return mls_least(all > n_rope ? all - n_rope : 0, c->E + (c->qkv_bias ? 1 : 0));
}

MLS_KEY_FROM(components, mls_transmla, c->G * p->freqfold)
MLS_KEY_FROM(query_limit, void, mls_least(c->H * c->D, c->E + (c->qkv_bias ? 1 : 0)))
MLS_KEY_FROM(usual, void, mls_least(mls_least(512, c->G * c->D), rows(c, p)))
MLS_KEY_FROM(two, void, 2)

static const mls_key keys[] = {
    {"collapse", MLS_KEY_SIZE, offsetof(mls_transmla, collapse), .hint = "N|auto",
     .help = "frequencies that become one; rope_dim = D / collapse", .least = 1,
     .most = MLS_DIM_MAX, .words = auto_words},
    {"freqfold", MLS_KEY_SIZE, offsetof(mls_transmla, freqfold), .hint = "N|auto",
     .help = "neighbouring frequencies treated as one: a multiple of collapse that "
             "divides C",
     .least = 1, .most = MLS_DIM_MAX, .words = auto_words},
    {"rope_dim", MLS_KEY_SIZE, offsetof(mls_transmla, rope_dim), .hint = "N",
     .help = "qk_mqa_dim, shared by all heads", .said = "64", .least = 1,
     .most = MLS_DIM_MAX},
    {"keep", MLS_KEY_SIZE, offsetof(mls_transmla, keep), .hint = "N",
     .help = "components of each fold in the rope key (ours); needs freqfold=N, d_r = "
             "2 C/F N",
     .least = 1, .most = MLS_WIDTH_MAX, .said = "F/collapse", .bound = "G F",
     .limit = components, .what = "the components of a fold", .refuse = no_keep},
    {"pass", MLS_KEY_SIZE, offsetof(mls_transmla, pass), .hint = "1|2",
     .help = "1: statistics of the original; 2: of the model with reduced rotations",
     .least = 1, .most = MLS_WIDTH_MAX, .limit = two, .bound = "2",
     .what = "passes over the text", .usual = 1},
    {"alpha", MLS_KEY_WORD, offsetof(mls_transmla, alpha), .words = alpha_words,
     .help = "how keys are balanced against values"},
    {"balance", MLS_KEY_REAL, offsetof(mls_transmla, balance), .hint = "X",
     .help = "factor on alpha", .usual = 1, .least = 1e-6, .most = 1e6},
    {"qrank", MLS_KEY_SIZE, offsetof(mls_transmla, q_rank), .hint = "N",
     .help = "of the queries", .least = 1, .most = MLS_WIDTH_MAX, .limit = query_limit,
     .said = "none", .bound = "min(H D, E)", .what = "the rank of the queries"},
    {"rank", MLS_KEY_SIZE, offsetof(mls_transmla, rank), .hint = "N",
     .help = "kv_lora_rank of the layer", .least = 1, .most = MLS_WIDTH_MAX,
     .otherwise = usual, .said = "min(512, G D)", .bound = "min(2 G D - d_r, E)",
     .limit = rows, .what = "the rank of [K without RoPE; V]"},
    MLS_KEYS_END};

static mls_status settle(const mls_parsed *parsed, const mls_config *c, mls_err *err)
{
    mls_transmla *p = parsed->params;
    const char *method = parsed->method->name;

    const size_t C = c->D / 2;

    if (p->collapse && C % p->collapse)
        return mls_fail(
            err, MLS_E_INPUT,
            "%s: collapse=%zu does not divide the %zu chunks of a head; the "
            "nearest possible is %zu",
            method, p->collapse, C, nearest_divisor(C, p->collapse));
    p->rope_dim = width(p, c);
    if (p->keep) {
        p->collapse = p->collapse ? p->collapse : 1;
    } else {
        if (p->rope_dim % 2 || p->rope_dim > 2 * C || C % (p->rope_dim / 2))
            return mls_fail(
                err, MLS_E_INPUT,
                "%s: rope_dim=%zu does not divide the head dimension %zu into "
                "whole chunks; the nearest possible is %zu",
                method, p->rope_dim, c->D, 2 * nearest_divisor(C, p->rope_dim / 2));
        const size_t collapse = C / (p->rope_dim / 2);

        if (p->collapse && p->collapse != collapse)
            return mls_fail(
                err, MLS_E_INPUT,
                "%s: collapse=%zu and rope_dim=%zu contradict each other: %zu / "
                "%zu is %zu",
                method, p->collapse, p->rope_dim, c->D, p->rope_dim, collapse);
        p->collapse = collapse;
    }
    if (p->freqfold && (p->freqfold % p->collapse || C % p->freqfold))
        return mls_fail(
            err, MLS_E_INPUT,
            "%s: freqfold=%zu must be a multiple of collapse=%zu that "
            "divides the %zu chunks; the nearest possible is %zu",
            method, p->freqfold, p->collapse, C,
            p->collapse * nearest_divisor(C / p->collapse, p->freqfold / p->collapse));
    return MLS_OK;
}

static mls_status shape(mls_latent_form *f, const mls_config *c, const mls_parsed *p,
                        const void *prepared, size_t l, mls_err *err)
{
    (void)prepared;
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

    return st ? st : mls_latent_attention(t->runner, 0, 0, t->x, t->T, out, NULL, err);
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
                              const bool *converted, size_t *best, mls_err *err)
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
            st = !converted[l] ? MLS_OK : try_layer(&t, p, fold, n, l, error, err);
    }
    for (size_t i = 1; i < n; i++)
        if (error[i] < error[*best])
            *best = i;
    *best = fold[*best];
    mls_latent_runner_free(t.runner);
    mls_free_all(t.x, t.want, t.got);
    return st;
}

/* What is settled for all layers: only what the setting leaves open. */
typedef struct prepared {
    size_t fold, L;
    mls_layer_stats *reduced; /* (L) with pass=2 */
} prepared;

static void release(void *all)
{
    prepared *p = all;

    if (p)
        mls_transmla_pass_free(p->reduced, p->L);
    free(p);
}

static mls_status prepare(const mls_method_input *in, const mls_parsed *parsed,
                          void **out, mls_err *err)
{
    mls_transmla p = *(const mls_transmla *)parsed->params;
    mls_status st = MLS_OK;
    prepared *made;

    *out = NULL;
    if (p.freqfold && p.pass == 1)
        return MLS_OK;
    if (!in->model || !in->capture)
        return mls_fail(err, MLS_E_INPUT, "%s: %s needs the weights and a capture file",
                        parsed->method->name, p.freqfold ? "pass=2" : "freqfold=auto");
    made = calloc(1, sizeof *made);
    if (!made)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a fold and its moments");
    *made = (prepared){.fold = p.freqfold, .L = in->config->L};
    if (!p.freqfold)
        st = choose_fold(in, &p, parsed->common.converted, &made->fold, err);
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
    const prepared *made = all;
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
    .keys = keys,
    .formula = "rank + d_r",
    .exact = true,
    .identity = true,
    .fits_need_data = true,
    .params_size = sizeof(mls_transmla),
    .settle = settle,
    .shape = shape,
    .fit = fit,
    .prepare = prepare,
    .release = release,
    .build = build,
};
