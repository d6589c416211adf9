/*
 * Converters take less than settings can say: what a target cannot hold is refused with
 * the nearest that it can, before anything is written.
 */
#include "reports/export/export_inner.h"

#include <stdlib.h>
#include <string.h>

#include "bench/frame/partial.h"
#include "common/base/checked.h"
#include "common/system/files.h"

const mls_parsed *mls_export_says(const mls_export_work *w, size_t l)
{
    return &w->parsed[w->job->scheme->which[l]];
}

mls_status mls_export_require(const mls_export_work *w, const char *method,
                              mls_err *err)
{
    for (size_t l = 0; l < w->config->L; l++) {
        const mls_parsed *p = mls_export_says(w, l);

        if (strcmp(p->method->name, method) != 0)
            return mls_fail(err, MLS_E_INPUT,
                            "%s: this target takes settings of %s, and layer %zu has "
                            "one of %s; --for latent takes any",
                            w->job->target, method, l, p->method->name);
    }
    return mls_export_refuse_key(
        w, "scope", "head",
        "it keeps as many chunks in every head; the nearest is scope=head", err);
}

mls_status mls_export_refuse_key(const mls_export_work *w, const char *key,
                                 const char *usual, const char *why, mls_err *err)
{
    for (size_t l = 0; l < w->config->L; l++) {
        char word[MLS_SETTING_WORD];
        const char *value = mls_parsed_say(mls_export_says(w, l), w->config, key, word);

        if (value && strcmp(value, usual) != 0)
            return mls_fail(err, MLS_E_INPUT, "%s: its code cannot take %s=%s: %s",
                            w->job->target, key, value, why);
    }
    return MLS_OK;
}

mls_status mls_export_all_layers(const mls_export_work *w, mls_err *err)
{
    for (size_t l = 0; l < w->config->L; l++) {
        const mls_parsed *p = mls_export_says(w, l);

        if (!mls_parsed_all(p, w->config))
            return mls_fail(err, MLS_E_INPUT,
                            "%s: its code cannot take layers=%s: every layer is "
                            "converted; the nearest is the same setting without layers",
                            w->job->target, p->common.layers);
    }
    return MLS_OK;
}

mls_status mls_export_layout(const mls_export_work *w, mls_cache_layout **out,
                             mls_err *err)
{
    const mls_scheme *s = w->job->scheme;
    mls_cache_layout *one = calloc(1, sizeof *one), *all = calloc(1, sizeof *all);
    mls_status st = MLS_OK;

    *out = NULL;
    if (!one || !all)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a cache layout");
    for (size_t i = 0; i < s->n_settings && !st; i++) {
        st = mls_method_layout(one, w->config, &s->setting[i], err);
        for (size_t l = 0; l < w->config->L && !st; l++)
            if (s->which[l] == i)
                all->layer[l] = one->layer[l];
    }
    free(one);
    if (st) {
        free(all);
        return st;
    }
    all->L = w->config->L;
    *out = all;
    return MLS_OK;
}

size_t mls_export_numbers(const mls_cache_layer *layer, mls_part_kind kind)
{
    size_t n = 0;

    for (size_t i = 0; i < layer->n_parts; i++)
        if (layer->part[i].kind == kind)
            n += layer->part[i].n * layer->part[i].count;
    return n;
}

mls_status mls_export_same(const mls_export_work *w, const char *title,
                           const char *name, const size_t *value, mls_err *err)
{
    const size_t L = w->config->L;
    size_t sum = 0;

    for (size_t l = 0; l < L; l++)
        sum += value[l];
    for (size_t l = 1; l < L; l++)
        if (value[l] != value[0])
            return mls_fail(err, MLS_E_INPUT,
                            "%s: %s takes one %s for all layers, and layer 0 has %zu, "
                            "layer %zu has %zu; the nearest is %zu in every layer",
                            w->job->target, title, name, value[0], l, value[l],
                            (sum + L / 2) / L);
    return MLS_OK;
}

mls_status mls_export_orders(const mls_export_work *w, const size_t *chunks,
                             uint16_t **order, mls_err *err)
{
    const mls_config *c = w->config;
    const mls_method_input *in = w->job->in;
    const size_t C = c->D / 2;
    mls_status st = MLS_OK;

    *order = mls_calloc3(c->L, c->G, C, sizeof **order);
    if (!*order)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the chunks of %zu layers",
                        c->L);
    for (size_t l = 0; l < c->L && !st; l++) {
        const mls_layer layer = {.index = l};
        mls_layer_stats stats = {0};
        mls_selection chosen = {0};

        st = mls_progress_step(w->job->progress, "choosing chunks", (double)l,
                               (double)c->L, err);
        if (!st && in->capture)
            st = mls_capture_stats(in->capture, l, &stats, err);
        const mls_parsed *p = mls_export_says(w, l);
        const mls_partial *says = p->params;

        if (!st)
            st = mls_partial_select(&chosen, p->method->name, in, says->rule, chunks[l],
                                    &layer, in->capture ? &stats : NULL, err);
        if (!st)
            memcpy(*order + l * c->G * C, chosen.order, c->G * C * sizeof **order);
        mls_selection_free(&chosen);
        mls_layer_stats_free(&stats);
    }
    if (st) {
        free(*order);
        *order = NULL;
    }
    return st;
}

mls_status mls_export_forms(const mls_export_work *w, mls_export_form use, void *arg,
                            mls_err *err)
{
    const mls_method_input *in = w->job->in;
    const size_t L = w->config->L;
    int share[MLS_LAYERS_MAX];
    mls_ready_scheme *ready = NULL;
    mls_status st = mls_scheme_prepare(&ready, w->job->scheme, in, err);

    if (!st)
        st = mls_scheme_shares(ready, share, err);
    for (size_t l = 0; l < L && !st; l++) {
        mls_latent_form form = {0};

        st = mls_progress_step(w->job->progress, "converting layers", (double)l,
                               (double)L, err);
        if (!st)
            st = mls_scheme_form(ready, l, &form, err);
        if (!st && form.own && strcmp(w->job->target, "latent") != 0)
            st = mls_fail(err, MLS_E_INPUT,
                          "%s: layer %zu stays as it is (%s), and its files have no "
                          "place for such; --for latent leaves it out",
                          w->job->target, l, mls_latent_other(w->config, l));
        if (!st && !form.own) {
            if (form.share_layer < 0)
                form.share_layer = share[l];
            st = use(arg, &form, err);
        }
        mls_latent_free(&form);
    }
    mls_ready_scheme_free(ready);
    return st;
}

void mls_export_quoted(mls_buf *b, const char *text)
{
    json_t *value = json_string_nocheck(text);
    char *quoted = value ? json_dumps(value, JSON_ENCODE_ANY) : NULL;

    mls_buf_puts(b, quoted ? quoted : "\"\"");
    free(quoted);
    json_decref(value);
}

void mls_export_listed(mls_export_work *w, const char *name, const char *what)
{
    mls_buf_printf(&w->files, "- `%s`: %s\n", name, what);
}

mls_status mls_export_path(const mls_export_work *w, const char *name, char **path,
                           mls_err *err)
{
    *path = mls_path_join(w->folder, name);
    return *path ? MLS_OK : mls_fail(err, MLS_E_NOMEM, "no memory for a file name");
}

mls_status mls_export_text(mls_export_work *w, const char *name, const mls_buf *text,
                           const char *what, mls_err *err)
{
    char *path = NULL;
    mls_status st = text->failed ? mls_fail(err, MLS_E_NOMEM, "no memory for %s", name)
                                 : mls_export_path(w, name, &path, err);

    if (!st)
        st = mls_file_write(path, text->data, text->len, err);
    mls_export_listed(w, name, what);
    free(path);
    return st;
}

mls_status mls_export_json(mls_export_work *w, const char *name, const json_t *value,
                           const char *what, mls_err *err)
{
    char *text =
        value ? json_dumps(value, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) : NULL;
    mls_buf b = {0};
    mls_status st;

    if (!text)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %s", name);
    mls_buf_printf(&b, "%s\n", text);
    free(text);
    st = mls_export_text(w, name, &b, what, err);
    mls_buf_free(&b);
    return st;
}

mls_status mls_export_config(const mls_export_work *w, json_t **out, mls_err *err)
{
    const mls_checkpoint *c = mls_model_checkpoint(w->job->in->model);
    size_t len;
    const char *text = mls_checkpoint_config_json(c, &len);

    return mls_json_object(out, text, len, "config.json", NULL, err);
}
