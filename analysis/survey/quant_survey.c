/*
 * Jobs are (window, KV head) of one layer, as many windows at a time as there are
 * threads: memory does not grow with the capture. Each job has sums of its own, which
 * are added in the order of heads. A figure is made for each window first and then
 * averaged over layers, so that its interval is over windows, which are pieces of text
 * by themselves; layers of one window are not.
 */
#include "analysis/survey/quant_survey.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/model/rope.h"
#include "analysis/quant/quant_format.h"
#include "common/base/checked.h"

const char *const mls_quant_typical[] = {
    "int8",    "int4",    "h:int4", "int4/32", "int2/32", "kivi4",    "kivi2",
    "quanto4", "quanto2", "hqq4",   "hqq2",    "q8_0",    "q5_1",     "q4_0",
    "iq4_nl",  "fp8",     "nvfp4",  "mxfp4",   "nf4",     "kvquant4", "kvquant3",
    "turbo4",  "turbo3",  "qjl",    NULL,
};

/* Every format once, with 4 bits where it may have them, else with its most. */
static mls_status append_all(mls_quant **quant, size_t *n, mls_err *err)
{
    for (const mls_quant_format *const *f = mls_quant_formats(); *f; f++) {
        mls_quant *more = realloc(*quant, (*n + 1) * sizeof *more);

        if (!more)
            return mls_fail(err, MLS_E_NOMEM, "no memory for a list of quantizers");
        *quant = more;
        more[(*n)++] = mls_quant_default(
            *f,
            (*f)->bits_min < (*f)->bits_max && (*f)->bits_max > 4 ? 4 : (*f)->bits_max);
    }
    return MLS_OK;
}

static mls_status append_one(const char *name, mls_quant **quant, size_t *n,
                             mls_err *err)
{
    mls_quant *more = realloc(*quant, (*n + 1) * sizeof *more);
    mls_status st;

    if (!more)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a list of quantizers");
    *quant = more;
    st = mls_quant_parse(&more[*n], name, err);
    *n += st == MLS_OK;
    return st;
}

mls_status mls_quant_list(const char *text, mls_quant **quant, size_t *n, mls_err *err)
{
    mls_status st = MLS_OK;

    *quant = NULL;
    *n = 0;
    while (!st) {
        const size_t length = strcspn(text, ",");
        char name[MLS_QUANT_NAME];

        snprintf(name, sizeof name, "%.*s", length < sizeof name ? (int)length : 0,
                 text);
        if (length >= sizeof name)
            st = mls_fail(err, MLS_E_ARG, "there is no quantizer \"%.40s...\"", text);
        else if (strcmp(name, "all") == 0)
            st = append_all(quant, n, err);
        else
            st = append_one(name, quant, n, err);
        if (text[length] == '\0')
            break;
        text += length + 1;
    }
    if (st) {
        free(*quant);
        *quant = NULL;
        *n = 0;
    }
    return st;
}

/* One layer of a few windows in memory, and what its jobs write. */
typedef struct batch {
    const mls_config *config;
    const mls_quant *quant;
    size_t n, T, layer, windows, queries;
    float *q, *k, *v;            /* (windows, T, H D), (windows, T, G D) twice */
    double *inv_freq;            /* (D/2), of the layer */
    float *cs;                   /* (T, D), of the layer */
    mls_quant_sums *sums;        /* (windows, G, n, MLS_QUANT_STAGES) */
    mls_channel_stats *channels; /* (windows, G, MLS_QUANT_PARTS) */
} batch;

static mls_quant_window window_of(const batch *b, size_t i)
{
    const mls_config *c = b->config;
    const size_t kv = b->T * c->G * c->D;

    return (mls_quant_window){
        .T = b->T,
        .H = c->H,
        .G = c->G,
        .D = c->D,
        .q = b->q + i * b->T * c->H * c->D,
        .k = b->k + i * kv,
        .v = b->v + i * kv,
        .cs = c->layer[b->layer].no_rope ? NULL : b->cs,
        .sliding = c->layer[b->layer].window,
    };
}

static mls_status run_job(void *arg, size_t job, size_t worker, mls_err *err)
{
    const batch *b = arg;
    const size_t D = b->config->D, G = b->config->G, g = job % G;
    const mls_quant_window w = window_of(b, job / G);
    mls_channel_stats *channels = b->channels + job * MLS_QUANT_PARTS;
    float *rotated = mls_calloc3(b->T, D, 1, sizeof *rotated);
    mls_status st;

    (void)worker;
    if (!rotated)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the keys of a head");
    mls_quant_rotated_keys(&w, g, rotated);
    st = mls_channel_stats_of(&channels[MLS_PART_KEYS_BEFORE_ROPE], w.k + g * D, G * D,
                              b->T, D, err);
    if (!st)
        st = mls_channel_stats_of(&channels[MLS_PART_KEYS_AFTER_ROPE], rotated, D, b->T,
                                  D, err);
    if (!st)
        st = mls_channel_stats_of(&channels[MLS_PART_VALUES], w.v + g * D, G * D, b->T,
                                  D, err);
    free(rotated);
    if (!st && b->n > 0)
        st = mls_quant_errors(&w, g, b->quant, b->n, b->queries,
                              b->sums + job * b->n * MLS_QUANT_STAGES, err);
    if (st)
        mls_fail_in(err, st, "layer %zu, KV head %zu", b->layer, g);
    return st;
}

static void batch_free(batch *b)
{
    mls_free_all(b->q, b->k, b->v, b->inv_freq, b->cs, b->sums, b->channels);
}

static mls_status batch_new(batch *b, mls_capture *c, const mls_quant *quant, size_t n,
                            size_t queries, size_t windows, mls_err *err)
{
    const mls_config *config = mls_capture_config(c);
    const size_t T = mls_capture_window_length(c), D = config->D, G = config->G;

    *b = (batch){.config = config, .quant = quant, .n = n, .T = T, .queries = queries};
    b->q = mls_calloc3(windows, T, config->H * D, sizeof *b->q);
    b->k = mls_calloc3(windows, T, G * D, sizeof *b->k);
    b->v = mls_calloc3(windows, T, G * D, sizeof *b->v);
    b->inv_freq = mls_calloc3(D / 2, 1, 1, sizeof *b->inv_freq);
    b->cs = mls_calloc3(T, D, 1, sizeof *b->cs);
    b->sums = mls_calloc3(windows * G, n, MLS_QUANT_STAGES, sizeof *b->sums);
    b->channels = mls_calloc3(windows, G, MLS_QUANT_PARTS, sizeof *b->channels);
    if (!b->inv_freq || !b->q || !b->k || !b->v || !b->cs || !b->sums || !b->channels)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu windows of %zu tokens",
                        windows, T);
    return MLS_OK;
}

/* Heads are summed in their order, whoever computed them. */
static void collect(mls_quant_survey *s, const batch *b, size_t first)
{
    const size_t G = b->config->G, cells = b->n * MLS_QUANT_STAGES;

    for (size_t i = 0; i < b->windows; i++) {
        const size_t at = b->layer * s->W + first + i;

        for (size_t g = 0; g < G; g++)
            for (size_t j = 0; j < cells; j++)
                mls_quant_sums_add(&s->sums[at * cells + j],
                                   &b->sums[(i * G + g) * cells + j]);
        for (size_t part = 0; part < MLS_QUANT_PARTS; part++) {
            mls_channel_stats *to = &s->channels[at * MLS_QUANT_PARTS + part];

            for (size_t g = 0; g < G; g++) {
                const mls_channel_stats *from =
                    &b->channels[(i * G + g) * MLS_QUANT_PARTS + part];

                to->range_ratio += from->range_ratio / (double)G;
                to->peak += from->peak / (double)G;
                to->peak_hadamard += from->peak_hadamard / (double)G;
                to->first_token += from->first_token / (double)G;
            }
        }
    }
}

static mls_status run_layer(mls_quant_survey *s, batch *b, mls_capture *c,
                            size_t windows, mls_pool *pool, mls_err *err)
{
    const mls_config *config = b->config;
    const size_t T = b->T, D = config->D;
    mls_status st = MLS_OK;

    mls_layer_frequencies(b->inv_freq, config, b->layer);
    mls_rope_table(b->cs, b->inv_freq, D / 2, T);
    for (size_t first = 0; !st && first < s->W; first += windows) {
        b->windows = s->W - first < windows ? s->W - first : windows;
        for (size_t i = 0; !st && i < b->windows; i++) {
            const size_t at = first + i, kv = i * T * config->G * D;

            st = mls_capture_window(c, b->layer, at, MLS_WINDOW_Q,
                                    b->q + i * T * config->H * D, err);
            if (!st)
                st = mls_capture_window(c, b->layer, at, MLS_WINDOW_K, b->k + kv, err);
            if (!st)
                st = mls_capture_window(c, b->layer, at, MLS_WINDOW_V, b->v + kv, err);
        }
        if (!st)
            st = mls_pool_run(pool, b->windows * config->G, run_job, b, err);
        if (!st)
            collect(s, b, first);
    }
    return st;
}

mls_status mls_quant_survey_run(mls_quant_survey *s, mls_capture *c,
                                const mls_quant *quant, size_t n, size_t queries,
                                mls_pool *pool, const mls_progress *progress,
                                mls_err *err)
{
    const size_t L = mls_capture_config(c)->L, W = mls_capture_windows(c);
    const size_t windows = W < mls_pool_threads(pool) ? W : mls_pool_threads(pool);
    batch b = {0};
    mls_status st;

    *s = (mls_quant_survey){.L = L, .W = W, .n = n};
    if (W == 0)
        return mls_fail(err, MLS_E_INPUT,
                        "the capture keeps no windows of keys and values; capture with "
                        "--windows 16");
    s->sums = mls_calloc3(L * W, n, MLS_QUANT_STAGES, sizeof *s->sums);
    s->channels = mls_calloc3(L, W, MLS_QUANT_PARTS, sizeof *s->channels);
    if (!s->sums || !s->channels)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for the figures of %zu quantizers",
                      n);
    else
        st = batch_new(&b, c, quant, n, queries, windows, err);
    for (b.layer = 0; !st && b.layer < L; b.layer++) {
        char what[64];

        snprintf(what, sizeof what, "layer %zu of %zu", b.layer + 1, L);
        st = mls_progress_step(progress, what, (double)b.layer, (double)L, err);
        if (!st)
            st = run_layer(s, &b, c, windows, pool, err);
    }
    if (!st)
        st = mls_progress_step(progress, "quantized", (double)L, (double)L, err);
    batch_free(&b);
    if (st)
        mls_quant_survey_free(s);
    return st;
}

void mls_quant_survey_free(mls_quant_survey *s)
{
    mls_free_all(s->sums, s->channels);
    *s = (mls_quant_survey){0};
}

enum { FIGURES = sizeof(mls_quant_figures) / sizeof(mls_mean) };

/* In the order of mls_quant_figures. */
static void figures_of(const mls_quant_sums *s, double *figure)
{
    figure[0] = s->key_error / s->key_all;
    figure[1] = s->value_error / s->value_all;
    figure[2] = sqrt(s->score_error / s->score_all);
    figure[3] = sqrt(s->score_error / s->scores);
    figure[4] = s->output_key / s->output_all;
    figure[5] = s->output_value / s->output_all;
    figure[6] = s->output_both / s->output_all;
}

mls_status mls_quant_survey_figures(mls_quant_figures *f, const mls_quant_survey *s,
                                    size_t quantizer, mls_quant_stage stage, int layer,
                                    mls_err *err)
{
    const size_t first = layer == MLS_ALL_LAYERS ? 0 : (size_t)layer;
    const size_t layers = layer == MLS_ALL_LAYERS ? s->L : 1;
    double *each = mls_calloc3(FIGURES, s->W, 1, sizeof *each); /* (FIGURES, W) */

    if (!each)
        return mls_fail(err, MLS_E_NOMEM, "no memory for figures of %zu windows", s->W);
    for (size_t w = 0; w < s->W; w++)
        for (size_t l = first; l < first + layers; l++) {
            const size_t cell =
                ((l * s->W + w) * s->n + quantizer) * MLS_QUANT_STAGES + (size_t)stage;
            double figure[FIGURES];

            figures_of(&s->sums[cell], figure);
            for (size_t i = 0; i < FIGURES; i++)
                each[i * s->W + w] += figure[i] / (double)layers;
        }
    f->key = mls_mean_of(each, s->W);
    f->value = mls_mean_of(each + s->W, s->W);
    f->score = mls_mean_of(each + 2 * s->W, s->W);
    f->score_nat = mls_mean_of(each + 3 * s->W, s->W);
    f->output_key = mls_mean_of(each + 4 * s->W, s->W);
    f->output_value = mls_mean_of(each + 5 * s->W, s->W);
    f->output = mls_mean_of(each + 6 * s->W, s->W);
    free(each);
    return MLS_OK;
}
