/*
 * A converted model as a method: every layer's form comes from files, not from the
 * weights. Takes a checkpoint in DeepSeek-V3's names (`mlascope export --for deepseek`,
 * TransMLA), MHA2MLA's, EliteKV's or X-EcoMLA's, trained further or not, or a folder of
 * `--for latent`.
 */
#include "bench/methods/converted.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/latent/latent_file.h"
#include "bench/frame/method.h"
#include "common/base/checked.h"
#include "common/system/files.h"

/* An open folder: the parameters. */
typedef struct {
    char path[MLS_SETTING_WORD];
    mls_checkpoint *checkpoint; /* NULL: files of latent forms */
    mls_converted_config how;   /* of the checkpoint */
    mls_selection *chunks;      /* (n_chunks) of MHA2MLA or EliteKV, else NULL */
    size_t n_chunks;
} folder;

/* What follows from reading all of it. */
typedef struct {
    mls_model *body; /* everything but attention, from the checkpoint */
    int share[MLS_LAYERS_MAX];
} reading;

static void forget(void *params)
{
    folder *d = params;

    for (size_t l = 0; d->chunks && l < d->n_chunks; l++)
        mls_selection_free(&d->chunks[l]);
    free(d->chunks);
    mls_checkpoint_close(d->checkpoint);
}

static void release(void *prepared)
{
    reading *r = prepared;

    mls_model_close(r->body);
    free(r);
}

static mls_status open_checkpoint(folder *d, const char *path, const mls_config *config,
                                  mls_err *err)
{
    const mls_config *of;
    mls_status st;

    if ((st = mls_checkpoint_open(&d->checkpoint, path, err)) ||
        (st = mls_converted_config_read(&d->how, path, err)))
        return st;
    of = mls_checkpoint_config(d->checkpoint);
    if (!of->mla_kv_lora_rank && !d->how.is_mha2mla && !d->how.is_elitekv &&
        !d->how.is_x_ecomla)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: config.json has neither kv_lora_rank nor mha2mla nor "
                        "half_of_rope_dim, and no mla_layer_config.json is beside it: "
                        "it is no converted model in the names of DeepSeek-V3, "
                        "MHA2MLA, EliteKV or X-EcoMLA",
                        path);
    if (of->E != config->E || of->H != config->H || of->L != config->L ||
        of->V != config->V)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: %zu layers of width %zu with %zu heads and %zu tokens, "
                        "but the original has %zu of %zu, %zu and %zu",
                        path, of->L, of->E, of->H, of->V, config->L, config->E,
                        config->H, config->V);
    const double k = d->how.residual;

    if (k > 0 && fabs(of->rms_eps / (k * k * config->rms_eps) - 1) > 1e-3)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: its norms add %g to hidden states that are times %g, the "
                        "original's add %g",
                        path, of->rms_eps, k, config->rms_eps);
    if (!d->how.is_mha2mla && !d->how.is_elitekv)
        return MLS_OK;
    d->chunks = mls_calloc3(config->L, 1, 1, sizeof *d->chunks);
    if (!d->chunks)
        return mls_fail(err, MLS_E_NOMEM, "no memory to open %s", path);
    d->n_chunks = config->L;
    return d->how.is_elitekv ? mls_converted_elitekv_chunks(d->chunks, d->checkpoint,
                                                            &d->how, config, err)
                             : mls_converted_mha2mla_chunks(d->chunks, d->checkpoint,
                                                            &d->how, config, err);
}

static const mls_key keys[] = {{"path", MLS_KEY_TEXT, offsetof(folder, path),
                                .hint = "FOLDER", .help = "of its files"},
                               MLS_KEYS_END};

static mls_status settle(const mls_parsed *p, const mls_config *config, mls_err *err)
{
    folder *d = p->params;
    const char *path = d->path;
    char *json, *layer;
    char name[48];
    size_t first = 0; /* of which there are files */
    mls_status st = MLS_OK;

    if (!path[0])
        return mls_fail(err, MLS_E_ARG, "converted: path=FOLDER is missing");
    json = mls_path_join(path, "config.json");
    while (first + 1 < config->L && !mls_common_can_convert(config, first))
        first++;
    snprintf(name, sizeof name, "layer-%05zu.safetensors", first);
    layer = mls_path_join(path, name);
    if (!json || !layer)
        st = mls_fail(err, MLS_E_NOMEM, "no memory to open %s", path);
    else if (mls_file_exists(json) && mls_latent_ours(config, first))
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: a checkpoint, and the original has %s, which no converted "
                      "checkpoint has",
                      path, mls_latent_ours(config, first));
    else if (mls_file_exists(json) && config->mla_kv_lora_rank)
        st =
            mls_fail(err, MLS_E_INPUT,
                     "%s: a checkpoint, and the original has MLA already: latent forms "
                     "of truncate are read (export --for latent)",
                     path);
    else if (mls_file_exists(json))
        st = open_checkpoint(d, path, config, err);
    else if (!mls_file_exists(layer))
        st = mls_fail(
            err, MLS_E_INPUT,
            "%s: neither config.json nor %s is there, so it is not a converted "
            "model",
            path, name);
    mls_free_all(json, layer);
    return st;
}

static mls_status read_form(const folder *d, const mls_config *config, size_t l,
                            mls_latent_form *f, mls_latent_origin *origin, mls_err *err)
{
    char name[32], *path;
    mls_status st;

    *f = (mls_latent_form){0};
    if (d->how.is_elitekv)
        return mls_converted_elitekv(f, d->checkpoint, &d->chunks[l], config, l, err);
    if (d->how.is_x_ecomla)
        return mls_converted_x_ecomla(f, d->checkpoint, &d->how, config, l, err);
    if (d->chunks)
        return mls_converted_mha2mla(f, d->checkpoint, &d->chunks[l], config, l, err);
    if (d->checkpoint)
        return mls_converted_deepseek(f, d->checkpoint, &d->how, config, l, err);
    snprintf(name, sizeof name, "layer-%05zu.safetensors", l);
    path = mls_path_join(d->path, name);
    st = path ? mls_latent_read(f, origin, path, err)
              : mls_fail(err, MLS_E_NOMEM, "no memory for a file name");
    if (!st && (f->layer != l || f->E != config->E || f->H != config->H ||
                origin->L != config->L)) {
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: layer %zu of %zu, width %zu, %zu heads, but the original's "
                      "is layer %zu of %zu, width %zu, %zu heads",
                      path, f->layer, origin->L, f->E, f->H, l, config->L, config->E,
                      config->H);
        mls_latent_free(f);
    }
    free(path);
    return st;
}

/* The shape is in the files; its numbers come with it. */
static mls_status shape(mls_latent_form *f, const mls_config *config,
                        const mls_parsed *p, const void *prepared, size_t l,
                        mls_err *err)
{
    mls_latent_origin origin;

    (void)prepared;
    return read_form(p->params, config, l, f, &origin, err);
}

/* A folder that says which model it was made from must say this one. */
static mls_status same_model(const char *path, const char *made_from, const char *model,
                             mls_err *err)
{
    return strcmp(made_from, model) == 0
               ? MLS_OK
               : mls_fail(err, MLS_E_INPUT,
                          "%s was made from another model: SHA-256 %.12s, but the "
                          "original has %.12s",
                          path, made_from, model);
}

/* Read everything once, so that a damaged folder is refused before the work starts. */
static mls_status prepare(const mls_method_input *in, const mls_parsed *p,
                          void **prepared, mls_err *err)
{
    const folder *d = p->params;
    char sha256[65] = "";
    reading *r;
    mls_status st = MLS_OK;

    *prepared = NULL;
    if (!in->model)
        return mls_fail(err, MLS_E_INPUT, "converted: needs the original's weights");
    r = calloc(1, sizeof *r);
    if (!r)
        return mls_fail(err, MLS_E_NOMEM, "no memory to open %s", d->path);
    if (!d->checkpoint || d->how.model_sha256[0])
        st = mls_checkpoint_sha256(mls_model_checkpoint(in->model), sha256, NULL, err);
    if (!st && d->how.model_sha256[0])
        st = same_model(d->path, d->how.model_sha256, sha256, err);
    if (!st && d->checkpoint)
        st = mls_model_of_body(&r->body, d->checkpoint, in->config, d->how.residual,
                               err);
    for (size_t l = 0; l < in->config->L && !st; l++) {
        mls_latent_origin origin = {0};
        mls_latent_form f;

        r->share[l] = MLS_NONE;
        if (!d->checkpoint && !mls_common_can_convert(in->config, l))
            continue; /* it was left out */
        if ((st = read_form(d, in->config, l, &f, &origin, err)))
            break;
        r->share[l] = f.share_layer;
        mls_latent_free(&f);
        if (!d->checkpoint)
            st = same_model(d->path, origin.model_sha256, sha256, err);
    }
    if (st) {
        release(r);
        return st;
    }
    *prepared = r;
    return MLS_OK;
}

static const mls_model *body(const void *prepared)
{
    const reading *r = prepared;

    return r->body;
}

static int shares(const void *prepared, size_t l)
{
    const reading *r = prepared;

    return r->share[l];
}

const mls_method mls_method_converted = {
    .name = "converted",
    .title = "converted model",
    .source = "a folder of mlascope export, or a checkpoint of TransMLA, MHA2MLA, "
              "EliteKV or X-EcoMLA",
    .keys = keys,
    .formula = "what its files hold",
    .exact = true,
    .identity = false,
    .own_quantizers = true,
    .params_size = sizeof(folder),
    .settle = settle,
    .forget = forget,
    .shape = shape,
    .prepare = prepare,
    .release = release,
    .shares = shares,
    .body = body,
};
