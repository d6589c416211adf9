/*
 * A narrower key starts as what the wider one said: rope keys are keys unless rquant
 * says otherwise. bits and quant exclude each other. Layers without attention are never
 * converted, whatever `layers` says.
 */
#include "bench/frame/common_keys.h"

#include <stdio.h>
#include <string.h>

#include "analysis/frequency/select_rules.h"

const mls_key mls_common_key_table[] = {
    {.name = "layers",
     .type = MLS_KEY_TEXT,
     .hint = "LIST",
     .help = "layers that are converted: 0-7, 0,2,4, 1-31+2",
     .said = "all"},
    {.name = "bits", .hint = "N", .help = "N < 16: quant=intN/64+128", .said = "16"},
    {.name = "quant",
     .type = MLS_KEY_TEXT,
     .hint = "FORMAT",
     .help = "quantizer of everything that is cached",
     .said = "none"},
    {.name = "kquant",
     .type = MLS_KEY_TEXT,
     .hint = "FORMAT",
     .help = "of keys and latents of keys",
     .said = "quant"},
    {.name = "vquant",
     .type = MLS_KEY_TEXT,
     .hint = "FORMAT",
     .help = "of values and latents of values",
     .said = "quant"},
    {.name = "rquant",
     .type = MLS_KEY_TEXT,
     .hint = "FORMAT",
     .help = "of rope keys",
     .said = "kquant"},
    MLS_KEYS_END};

/* The quantizer of `key`; otherwise *q stays as it is. */
static mls_status read_quant(mls_quant *q, const mls_setting *s, const char *key,
                             mls_err *err)
{
    const char *text = mls_setting_get(s, key);
    const mls_status st = text ? mls_quant_parse(q, text, err) : MLS_OK;

    return st ? mls_fail_in(err, st, "%s: %s", s->method, key) : MLS_OK;
}

mls_status mls_common_keys_read(mls_common_keys *k, const mls_config *config,
                                const mls_setting *s, mls_err *err)
{
    mls_status st;
    mls_quant all = {0};
    size_t bits;
    char text[32];

    *k = (mls_common_keys){0};
    if ((st = mls_setting_layers(s, config->L, k->converted, err)))
        return st;
    for (size_t l = 0; l < config->L; l++)
        k->converted[l] = k->converted[l] && mls_layer_is_attention(&config->layer[l]);
    if (mls_setting_get(s, "bits") && mls_setting_get(s, "quant"))
        return mls_fail(err, MLS_E_ARG, "%s: bits and quant exclude each other",
                        s->method);
    if ((st = mls_setting_size(s, "bits", 16, 1, 16, &bits, err)))
        return st;
    /* The group and residual length of Hugging Face's QuantizedCache. */
    snprintf(text, sizeof text, "int%zu/64+128", bits);
    if (bits < 16 && (st = mls_quant_parse(&all, text, err)))
        return mls_fail_in(err, st, "%s: bits=%zu", s->method, bits);
    if ((st = read_quant(&all, s, "quant", err)))
        return st;
    k->key = k->value = k->latent = all;
    k->apart = mls_setting_get(s, "kquant") || mls_setting_get(s, "vquant");
    if ((st = read_quant(&k->key, s, "kquant", err)) ||
        (st = read_quant(&k->value, s, "vquant", err)))
        return st;
    k->rope_key = k->key;
    return read_quant(&k->rope_key, s, "rquant", err);
}

mls_status mls_common_rope(const char *method, const char *rule, mls_err *err)
{
    const mls_rule *found;
    mls_status st;

    if (strcmp(rule, "file:") == 0)
        return mls_fail(err, MLS_E_ARG, "%s: rope: file: is followed by a name",
                        method);
    if (strncmp(rule, "file:", 5) == 0)
        return MLS_OK;
    st = mls_rule_find(&found, rule, err);
    return st ? mls_fail_in(err, st, "%s: rope", method) : MLS_OK;
}
