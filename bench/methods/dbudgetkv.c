/*
 * DBudgetKV (arXiv 2502.16886): old tokens are dropped until attention would mind.
 * Tokens are ranked: the first few and then the newest; the tail of the ranking goes as
 * long as the Frobenius norm of the layer's attention without the dropped columns,
 *
 *   sqrt(sum over kept columns j of c_j),   c_j = sum over heads and queries of a_ij^2,
 *
 * stays within `threshold` of the whole. The paper could not be read: metric and
 * threshold are recalled, so the rule is called rule=norm-unverified. Its budget is for
 * each input; here it is each layer's mean over the captured windows. budget=SHARE
 * gives one number to all layers instead.
 *
 * A layer with a window shows w tokens, all of them near the query, so their columns
 * are counted by the distance from it, the farthest goes first and the budget is a
 * share of the window.
 */
#include <math.h>
#include <stdlib.h>

#include "analysis/frequency/layer_windows.h"
#include "analysis/frequency/score_rows.h"
#include "bench/frame/common_keys.h"
#include "bench/frame/fit.h"
#include "bench/frame/method.h"
#include "common/base/checked.h"

enum { RULE_FIXED, RULE_NORM };
static const char *const rule_words[] = {"fixed", "norm-unverified", NULL};

typedef struct params {
    size_t rule;
    double budget, threshold;
} params;

typedef struct prepared {
    double budget[MLS_LAYERS_MAX];
} prepared;

MLS_KEY_REFUSED(no_budget, params, p->rule == RULE_NORM,
                "rule=norm-unverified finds the budget by threshold")
MLS_KEY_REFUSED(no_threshold, params, p->rule == RULE_FIXED,
                "threshold belongs to rule=norm-unverified")

static const mls_key keys[] = {
    {"rule", MLS_KEY_WORD, offsetof(params, rule), .words = rule_words,
     .help = "budget per layer from attention", .open = "norm-unverified"},
    {"budget", MLS_KEY_REAL, offsetof(params, budget), .hint = "SHARE",
     .help = "tokens kept: first 4 and newest, at least 5", .usual = 0.5,
     .least = 0.001, .most = 1, .refuse = no_budget},
    {"threshold", MLS_KEY_REAL, offsetof(params, threshold), .hint = "X",
     .help = "what may be lost of the norm", .usual = 0.01, .least = 0, .most = 1,
     .refuse = no_threshold},
    MLS_KEYS_END};

static mls_status sized(const mls_config *c, const mls_parsed *parsed, mls_err *err)
{
    const params *p = parsed->params;

    (void)c;
    if (p->rule == RULE_FIXED)
        return MLS_OK;
    return mls_fail(err, MLS_E_INPUT,
                    "%s: the tokens that a layer keeps follow from the data; the size "
                    "needs the weights",
                    parsed->method->name);
}

static mls_status shape(mls_latent_form *f, const mls_config *c,
                        const mls_parsed *parsed, const void *all, size_t l,
                        mls_err *err)
{
    const params *p = parsed->params;
    const prepared *made = all;
    const mls_status st = mls_latent_identity_shape(f, c, l, err);

    if (!st)
        f->token_budget = made ? made->budget[l] : p->budget;
    return st;
}

/*
 * Squares of one head's attention, summed over queries: of each token, or of the w
 * distances that a window has, the farthest first. @param[in,out] column  (T) or (w)
 */
static void add_columns(double *column, mls_score_rows *rows, size_t T, size_t w)
{
    for (size_t first = 0; first < T; first += MLS_SCORE_ROWS) {
        mls_score_rows_block(rows, first);
        for (size_t i = 0; i < rows->n; i++)
            for (size_t j = 0; j < T; j++) {
                const size_t at = w ? w - 1 - (first + i - j) : j;

                if (rows->p[i * T + j] > 0)
                    column[at] += rows->p[i * T + j] * rows->p[i * T + j];
            }
    }
}

/*
 * Least share of T columns whose norm is within the threshold of the whole; the first
 * `sinks` stay.
 */
static double kept_share(const double *column, size_t T, size_t sinks, double threshold)
{
    double all = 0.0, gone = 0.0;
    size_t dropped = 0;

    for (size_t j = 0; j < T; j++)
        all += column[j];
    for (size_t j = sinks; j + 1 < T; j++) { /* the newest token always stays */
        gone += column[j];
        if (1.0 - sqrt(fmax(all - gone, 0.0) / all) > threshold)
            break;
        dropped++;
    }
    return 1.0 - (double)dropped / (double)T;
}

static mls_status layer_budget(double *budget, const mls_method_input *in, size_t l,
                               double threshold, mls_err *err)
{
    const mls_config *c = in->config;
    const size_t T = mls_capture_window_length(in->capture);
    const size_t W = mls_capture_windows(in->capture), shown = c->layer[l].window;
    const size_t far = shown < T ? shown : 0, n = far ? far : T;
    const size_t sinks = far ? 0 : mls_least(T, MLS_BUDGET_SINKS);
    mls_layer_windows w = {0};
    mls_score_rows rows = {0};
    double *column = mls_calloc3(T, 1, 1, sizeof *column);
    mls_status st =
        column ? MLS_OK : mls_fail(err, MLS_E_NOMEM, "no memory for %zu tokens", T);

    *budget = 0.0;
    for (size_t i = 0; !st && i < W; i++) {
        st = mls_layer_windows_load(&w, in->capture, l, &i, 1, false, 0, err);
        for (size_t t = 0; !st && c->layer[l].no_rope && t < T * c->D; t++)
            w.turns[t] = 0.0; /* cos - 1 and sin of no angle */
        if (!st)
            st = mls_score_rows_new(&rows, w.window, err);
        for (size_t j = 0; j < T; j++)
            column[j] = 0.0;
        for (size_t h = 0; !st && h < c->H; h++) {
            mls_score_rows_set(&rows, w.window, w.turns, h);
            add_columns(column, &rows, T, far);
        }
        if (!st)
            *budget += kept_share(column, n, sinks, threshold) / (double)W;
        mls_score_rows_free(&rows);
        mls_layer_windows_free(&w);
    }
    free(column);
    return st;
}

static mls_status prepare(const mls_method_input *in, const mls_parsed *parsed,
                          void **out, mls_err *err)
{
    const params *p = parsed->params;
    mls_status st = MLS_OK;

    if (p->rule == RULE_FIXED)
        return MLS_OK;
    if ((!in->capture || mls_capture_windows(in->capture) == 0))
        return mls_fail(err, MLS_E_INPUT,
                        "%s measures attention; it needs --capture RUN.h5 with "
                        "windows, written by mlascope capture",
                        parsed->method->name);
    prepared *made = calloc(1, sizeof *made);

    if (!made)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the budgets of layers");
    for (size_t l = 0; l < in->config->L && !st; l++)
        st = layer_budget(&made->budget[l], in, l, p->threshold, err);
    if (st) {
        free(made);
        made = NULL;
    }
    *out = made;
    return st;
}

static mls_status build(const mls_method_input *in, const mls_parsed *p,
                        const void *all, const mls_layer *layer,
                        const mls_layer_stats *stats, mls_latent_form *f, mls_err *err)
{
    (void)p, (void)all, (void)stats;
    return mls_latent_identity_fill(f, in->config, layer, err);
}

static void fit(const mls_config *c, size_t elements, mls_fits *out)
{
    const double share = (double)elements / (double)(2 * c->G * c->D);

    mls_fits_add(out, "budget=%.4g", floor(share * 1e4) / 1e4);
}

const mls_method mls_method_dbudgetkv = {
    .name = "dbudgetkv",
    .title = "DBudgetKV",
    .source = "arXiv 2502.16886 (not readable: metric and threshold unverified)",
    .keys = keys,
    .formula = "2 G D, of a share of the tokens",
    .full_rope = true,
    .plain_keys = true,
    .exact = false,
    .identity = true,
    .params_size = sizeof(params),
    .sized = sized,
    .shape = shape,
    .fit = fit,
    .prepare = prepare,
    .release = free,
    .build = build,
};
