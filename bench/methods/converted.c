/*
 * A converted model as a method: every layer's form comes from files, not from the
 * weights. Takes a checkpoint in DeepSeek-V3's names (`mlascope export --for deepseek`,
 * TransMLA) or MHA2MLA's, trained further or not, or a folder of `--for latent`.
 */
#include "bench/methods/converted.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/latent/latent_file.h"
#include "bench/frame/common_keys.h"
#include "bench/frame/method.h"
#include "common/base/checked.h"
#include "common/system/files.h"

/* An open folder. */
typedef struct {
    char path[MLS_SETTING_WORD];
    mls_checkpoint *checkpoint; /* NULL: files of latent forms */
    mls_converted_config how;   /* of the checkpoint */
    mls_selection *chunks;      /* (n_chunks) of a checkpoint of MHA2MLA, else NULL */
    size_t n_chunks;
    mls_model *body; /* everything but attention, from the checkpoint */
    int share[MLS_LAYERS_MAX];
} folder;

static mls_status no_quantizers(const mls_setting *s, mls_err *err)
{
    static const char *const keys[] = {"bits", "quant", "kquant", "vquant", "rquant"};

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (mls_setting_get(s, keys[i]))
            return mls_fail(err, MLS_E_INPUT,
                            "converted: takes no %s: the quantizers of its files count",
                            keys[i]);
    return MLS_OK;
}

static void release(void *plan)
{
    folder *d = plan;

    for (size_t l = 0; d->chunks && l < d->n_chunks; l++)
        mls_selection_free(&d->chunks[l]);
    free(d->chunks);
    mls_model_close(d->body);
    mls_checkpoint_close(d->checkpoint);
    free(d);
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
    if (!of->mla_kv_lora_rank && !d->how.is_mha2mla)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: config.json has neither kv_lora_rank nor mha2mla: it is "
                        "no converted model in the names of DeepSeek-V3 or MHA2MLA",
                        path);
    if (of->E != config->E || of->H != config->H || of->L != config->L ||
        of->V != config->V)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: %zu layers of width %zu with %zu heads and %zu tokens, "
                        "but the original has %zu of %zu, %zu and %zu",
                        path, of->L, of->E, of->H, of->V, config->L, config->E,
                        config->H, config->V);
    if (!d->how.is_mha2mla)
        return MLS_OK;
    d->chunks = mls_calloc3(config->L, 1, 1, sizeof *d->chunks);
    if (!d->chunks)
        return mls_fail(err, MLS_E_NOMEM, "no memory to open %s", path);
    d->n_chunks = config->L;
    return mls_converted_mha2mla_chunks(d->chunks, d->checkpoint, &d->how, config, err);
}

static mls_status open_folder(folder **out, const mls_setting *s,
                              const mls_config *config, mls_err *err)
{
    const char *path = mls_setting_get(s, "path");
    folder *d;
    char *json, *layer;
    mls_status st = no_quantizers(s, err);

    *out = NULL;
    if (st)
        return st;
    if (!path)
        return mls_fail(err, MLS_E_ARG, "converted: path=FOLDER is missing");
    d = calloc(1, sizeof *d);
    json = mls_path_join(path, "config.json");
    layer = mls_path_join(path, "layer-00000.safetensors");
    if (!d || !json || !layer)
        st = mls_fail(err, MLS_E_NOMEM, "no memory to open %s", path);
    else if (mls_file_exists(json))
        st = open_checkpoint(d, path, config, err);
    else if (!mls_file_exists(layer))
        st = mls_fail(err, MLS_E_INPUT,
                      "%s: neither config.json nor layer-00000.safetensors is there, "
                      "so it is not a converted model",
                      path);
    free(json);
    free(layer);
    if (st) {
        if (d)
            release(d);
        return st;
    }
    snprintf(d->path, sizeof d->path, "%s", path);
    *out = d;
    return MLS_OK;
}

static mls_status read_form(const folder *d, const mls_config *config, size_t l,
                            mls_latent_form *f, mls_latent_origin *origin, mls_err *err)
{
    char name[32], *path;
    mls_status st;

    *f = (mls_latent_form){0};
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

static mls_status layout(const mls_config *config, const mls_setting *s,
                         mls_cache_layout *out, mls_err *err)
{
    mls_common_keys k;
    mls_latent_origin origin;
    folder *d = NULL;
    mls_status st;

    if ((st = mls_common_convert(out, &k, config, s, err)) ||
        (st = open_folder(&d, s, config, err)))
        return st;
    for (size_t l = 0; l < config->L && !st; l++) {
        mls_latent_form f;

        if (!k.converted[l])
            continue;
        st = read_form(d, config, l, &f, &origin, err);
        if (!st)
            st = mls_latent_layout(&f, &out->layer[l], err);
        mls_latent_free(&f);
    }
    release(d);
    return st;
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
static mls_status prepare(const mls_method_input *in, const mls_setting *s, void **plan,
                          mls_err *err)
{
    char sha256[65] = "";
    folder *d = NULL;
    mls_status st;

    *plan = NULL;
    if (!in->model)
        return mls_fail(err, MLS_E_INPUT, "converted: needs the original's weights");
    if ((st = open_folder(&d, s, in->config, err)))
        return st;
    if (!d->checkpoint || d->how.model_sha256[0])
        st = mls_checkpoint_sha256(mls_model_checkpoint(in->model), sha256, NULL, err);
    if (!st && d->how.model_sha256[0])
        st = same_model(d->path, d->how.model_sha256, sha256, err);
    if (!st && d->checkpoint)
        st = mls_model_of_body(&d->body, d->checkpoint, in->config, err);
    for (size_t l = 0; l < in->config->L && !st; l++) {
        mls_latent_origin origin = {0};
        mls_latent_form f;

        if ((st = read_form(d, in->config, l, &f, &origin, err)))
            break;
        d->share[l] = f.share_layer;
        mls_latent_free(&f);
        if (!d->checkpoint)
            st = same_model(d->path, origin.model_sha256, sha256, err);
    }
    if (st) {
        release(d);
        return st;
    }
    *plan = d;
    return MLS_OK;
}

static const mls_model *body(const void *plan)
{
    const folder *d = plan;

    return d->body;
}

static int shares(const void *plan, size_t l)
{
    const folder *d = plan;

    return d->share[l];
}

static mls_status build(const mls_method_input *in, const mls_setting *s,
                        const void *plan, const mls_layer *layer,
                        const mls_layer_stats *stats, mls_latent_form *out,
                        mls_err *err)
{
    mls_latent_origin origin;

    (void)s;
    (void)stats;
    return read_form(plan, in->config, layer->index, out, &origin, err);
}

const mls_method mls_method_converted = {
    .name = "converted",
    .title = "converted model",
    .source = "a folder of mlascope export, or a checkpoint of TransMLA or MHA2MLA",
    .keys = "path=FOLDER",
    .formula = "what its files hold",
    .exact = true,
    .identity = false,
    .layout = layout,
    .prepare = prepare,
    .release = release,
    .shares = shares,
    .body = body,
    .build = build,
};
