/*
 * A scheme made ready: every different setting is parsed and prepared once, whatever
 * the number of layers that use it, because model-wide decisions (ranks per layer,
 * shared layers) look at all layers together.
 */
#include "bench/frame/scheme.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"

struct mls_ready_scheme {
    const mls_scheme *scheme;
    const mls_method_input *in;
    mls_parsed *parsed; /* (n_settings) */
    void **prepared;    /* (n_settings), NULL where the method makes none */
};

void mls_scheme_free(mls_scheme *s)
{
    mls_free_all(s->setting, s->which);
    *s = (mls_scheme){0};
}

mls_status mls_scheme_per_layer(mls_scheme *s, const char *name,
                                const mls_setting *setting, size_t L, mls_err *err)
{
    char text[2048], other[2048];

    *s = (mls_scheme){.L = L};
    snprintf(s->name, sizeof s->name, "%s", name);
    s->setting = mls_calloc3(L, 1, 1, sizeof *s->setting);
    s->which = mls_calloc3(L, 1, 1, sizeof *s->which);
    if (!s->setting || !s->which) {
        mls_scheme_free(s);
        return mls_fail(err, MLS_E_NOMEM, "no memory for the settings of %zu layers",
                        L);
    }
    for (size_t l = 0; l < L; l++) {
        size_t i = 0;

        mls_setting_text(&setting[l], text, sizeof text);
        while (i < s->n_settings &&
               strcmp(text, mls_setting_text(&s->setting[i], other, sizeof other)) != 0)
            i++;
        if (i == s->n_settings)
            s->setting[s->n_settings++] = setting[l];
        s->which[l] = i;
    }
    return MLS_OK;
}

mls_status mls_scheme_uniform(mls_scheme *s, const mls_setting *setting, size_t L,
                              mls_err *err)
{
    *s = (mls_scheme){.L = L, .n_settings = 1};
    mls_setting_text(setting, s->name, sizeof s->name);
    s->setting = mls_calloc3(1, 1, 1, sizeof *s->setting);
    s->which = mls_calloc3(L, 1, 1, sizeof *s->which);
    if (!s->setting || !s->which) {
        mls_scheme_free(s);
        return mls_fail(err, MLS_E_NOMEM, "no memory for the settings of %zu layers",
                        L);
    }
    s->setting[0] = *setting;
    return MLS_OK;
}

/* The project whose own code makes and runs a setting on this model. */
static mls_status project_of(mls_serve *out, const mls_setting *s,
                             const mls_config *config, mls_err *err)
{
    const mls_method *method;
    mls_parsed p = {0};
    mls_err why = {0};
    mls_status st;

    *out = MLS_SERVE_OWN_KERNEL;
    if (mls_method_find(&method, s->method, NULL) || !method->theirs)
        return MLS_OK;
    st = mls_method_parse(&p, config, s, &why);
    if (!st && method->theirs(config, &p))
        *out = method->project;
    mls_parsed_free(&p);
    return st == MLS_E_NOMEM ? mls_fail(err, st, "%s", why.text) : MLS_OK;
}

mls_status mls_setting_serve(mls_serve *out, const mls_setting *s,
                             const mls_config *config, const mls_cache_layout *layout,
                             mls_err *err)
{
    mls_serve project;
    const mls_status st = project_of(&project, s, config, err);

    *out = mls_serve_of(layout, config, project);
    return st;
}

mls_status mls_scheme_serve(mls_serve *out, const mls_scheme *s,
                            const mls_config *config, const mls_cache_layout *layout,
                            mls_err *err)
{
    mls_serve project, other;
    mls_status st = project_of(&project, &s->setting[0], config, err);

    for (size_t i = 1; !st && i < s->n_settings; i++) {
        st = project_of(&other, &s->setting[i], config, err);
        if (other != project)
            project = MLS_SERVE_OWN_KERNEL;
    }
    *out = mls_serve_of(layout, config, project);
    return st;
}

size_t mls_scheme_parameters(const mls_scheme *s, const mls_config *config)
{
    mls_cache_layout *layout = calloc(1, sizeof *layout);
    size_t sum = 0;

    for (size_t i = 0; layout && i < s->n_settings; i++)
        if (!mls_method_layout(layout, config, &s->setting[i], NULL))
            for (size_t l = 0; l < s->L; l++)
                sum += s->which[l] == i ? layout->layer[l].parameters : 0;
    free(layout);
    return sum;
}

void mls_ready_scheme_free(mls_ready_scheme *r)
{
    if (!r)
        return;
    for (size_t i = 0; r->prepared && r->parsed && i < r->scheme->n_settings; i++) {
        if (r->prepared[i])
            r->parsed[i].method->release(r->prepared[i]);
        mls_parsed_free(&r->parsed[i]);
    }
    mls_free_all(r->prepared, r->parsed, r);
}

mls_status mls_scheme_prepare(mls_ready_scheme **out, const mls_scheme *s,
                              const mls_method_input *in, mls_err *err)
{
    mls_ready_scheme *r = calloc(1, sizeof *r);
    mls_status st = MLS_OK;

    *out = NULL;
    if (r) {
        r->scheme = s;
        r->in = in;
        r->parsed = mls_calloc3(s->n_settings, 1, 1, sizeof *r->parsed);
        r->prepared = mls_calloc3(s->n_settings, 1, 1, sizeof *r->prepared);
    }
    if (!r || !r->parsed || !r->prepared) {
        mls_ready_scheme_free(r);
        return mls_fail(err, MLS_E_NOMEM, "no memory to prepare %s", s->name);
    }
    for (size_t i = 0; !st && i < s->n_settings; i++) {
        mls_parsed *p = &r->parsed[i];

        st = mls_method_parse(p, in->config, &s->setting[i], err);
        if (!st && p->method->prepare)
            st = p->method->prepare(in, p, &r->prepared[i], err);
        if (st)
            mls_fail_in(err, st, "%s", s->name);
    }
    if (st) {
        mls_ready_scheme_free(r);
        return st;
    }
    *out = r;
    return MLS_OK;
}

mls_status mls_scheme_build(const mls_ready_scheme *r, const mls_layer *layer,
                            const mls_layer_stats *stats, mls_latent_form *form,
                            mls_err *err)
{
    const size_t i = r->scheme->which[layer->index];
    const mls_status st =
        mls_method_form(form, r->in, &r->parsed[i], r->prepared[i], layer, stats, err);

    return st ? mls_fail_in(err, st, "%s, layer %zu", r->scheme->name, layer->index)
              : MLS_OK;
}

bool mls_scheme_is_original(const mls_ready_scheme *r, size_t l)
{
    const mls_parsed *p = &r->parsed[r->scheme->which[l]];
    const mls_common_keys *k = &p->common;
    const bool quantized =
        k->key.format || k->value.format || k->latent.format || k->rope_key.format;

    return !quantized && (!k->converted[l] || p->method == &mls_method_baseline);
}

mls_status mls_scheme_form(const mls_ready_scheme *r, size_t l, mls_latent_form *form,
                           mls_err *err)
{
    const mls_method_input *in = r->in;
    mls_layer layer = {0};
    mls_layer_stats stats = {0};
    const bool keys = mls_layer_attends(&in->config->layer[l]) &&
                      (in->config->layer[l].kind == MLS_LAYER_MLA ||
                       !mls_config_no_heads(in->config, l));
    mls_status st = keys ? mls_model_keys(in->model, l, &layer, err) : MLS_OK;

    layer.index = l; /* of others the form says only that they stay */
    *form = (mls_latent_form){0};
    if (!st && in->capture)
        st = mls_capture_stats(in->capture, l, &stats, err);
    if (!st)
        st = mls_scheme_build(r, &layer, in->capture ? &stats : NULL, form, err);
    mls_layer_stats_free(&stats);
    mls_layer_free(&layer);
    return st;
}

bool mls_scheme_converts(const mls_ready_scheme *r, size_t l)
{
    return r->parsed[r->scheme->which[l]].common.converted[l];
}

const char *mls_scheme_form_text(const mls_ready_scheme *r, size_t l)
{
    return r->parsed[r->scheme->which[l]].text;
}

const mls_model *mls_scheme_body(const mls_ready_scheme *r, size_t l)
{
    const size_t i = l == SIZE_MAX ? 0 : r->scheme->which[l];

    if (!r->parsed[i].method->body ||
        (l != SIZE_MAX && !r->parsed[i].common.converted[l]))
        return NULL;
    return r->parsed[i].method->body(r->prepared[i]);
}

mls_status mls_scheme_shares(const mls_ready_scheme *r, int *share, mls_err *err)
{
    const mls_scheme *s = r->scheme;

    for (size_t l = 0; l < s->L; l++) {
        const size_t i = s->which[l];

        share[l] = MLS_NONE;
        if (r->parsed[i].common.converted[l] && r->parsed[i].method->shares)
            share[l] = r->parsed[i].method->shares(r->prepared[i], l);
        if (share[l] >= (int)l)
            return mls_fail(err, MLS_E_INPUT, "%s: layer %zu cannot share layer %d",
                            s->name, l, share[l]);
    }
    return MLS_OK;
}
