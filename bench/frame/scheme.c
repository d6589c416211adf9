#include "bench/frame/scheme.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/frame/common_keys.h"
#include "common/base/checked.h"

struct mls_ready_scheme {
    const mls_scheme *scheme;
    const mls_method_input *in;
    const mls_method **method; /* (n_settings) */
    void **plan;               /* (n_settings), NULL where the method makes none */
    mls_common_keys *keys;     /* (n_settings) */
};

void mls_scheme_free(mls_scheme *s)
{
    free(s->setting);
    free(s->which);
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

void mls_ready_scheme_free(mls_ready_scheme *r)
{
    if (!r)
        return;
    for (size_t i = 0; r->plan && i < r->scheme->n_settings; i++)
        if (r->plan[i])
            r->method[i]->release(r->plan[i]);
    free(r->plan);
    free(r->method);
    free(r->keys);
    free(r);
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
        r->method = mls_calloc3(s->n_settings, 1, 1, sizeof *r->method);
        r->plan = mls_calloc3(s->n_settings, 1, 1, sizeof *r->plan);
        r->keys = mls_calloc3(s->n_settings, 1, 1, sizeof *r->keys);
    }
    if (!r || !r->method || !r->plan || !r->keys) {
        mls_ready_scheme_free(r);
        return mls_fail(err, MLS_E_NOMEM, "no memory to prepare %s", s->name);
    }
    for (size_t i = 0; !st && i < s->n_settings; i++) {
        st = mls_method_find(&r->method[i], s->setting[i].method, err);
        if (!st)
            st = mls_setting_check_keys(&s->setting[i], r->method[i]->keys,
                                        mls_method_common_keys, err);
        if (!st)
            st = mls_common_keys_read(&r->keys[i], in->config, &s->setting[i], err);
        if (!st && r->method[i]->prepare)
            st = r->method[i]->prepare(in, &s->setting[i], &r->plan[i], err);
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

/*
 * What the setting's quantizer keys say about everything that this layer caches; plain:
 * rope keys are the model's own keys.
 */
static void set_quantizers(mls_latent_form *f, const mls_common_keys *k, bool plain)
{
    for (size_t i = 0; i < f->n_latents; i++) {
        mls_latent_vector *v = &f->latent[i];

        v->quant = v->holds_keys && v->holds_values ? k->latent
                   : v->holds_keys                  ? k->key
                                                    : k->value;
    }
    for (size_t b = 0; b < f->n_rope_keys; b++)
        f->rope_key[b].quant = plain ? k->key : k->rope_key;
}

mls_status mls_scheme_build(const mls_ready_scheme *r, const mls_layer *layer,
                            const mls_layer_stats *stats, mls_latent_form *form,
                            mls_err *err)
{
    const mls_scheme *s = r->scheme;
    const size_t i = s->which[layer->index];
    const bool converted = r->keys[i].converted[layer->index];
    mls_status st;

    if (converted)
        st = r->method[i]->build(r->in, &s->setting[i], r->plan[i], layer, stats, form,
                                 err);
    else
        st = mls_latent_identity(form, r->in->config, layer, err);
    /* A converted model's files say how it quantizes. */
    if (!st && !(converted && r->method[i] == &mls_method_converted))
        set_quantizers(form, &r->keys[i], !converted || r->method[i]->plain_keys);
    if (st) {
        *form = (mls_latent_form){0};
        return mls_fail_in(err, st, "%s, layer %zu", s->name, layer->index);
    }
    return MLS_OK;
}

const mls_model *mls_scheme_body(const mls_ready_scheme *r, size_t l)
{
    const size_t i = l == SIZE_MAX ? 0 : r->scheme->which[l];

    if (!r->method[i]->body || (l != SIZE_MAX && !r->keys[i].converted[l]))
        return NULL;
    return r->method[i]->body(r->plan[i]);
}

mls_status mls_scheme_shares(const mls_ready_scheme *r, int *share, mls_err *err)
{
    const mls_scheme *s = r->scheme;

    for (size_t l = 0; l < s->L; l++) {
        const size_t i = s->which[l];

        share[l] = MLS_NONE;
        if (r->keys[i].converted[l] && r->method[i]->shares)
            share[l] = r->method[i]->shares(r->plan[i], l);
        if (share[l] >= (int)l)
            return mls_fail(err, MLS_E_INPUT, "%s: layer %zu cannot share layer %d",
                            s->name, l, share[l]);
    }
    return MLS_OK;
}
