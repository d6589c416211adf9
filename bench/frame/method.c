/*
 * What is asked of every method alike: its setting is read once, its shapes give the
 * bytes, and a form is a shape with numbers. No method says twice what it caches.
 */
#include "bench/frame/method.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/frame/folded_norm.h"
#include "common/base/checked.h"

enum { PLAIN_TEXT = 2048 };

void mls_parsed_free(mls_parsed *p)
{
    if (p->params && p->method->forget)
        p->method->forget(p->params);
    mls_free_all(p->params, p->text);
    *p = (mls_parsed){0};
}

const char *mls_parsed_say(const mls_parsed *p, const mls_config *config,
                           const char *key, char out[MLS_SETTING_WORD])
{
    const mls_key *k = mls_keys_find(p->method->keys, key);

    return k ? mls_keys_say(k, config, p->params, out) : NULL;
}

bool mls_parsed_all(const mls_parsed *p, const mls_config *config)
{
    for (size_t l = 0; l < config->L; l++)
        if (!p->common.converted[l])
            return false;
    return true;
}

/* Files that say how they are quantized leave nothing to say. */
static mls_status no_quantizers(const mls_setting *s, mls_err *err)
{
    for (const mls_key *k = mls_common_key_table; k->name; k++)
        if (mls_common_quantizes(k) && mls_setting_get(s, k->name))
            return mls_fail(err, MLS_E_INPUT,
                            "%s: takes no %s: the quantizers of its files count",
                            s->method, k->name);
    return MLS_OK;
}

/*
 * What tells forms of one model apart: quantizers are set on top of a form, and keys
 * mean the same in any order.
 */
static mls_status plain_text(char **out, const mls_setting *s, mls_err *err)
{
    mls_setting plain = *s;
    char text[PLAIN_TEXT];

    *out = NULL;
    if (mls_setting_names_file(s))
        return MLS_OK;
    plain.n = 0;
    for (size_t i = 0; i < s->n; i++) {
        const mls_key *k = mls_keys_find(mls_common_key_table, s->key[i]);

        if (k && mls_common_quantizes(k))
            continue;
        size_t at = plain.n++;

        for (; at > 0 && strcmp(plain.key[at - 1], s->key[i]) > 0; at--) {
            memcpy(plain.key[at], plain.key[at - 1], sizeof s->key[i]);
            memcpy(plain.value[at], plain.value[at - 1], sizeof s->value[i]);
        }
        memcpy(plain.key[at], s->key[i], sizeof s->key[i]);
        memcpy(plain.value[at], s->value[i], sizeof s->value[i]);
    }
    if (strlen(mls_setting_text(&plain, text, sizeof text)) + 1 == sizeof text)
        return MLS_OK; /* cut off: it may stand for another, too */
    *out = strdup(text);
    return *out ? MLS_OK : mls_fail(err, MLS_E_NOMEM, "no memory for a setting");
}

static mls_status read_params(mls_parsed *p, const mls_config *config,
                              const mls_setting *s, mls_err *err)
{
    mls_status st;

    if (!p->method->params_size)
        return MLS_OK;
    p->params = calloc(1, p->method->params_size);
    st = p->params ? mls_keys_read(p->params, p->method->keys, config, s, err)
                   : mls_fail(err, MLS_E_NOMEM, "no memory for a setting");
    if (!st && p->method->settle)
        st = p->method->settle(p, config, err);
    return st;
}

mls_status mls_method_parse(mls_parsed *p, const mls_config *config,
                            const mls_setting *s, mls_err *err)
{
    mls_status st;

    *p = (mls_parsed){0};
    if ((st = mls_method_find(&p->method, s->method, err)) ||
        (st = mls_keys_check(s, p->method->keys, mls_common_key_table, err)) ||
        (st = mls_common_keys_read(&p->common, config, s, err)))
        return st;
    if (config->mla_kv_lora_rank && p->method != &mls_method_baseline &&
        p->method != &mls_method_truncate && p->method != &mls_method_converted)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: the model (%s) already caches a latent of %zu numbers; "
                        "only baseline and truncate apply",
                        p->method->name, config->model_type, config->mla_kv_lora_rank);
    if (p->method->own_quantizers && (st = no_quantizers(s, err)))
        return st;
    if (p->method != &mls_method_baseline && !config->mla_kv_lora_rank &&
        mls_layers_count(config->layer, config->L, mls_layer_is_attention) == 0)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: no layer of the model (%s) caches keys and values of its "
                        "own; only baseline applies",
                        p->method->name, config->model_type);
    st = read_params(p, config, s, err);
    if (!st)
        st = plain_text(&p->text, s, err);
    if (st)
        mls_parsed_free(p);
    return st;
}

mls_status mls_needs_weights(const mls_parsed *p, const char *what, mls_err *err)
{
    return mls_fail(err, MLS_E_INPUT,
                    "%s: %s follows from the data; the size needs the weights",
                    p->method->name, what);
}

static mls_status no_joint(const mls_parsed *p, mls_err *err)
{
    return mls_fail(err, MLS_E_INPUT,
                    "%s: the latent holds keys and values together, so kquant and "
                    "vquant cannot be told apart; use quant, and rquant for rope keys",
                    p->method->name);
}

/* What the setting's quantizer keys say about everything that a layer caches. */
static mls_status set_quantizers(mls_latent_form *f, const mls_config *c,
                                 const mls_parsed *p, bool converted, mls_err *err)
{
    const mls_common_keys *k = &p->common;
    const bool plain = (!converted || p->method->plain_keys) &&
                       c->layer[f->layer].kind != MLS_LAYER_MLA;

    if (converted && p->method->own_quantizers)
        return MLS_OK;
    for (size_t i = 0; i < f->n_latents; i++) {
        mls_latent_vector *v = &f->latent[i];

        if (v->holds_keys && v->holds_values && k->apart)
            return no_joint(p, err);
        v->quant = v->holds_keys && v->holds_values ? k->latent
                   : v->holds_keys                  ? k->key
                                                    : k->value;
    }
    for (size_t b = 0; b < f->n_rope_keys; b++)
        f->rope_key[b].quant = plain ? k->key : k->rope_key;
    for (size_t i = 0; f->numbers && i < f->n_latents; i++)
        if (f->latent[i].quant.format)
            mls_latent_sign(f, i);
    return MLS_OK;
}

bool mls_parsed_quantizes(const mls_parsed *p)
{
    const mls_common_keys *k = &p->common;

    return k->key.format || k->value.format || k->latent.format || k->rope_key.format;
}

/* The same of a layer that no form says: part by part. */
static void quantize_parts(mls_cache_layer *layer, const mls_common_keys *k)
{
    for (size_t i = 0; i < layer->n_parts; i++)
        layer->part[i].quant = layer->part[i].kind == MLS_PART_KEY        ? k->key
                               : layer->part[i].kind == MLS_PART_ROPE_KEY ? k->rope_key
                               : layer->part[i].kind == MLS_PART_LATENT   ? k->latent
                                                                          : k->value;
}

/*
 * A method's shape. Where a layer has QK-norm and the method reads keys in parts, the
 * shape of the layer whose gains are in its weights.
 */
static mls_status shape(mls_latent_form *f, const mls_config *c, const mls_parsed *p,
                        const void *prepared, size_t l, mls_err *err)
{
    mls_status st = p->method->shape(f, c, p, prepared, l, err);

    if (st || !c->qk_norm || !(mls_reads_parts(f) || p->method->folds_norm))
        return st;
    const mls_config folded = mls_folded_config(c);

    mls_latent_free(f);
    return p->method->shape(f, &folded, p, prepared, l, err);
}

static mls_status build_folded(const mls_method_input *in, const mls_parsed *p,
                               const void *prepared, const mls_layer *layer,
                               const mls_layer_stats *stats, mls_latent_form *f,
                               mls_err *err)
{
    const mls_config config = mls_folded_config(in->config);
    mls_method_input folded = *in;
    mls_folded_layer own;
    mls_status st = mls_folded_layer_new(&own, in->config, layer, err);

    folded.config = &config;
    if (!st)
        st = p->method->build(&folded, p, prepared, &own.layer, stats, f, err);
    mls_folded_layer_free(&own);
    return st;
}

/* A form without quantizers, made now. */
static mls_status make_form(mls_latent_form *f, const mls_method_input *in,
                            const mls_parsed *p, const void *prepared,
                            const mls_layer *layer, const mls_layer_stats *stats,
                            mls_err *err)
{
    const mls_status st = shape(f, in->config, p, prepared, layer->index, err);

    if (st || !p->method->build)
        return st;
    return f->k_own.cols ? build_folded(in, p, prepared, layer, stats, f, err)
                         : p->method->build(in, p, prepared, layer, stats, f, err);
}

static double seconds_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The same, made before where it was kept. */
static mls_status kept_form(mls_latent_form *f, const mls_method_input *in,
                            const mls_parsed *p, const void *prepared,
                            const mls_layer *layer, const mls_layer_stats *stats,
                            mls_err *err)
{
    const bool keeps = in->forms && p->text;
    const double start = seconds_now();
    bool found = false;
    mls_status st = MLS_OK;

    if (keeps)
        st = mls_form_cache_get(in->forms, p->text, layer->index, f, &found, err);
    if (st || found)
        return st;
    st = make_form(f, in, p, prepared, layer, stats, err);
    if (!st && keeps && !f->own)
        mls_form_cache_put(in->forms, p->text, f, seconds_now() - start);
    return st;
}

/* A latent of the model's own, to be quantized. */
static mls_status whole_latent(mls_latent_form *f, const mls_config *c,
                               const mls_layer *layer, mls_err *err)
{
    mls_status st = mls_latent_mla_shape(f, c, layer->index, 0, err);

    if (!st)
        st = mls_latent_allocate(f, err);
    if (!st)
        mls_latent_mla_fill(f, c, layer);
    return st;
}

mls_status mls_method_form(mls_latent_form *f, const mls_method_input *in,
                           const mls_parsed *p, const void *prepared,
                           const mls_layer *layer, const mls_layer_stats *stats,
                           mls_err *err)
{
    const bool converted = p->common.converted[layer->index];
    const bool baseline = p->method == &mls_method_baseline;
    const mls_layer_shape *s = &in->config->layer[layer->index];
    mls_status st;

    if (s->kind == MLS_LAYER_MLA && mls_parsed_quantizes(p) && (baseline || !converted))
        st = whole_latent(f, in->config, layer, err);
    else if (converted)
        st = kept_form(f, in, p, prepared, layer, stats, err);
    else
        st = mls_latent_identity(f, in->config, layer, err);
    if (!st && f->own && mls_layer_is_attention(s) &&
        (mls_parsed_quantizes(p) || (converted && !baseline)))
        st = mls_fail(err, MLS_E_INPUT, "layer %zu has %s, which %s cannot take",
                      layer->index, mls_latent_other(in->config, layer->index),
                      baseline || !converted ? "a quantizer" : p->method->name);
    if (!st)
        st = set_quantizers(f, in->config, p, converted, err);
    return mls_latent_end(f, st, err);
}

/* A model with a latent of its own: nothing is converted, only quantized. */
static mls_status native_layout(mls_cache_layout *out, const mls_config *config,
                                const mls_parsed *p, mls_err *err)
{
    if (p->common.apart)
        return no_joint(p, err);
    mls_size_baseline(out, config);
    for (size_t l = 0; l < out->L; l++)
        for (size_t i = 0; i < out->layer[l].n_parts; i++)
            out->layer[l].part[i].quant =
                out->layer[l].part[i].kind == MLS_PART_ROPE_KEY ? p->common.rope_key
                                                                : p->common.latent;
    return MLS_OK;
}

/* A method's ranks and dims hold for all layers that it converts. */
static mls_status like_the_others(const mls_layer_shape *shape, size_t l,
                                  const mls_config *config, const mls_parsed *p,
                                  mls_err *err)
{
    const bool more = shape->index.n || shape->compressed.n || shape->copies > 1;

    if (shape->kind == MLS_LAYER_MLA ||
        (shape->G == config->G && shape->K == config->D && shape->V == config->D &&
         !more))
        return MLS_OK;
    return mls_fail(
        err, MLS_E_INPUT,
        "%s: layer %zu caches %u x (%u + %u) numbers a token%s and the "
        "largest layers %zu x (%zu + %zu); a setting is for layers that are "
        "alike, which layers=LIST chooses",
        p->method->name, l, shape->G, shape->K, shape->V,
        more ? " and more beside them" : "", config->G, config->D, config->D);
}

static mls_status layer_layout(mls_cache_layer *out, const mls_config *config,
                               const mls_parsed *p, size_t l, mls_err *err)
{
    const bool converted = p->common.converted[l] && p->method != &mls_method_baseline;
    const mls_cache_layer own = mls_size_layer(config, l);
    mls_latent_form f = {0};
    mls_status st = MLS_OK;

    *out = own;
    if (!converted && p->method->drops_rest && p->method->drops_rest(p)) {
        *out = (mls_cache_layer){.token_budget = 1.0};
        return MLS_OK;
    }
    if (!converted) {
        quantize_parts(out, &p->common);
        if (own.n_parts && !mls_latent_identity_shape(&f, config, l, NULL))
            out->parameters = mls_latent_parameters(&f);
        mls_latent_free(&f);
    } else if (!(st = like_the_others(&config->layer[l], l, config, p, err))) {
        st = shape(&f, config, p, NULL, l, err);
        if (!st)
            st = set_quantizers(&f, config, p, converted, err);
        if (!st)
            st = mls_latent_layout(&f, out, err);
        mls_latent_free(&f);
        out->window = own.window;
        out->conv_numbers = own.conv_numbers; /* beside the attention */
        out->state_numbers = own.state_numbers;
    }
    for (size_t i = 0; !st && i < out->n_parts; i++)
        if ((st = mls_quant_fits(&out->part[i].quant, out->part[i].n, err)))
            mls_fail_in(err, st, "%s: layer %zu", p->method->name, l);
    return st;
}

mls_status mls_method_layout(mls_cache_layout *out, const mls_config *config,
                             const mls_setting *s, mls_err *err)
{
    mls_parsed p;
    mls_status st = mls_method_parse(&p, config, s, err);

    if (st)
        return st;
    const bool native = config->mla_kv_lora_rank && p.method == &mls_method_baseline;

    if (native)
        st = native_layout(out, config, &p, err);
    else if (p.method->sized)
        st = p.method->sized(config, &p, err);
    out->L = config->L;
    for (size_t l = 0; !st && !native && l < config->L; l++)
        st = layer_layout(&out->layer[l], config, &p, l, err);
    mls_parsed_free(&p);
    return st;
}

bool mls_method_by_head(const mls_config *config, const mls_setting *s)
{
    mls_parsed p;
    bool differ = false;

    if (!mls_method_parse(&p, config, s, NULL)) {
        differ = mls_keys_by_head(p.method->keys, config, p.params);
        mls_parsed_free(&p);
    }
    return differ;
}

mls_status mls_method_converts(const mls_method *method, const mls_config *config,
                               mls_err *err)
{
    size_t l = 0;

    if (method == &mls_method_baseline || mls_common_convertible(config))
        return MLS_OK;
    while (l + 1 < config->L && !mls_layer_attends(&config->layer[l]))
        l++;
    return mls_fail(
        err, MLS_E_INPUT,
        "%s: no layer of the model (%s) can be converted: layer %zu has %s, "
        "which has no latent form; only baseline applies",
        method->name, config->model_type, l, mls_latent_other(config, l));
}

mls_status mls_method_possible(const mls_config *config, const mls_setting *s,
                               mls_err *err)
{
    mls_cache_layout *layout = calloc(1, sizeof *layout);
    mls_parsed p;
    mls_status st = mls_method_parse(&p, config, s, err);

    if (!st)
        st = mls_method_converts(p.method, config, err);
    mls_parsed_free(&p);
    /* Ranks that follow from the data: the method says later what is wrong. */
    if (!st && !layout)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a cache layout");
    if (!st && !mls_method_by_data(s))
        st = mls_method_layout(layout, config, s, err);
    free(layout);
    return st;
}
