/*
 * A narrower key starts as what the wider one said: rope keys are keys unless rquant
 * says otherwise. bits and quant exclude each other. Layers without attention are never
 * converted, whatever `layers` says; where it says nothing, those are that a form can
 * say, or, where it can say none, all of them, for their bytes alone.
 */
#include "bench/frame/common_keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/latent/latent.h"

#define QUANTIZER(name_, member, help_, ...)                                           \
    {                                                                                  \
        .name = (name_), .type = MLS_KEY_QUANT,                                        \
        .at = offsetof(mls_common_keys, member), .hint = "FORMAT", .help = (help_),    \
        __VA_ARGS__                                                                    \
    }

const mls_key mls_common_key_table[] = {
    {"layers", MLS_KEY_TEXT, offsetof(mls_common_keys, layers), .hint = "LIST",
     .help = "layers that are converted: 0-7, 0,2,4, 1-31+2", .said = "all"},
    {"bits", MLS_KEY_BITS, offsetof(mls_common_keys, latent), .hint = "N",
     .help = "N < 16: quant=intN/64+128", .said = "16", .least = 1, .most = 16},
    QUANTIZER("quant", latent, "quantizer of everything that is cached",
              .said = "none"),
    QUANTIZER("kquant", key, "of keys and latents of keys", .like = "quant"),
    QUANTIZER("vquant", value, "of values and latents of values", .like = "quant"),
    QUANTIZER("rquant", rope_key, "of rope keys", .like = "kquant"),
    MLS_KEYS_END};

bool mls_common_quantizes(const mls_key *k)
{
    return k->type == MLS_KEY_QUANT || k->type == MLS_KEY_BITS;
}

static bool same(const mls_quant *a, const mls_quant *b)
{
    return a->format == b->format && a->bits == b->bits && a->group == b->group &&
           a->window == b->window && a->sinks == b->sinks && a->rotate == b->rotate &&
           a->seed == b->seed;
}

/* Keys and values, or a latent, of its own. */
static bool is_own(const mls_layer_shape *s)
{
    return mls_layer_is_attention(s) || s->kind == MLS_LAYER_MLA;
}

bool mls_common_can_convert(const mls_config *c, size_t l)
{
    if (c->layer[l].kind == MLS_LAYER_MLA)
        return true;
    return mls_layer_is_attention(&c->layer[l]) && !mls_latent_other(c, l);
}

size_t mls_common_convertible(const mls_config *c)
{
    size_t n = 0;

    for (size_t l = 0; l < c->L; l++)
        n += mls_common_can_convert(c, l);
    return n;
}

/* Why layer l stays as it is, in words that stand for many. */
static const char *why_not(const mls_config *c, size_t l)
{
    return c->layer[l].kind == MLS_LAYER_RECURRENT ? "a recurrent state"
           : c->layer[l].kind == MLS_LAYER_NONE    ? "an MLP alone"
                                                   : mls_latent_other(c, l);
}

const char *mls_common_left_alone(char *out, size_t size, const mls_config *c)
{
    const size_t n = mls_common_convertible(c);
    size_t at = 0, told = 0;

    out[0] = 0;
    if (n == c->L)
        return out;
    at = (size_t)snprintf(out, size,
                          n ? "%zu of %zu layers can be converted ("
                            : "%zu of %zu layers can be converted",
                          n, c->L);
    for (size_t l = 0, end; l < c->L && at < size; l = end) {
        end = l + 1;
        if (!mls_common_can_convert(c, l))
            continue;
        while (end < c->L && mls_common_can_convert(c, end))
            end++;
        at += (size_t)snprintf(out + at, size - at, told++ ? ",%zu" : "%zu", l);
        if (end - l > 1 && at < size)
            at += (size_t)snprintf(out + at, size - at, "-%zu", end - 1);
    }
    if (at < size)
        at +=
            (size_t)snprintf(out + at, size - at, "%s; as they are stay", n ? ")" : "");
    told = 0;
    for (size_t l = 0; l < c->L && at < size; l++) {
        const char *why = why_not(c, l);
        size_t first = 0, alike = 0;

        while (why && why_not(c, first) != why)
            first++;
        if (!why || first < l)
            continue;
        for (size_t k = l; k < c->L; k++)
            alike += why_not(c, k) == why;
        at += (size_t)snprintf(out + at, size - at, "%s %zu (%s)", told++ ? "," : "",
                               alike, why);
    }
    if (!n && at < size)
        snprintf(out + at, size - at, ", so no conversion is measured");
    return out;
}

static mls_status read_layers(mls_common_keys *k, const mls_config *config,
                              const char *method, mls_err *err)
{
    const bool baseline = strcmp(method, "baseline") == 0;
    const bool all = baseline || mls_common_convertible(config) == 0;
    size_t *list = NULL, n = 0;
    mls_status st = MLS_OK;

    if (k->layers[0])
        st = mls_size_list("layers", k->layers, 0, SIZE_MAX, &list, &n, err);
    if (st)
        return mls_fail_in(err, st, "%s", method);
    for (size_t i = 0; i < n && !st; i++)
        if (list[i] >= config->L)
            st = mls_fail(err, MLS_E_INPUT,
                          "%s: layers names layer %zu, the model has layers 0 to %zu",
                          method, list[i], config->L - 1);
        else
            k->converted[list[i]] = true;
    for (size_t l = 0; l < config->L; l++)
        k->converted[l] = list  ? k->converted[l] && is_own(&config->layer[l])
                          : all ? is_own(&config->layer[l])
                                : mls_common_can_convert(config, l);
    free(list);
    return st;
}

mls_status mls_common_keys_read(mls_common_keys *k, const mls_config *config,
                                const mls_setting *s, mls_err *err)
{
    mls_status st;

    *k = (mls_common_keys){0};
    if (mls_setting_get(s, "bits") && mls_setting_get(s, "quant"))
        return mls_fail(err, MLS_E_ARG, "%s: bits and quant exclude each other",
                        s->method);
    if ((st = mls_keys_read(k, mls_common_key_table, config, s, err)) ||
        (st = read_layers(k, config, s->method, err)))
        return st;
    k->apart = !same(&k->key, &k->latent) || !same(&k->value, &k->latent);
    return MLS_OK;
}
