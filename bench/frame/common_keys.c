/*
 * A narrower key starts as what the wider one said: rope keys are keys unless rquant
 * says otherwise. bits and quant exclude each other. Layers without attention are never
 * converted, whatever `layers` says.
 */
#include "bench/frame/common_keys.h"

#include <stdlib.h>

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

static mls_status read_layers(mls_common_keys *k, const mls_config *config,
                              const char *method, mls_err *err)
{
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
        k->converted[l] =
            (k->converted[l] || !list) && mls_layer_is_attention(&config->layer[l]);
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
