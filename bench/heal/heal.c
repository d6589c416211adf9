/*
 * The loop over layers. The original's hidden states of all windows go through the
 * model once; beside them go those of the healed model. At each layer the windows'
 * inputs and the attention output to reach are read off:
 *
 *   inputs original:  x = norm(h),  target = attention(x)
 *   inputs healed:    x = norm(h'), target = attention(norm(h)) + r (h - h')
 *
 * h the original's states, h' those after the healed layers below and r the share of
 * what these left that each layer is to take away, as a residual stream can.
 */
#include "bench/heal/heal_inner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "analysis/heal/shared_cache.h"
#include "analysis/latent/latent_file.h"
#include "analysis/model/block.h"
#include "analysis/model/forward.h"
#include "common/base/buf.h"
#include "common/base/checked.h"
#include "common/system/files.h"
#include "datasets/files/parts.h"

/* Of all tokens at a time, at most: they share what memory may be taken. */
enum { ARRAYS = 6 };

mls_heal_job mls_heal_defaults(void)
{
    return (mls_heal_job){.n_held = 8,
                          .repair = 1,
                          .steps = 80,
                          .batch = 8,
                          .rate = 0.06,
                          .damping = 1,
                          .distil_batch = 4,
                          .distil_rate = 0.001};
}

static void healing_free(mls_heal_run_state *k)
{
    for (size_t l = 0; k->kept && l < k->config->L; l++)
        mls_shared_cache_free(&k->kept[l]);
    mls_free_all(k->kept, k->share);
    mls_states_free(&k->original);
    mls_states_free(&k->healed);
    mls_own_attention_free(&k->plain);
    mls_latent_runner_free(k->runner);
    mls_ready_scheme_free(k->ready);
    for (size_t i = 0; i < sizeof k->room / sizeof k->room[0]; i++)
        mls_spill_free(&k->room[i]);
    free(k->part);
    mls_buf_free(&k->record);
}

static mls_status check(const mls_heal_job *job, mls_err *err)
{
    const mls_corpus *c = job->corpus;

    if (c->N < 2 || job->n_held < 1 || job->n_held >= c->N)
        return mls_fail(err, MLS_E_INPUT,
                        "%zu windows of text, %zu of them held out: at least one to "
                        "train on and one to hold out are needed",
                        c->N, job->n_held);
    for (size_t i = 1; i < c->N; i++)
        if (c->start[i + 1] - c->start[i] != c->start[1])
            return mls_fail(err, MLS_E_INPUT,
                            "window %zu has %zu tokens and the first has %zu: healing "
                            "takes windows of one length",
                            i, c->start[i + 1] - c->start[i], c->start[1]);
    return MLS_OK;
}

static mls_status healing_new(mls_heal_run_state *k, mls_err *err)
{
    const mls_heal_job *job = k->job;
    const size_t L = k->config->L, E = k->config->E, N = job->corpus->N;
    const size_t workers = mls_pool_threads(job->in->pool);
    const size_t tokens = job->corpus->start[N];
    mls_status st = check(job, err);

    if (!st)
        st = mls_healing_fits(job, err);
    if (st)
        return st;
    k->share = mls_calloc3(L, 1, 1, sizeof *k->share);
    k->kept = mls_calloc3(L, 1, 1, sizeof *k->kept);
    if (!k->share || !k->kept)
        return mls_fail(err, MLS_E_NOMEM, "no memory to heal %zu layers", L);
    for (size_t i = 0; !st && i < (job->healed_inputs ? 3 : 2); i++) {
        size_t bytes;

        st =
            mls_mul_size(&bytes, tokens, E * sizeof(float))
                ? mls_spill_new(&k->room[i], bytes,
                                mls_model_ram(job->in->model) / ARRAYS, err)
                : mls_fail(err, MLS_E_NOMEM, "no memory to heal on %zu tokens", tokens);
    }
    if (st)
        return st;
    k->x = k->room[0].data;
    k->target = k->room[1].data;
    k->residual = k->room[2].data;
    if ((st = mls_scheme_prepare(&k->ready, job->scheme, job->in, err)) ||
        (st = mls_scheme_shares(k->ready, k->share, err)))
        return st;
    for (size_t l = 0; l < L; l++)
        if (mls_scheme_body(k->ready, l))
            return mls_fail(err, MLS_E_INPUT,
                            "%s brings norms and MLPs of its own: healing fits "
                            "attention to the original's",
                            job->scheme->name);
    st = mls_states_embed(&k->original, job->in->model, job->corpus, err);
    if (!st && job->healed_inputs)
        st = mls_states_copy(&k->healed, &k->original, err);
    if (!st)
        st = mls_own_attention_new(&k->plain, k->config, k->original.T_max, workers,
                                   err);
    if (!st)
        st = mls_latent_runner_new(&k->runner, k->original.T_max, workers, false, err);
    return st;
}

/* --- One layer --- */

/* The original's attention, whose output is kept as the layer's target. */
static mls_status original_attention(void *arg, size_t sequence, size_t worker,
                                     const float *x, size_t T, float *out,
                                     float *carried, mls_err *err)
{
    const mls_heal_run_state *k = arg;
    const size_t first = k->original.start[sequence] * k->config->E;
    mls_own_attention plain = k->plain;
    mls_status st =
        mls_own_attention_run(&plain, sequence, worker, x, T, out, carried, err);

    if (!k->job->healed_inputs)
        memcpy(k->x + first, x, T * k->config->E * sizeof *x);
    memcpy(k->target + first, out, T * k->config->E * sizeof *out);
    return st;
}

/* x = norm(h'), before the layer changes the states. */
static mls_status healed_input(void *arg, size_t job, size_t worker, mls_err *err)
{
    const mls_heal_run_state *k = arg;
    const size_t E = k->config->E, first = k->original.start[job] * E;
    const size_t T = k->original.start[job + 1] - k->original.start[job];

    (void)worker;
    (void)err;
    mls_block_norm(k->config, k->x + first, k->healed.h + first,
                   k->plain.layer->attn_norm, k->plain.layer->attn_norm_bias, T);
    return MLS_OK;
}

static double seconds_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static mls_status build_form(const mls_heal_run_state *k, const mls_layer *layer,
                             mls_latent_form *form, mls_err *err)
{
    mls_layer_stats stats = {0};
    mls_status st = MLS_OK;

    if (k->job->in->capture)
        st = mls_capture_stats(k->job->in->capture, layer->index, &stats, err);
    if (!st)
        st = mls_scheme_build(k->ready, layer, k->job->in->capture ? &stats : NULL,
                              form, err);
    mls_layer_stats_free(&stats);
    return st;
}

/* The layer's form, healed; or as an earlier run left it. */
static mls_status heal_form(mls_heal_run_state *k, const mls_layer *layer,
                            mls_latent_form *form, mls_err *err)
{
    const mls_heal_job *job = k->job;
    const size_t l = layer->index, L = k->config->L;
    const double start = seconds_now();
    const mls_shared_cache *shared = k->share[l] >= 0 ? &k->kept[k->share[l]] : NULL;
    mls_heal_layer_result *r = &k->result[l];
    char what[64];
    mls_status st;
    const mls_heal_windows windows = {.n = job->corpus->N,
                                      .n_held = job->n_held,
                                      .T = job->corpus->start[1],
                                      .E = k->config->E,
                                      .ram = mls_model_ram(job->in->model) / ARRAYS,
                                      .x = k->x,
                                      .target = k->target,
                                      .keys = shared ? shared->keys : NULL,
                                      .values = shared ? shared->values : NULL};
    const mls_heal_options options = {.steps = job->steps,
                                      .batch = job->batch,
                                      .rate = job->rate,
                                      .damping = job->damping,
                                      .progress = job->progress,
                                      .what = what,
                                      .before = (double)(l * job->steps),
                                      .total = (double)(L * job->steps)};

    if (l > 0 && k->result[l - 1].converted)
        snprintf(what, sizeof what, "healing layer %zu of %zu (loss %.4f -> %.4f)",
                 l + 1, L, k->result[l - 1].losses.held_before,
                 k->result[l - 1].losses.held_after);
    else
        snprintf(what, sizeof what, "healing layer %zu of %zu", l + 1, L);
    st = mls_heal_layer(form, &windows, &options, job->in->pool, &r->losses, err);
    r->converted = true;
    r->seconds = seconds_now() - start;
    return st;
}

static mls_status make_form(mls_heal_run_state *k, const mls_layer *layer,
                            mls_latent_form *form, mls_err *err)
{
    const size_t l = layer->index;
    mls_latent_origin origin = {.L = k->config->L};
    char *path = NULL;
    mls_status st = mls_healing_layer_path(k, l, &path, err);

    if (st)
        return st;
    if (k->part && k->result[l].converted && mls_file_exists(path)) {
        st = mls_latent_read(form, &origin, path, err);
        free(path);
        return st;
    }
    st = build_form(k, layer, form, err);
    if (!st && form->k_own.cols)
        st = mls_fail(
            err, MLS_E_INPUT,
            "layer %zu has QK-norm, whose factor of every score is not healed; "
            "methods that read whole keys back are",
            l);
    if (!st && mls_scheme_converts(k->ready, l)) {
        st = heal_form(k, layer, form, err);
        if (!st)
            mls_losses_add(&k->record, l, &k->result[l]);
    }
    snprintf(origin.setting, sizeof origin.setting, "healed: %s", k->job->scheme->name);
    snprintf(origin.model_sha256, sizeof origin.model_sha256, "%s",
             k->job->model_sha256);
    if (!st)
        st = mls_latent_write(form, &origin, path, err);
    if (!st && k->part)
        st = mls_healing_write_record(k, err);
    free(path);
    return st;
}

/* --- Layers of a run that several processes share --- */

typedef struct {
    mls_heal_run_state *k;
    const mls_layer *layer;
    mls_latent_form *form;
} one_layer;

static mls_status make_layer(void *arg, size_t l, mls_err *err)
{
    const one_layer *w = arg;

    (void)l;
    return make_form(w->k, w->layer, w->form, err);
}

/* The file of a layer and its losses; a file that has gone into a part is removed. */
static mls_status pass_layer(void *arg, size_t l, mls_unit *u, mls_err *err)
{
    const one_layer *w = arg;
    mls_heal_run_state *k = w->k;
    mls_heal_layer_result *r = &k->result[l];
    char *path = NULL, *data = NULL;
    size_t len = 0;
    mls_status st = mls_healing_layer_path(k, l, &path, err);

    mls_unit_pass(u, r, sizeof *r);
    if (!st && !u->reading)
        st = mls_file_read_regular(path, UINT64_MAX, &data, &len, err);
    if (!st && !u->reading)
        mls_unit_pass(u, data, len);
    if (!st && u->reading && k->part) {
        st = mls_file_write(path, u->data.data + u->at, u->data.len - u->at, err);
        if (!st && r->converted)
            mls_losses_add(&k->record, l, r);
    }
    if (u->reading)
        u->at = u->data.len;
    else if (path)
        unlink(path);
    mls_free_all(data, path);
    return st;
}

static mls_status check_apart(const mls_heal_run_state *k, mls_err *err)
{
    if (k->job->healed_inputs)
        return mls_fail(err, MLS_E_INPUT,
                        "healed inputs are what the healed layers below give, so one "
                        "process heals all: --shard needs --inputs original");
    if (k->job->distil)
        return mls_fail(err, MLS_E_INPUT,
                        "all layers together are trained by one process: --shard goes "
                        "without --distil");
    for (size_t l = 0; l < k->config->L; l++)
        if (k->share[l] >= 0)
            return mls_fail(err, MLS_E_INPUT,
                            "%s: layer %zu shares the cache of layer %d, so one "
                            "process heals all",
                            k->job->scheme->name, l, k->share[l]);
    return MLS_OK;
}

/* Every layer from the part that has it. */
static mls_status join(mls_heal_run_state *k, mls_err *err)
{
    one_layer w = {.k = k};
    mls_status st = mls_healing_begin(k, err);

    for (size_t l = 0; !st && l < k->config->L; l++)
        st = mls_parts_do(k->job->in->parts, "healed layer", l, k->config->L,
                          make_layer, pass_layer, &w, NULL, err);
    if (!st)
        st = mls_healing_write_record(k, err);
    return st ? st : mls_healing_end(k, err);
}

static bool is_shared_later(const mls_heal_run_state *k, size_t l)
{
    for (size_t i = l + 1; i < k->config->L; i++)
        if (k->share[i] == (int)l)
            return true;
    return false;
}

static mls_status through_layer(mls_heal_run_state *k, size_t l, mls_err *err)
{
    const mls_heal_job *job = k->job;
    const bool later = is_shared_later(k, l);
    const size_t n = k->original.start[k->original.N] * k->config->E;
    mls_latent_form form = {0};
    mls_layer layer;
    mls_status st = mls_model_layer(job->in->model, l, &layer, err);

    if (st)
        return st;
    k->plain.layer = &layer;
    if (job->healed_inputs) {
        st = mls_pool_run(job->in->pool, k->original.N, healed_input, k, err);
        /* Before the layer writes over h. */
        for (size_t i = 0; i < n; i++)
            k->residual[i] = k->original.h[i] - k->healed.h[i];
    }
    if (!st)
        st = mls_layer_forward(k->config, &layer, &k->original, original_attention, k,
                               job->in->pool, err);
    for (size_t i = 0; job->healed_inputs && i < n; i++)
        k->target[i] += (float)job->repair * k->residual[i];
    if (!st)
        st = mls_parts_do(job->in->parts, "healed layer", l, k->config->L, make_layer,
                          pass_layer, &(one_layer){k, &layer, &form}, NULL, err);
    if (!st && later)
        st = mls_shared_cache_make(&k->kept[l], &form, k->x, k->original.N,
                                   job->corpus->start[1], job->in->pool, err);
    if (!st && job->healed_inputs) {
        st = mls_latent_runner_set(k->runner, &form, later ? &k->healed : NULL, err);
        if (!st)
            st = mls_layer_forward(k->config, &layer, &k->healed, mls_latent_attention,
                                   k->runner, job->in->pool, err);
    }
    mls_latent_free(&form);
    mls_layer_free(&layer);
    return st;
}

mls_status mls_heal_possible(const mls_config *c, mls_err *err)
{
    for (size_t l = 0; l < c->L; l++) {
        const char *other = mls_latent_other(c, l);

        other = other ? other : mls_latent_ours(c, l);
        if (other)
            return mls_fail(err, MLS_E_INPUT,
                            "layer %zu has %s, which is not healed: every layer needs "
                            "keys and values, and scores of them alone",
                            l, other);
    }
    return MLS_OK;
}

mls_status mls_heal_run(mls_heal_layer_result *result, mls_distilled *all,
                        const mls_heal_job *job, mls_err *err)
{
    mls_heal_run_state k = {
        .job = job, .config = mls_model_config(job->in->model), .result = result};
    mls_distilled ignored;
    mls_status st = mls_heal_possible(k.config, err);

    memset(result, 0, k.config->L * sizeof *result);
    if (!st && job->distil)
        st = mls_distil_possible(k.config, err);
    if (!st && mls_parts_joining(job->in->parts)) {
        st = join(&k, err);
        healing_free(&k);
        return st;
    }
    const bool making = mls_parts_making(job->in->parts);

    if (!st)
        st = healing_new(&k, err);
    if (!st)
        st = making ? check_apart(&k, err) : mls_healing_begin(&k, err);
    for (size_t l = 0; !st && l < k.config->L; l++)
        st = through_layer(&k, l, err);
    if (!st && job->distil)
        st = mls_healing_together(&k, all ? all : &ignored, err);
    if (!st && !making)
        st = mls_healing_end(&k, err);
    healing_free(&k);
    return st;
}
