/* The config.json of a sound Llama, changed key by key. */
#ifndef MLS_CONFIG_FIXTURE_H
#define MLS_CONFIG_FIXTURE_H

#include "tests/support/expect.h"

#include "datasets/base/json.h"
#include "datasets/checkpoint/config.h"

/* A sound Llama; each case changes one thing. */
static const char base_config[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\","
    "\"vocab_size\": 100, \"hidden_size\": 64, \"intermediate_size\": 96,"
    "\"num_hidden_layers\": 4, \"num_attention_heads\": 8,"
    "\"num_key_value_heads\": 2, \"max_position_embeddings\": 512,"
    "\"rms_norm_eps\": 1e-5, \"rope_theta\": 500000.0, \"hidden_act\": \"silu\","
    "\"tie_word_embeddings\": false, \"torch_dtype\": \"bfloat16\"}";

/* The base with the keys of patch set; "(none)" removes a key. Release with free(). */
static inline char *config_with(const char *patch)
{
    json_t *config, *change, *v;
    const char *key;
    char *text;

    assert_ok(mls_json_parse(&config, base_config, strlen(base_config), "base", &err));
    assert_ok(mls_json_parse(&change, patch, strlen(patch), patch, &err));
    json_object_foreach(change, key, v)
    {
        if (json_is_string(v) && strcmp(json_string_value(v), "(none)") == 0)
            json_object_del(config, key);
        else
            json_object_set(config, key, v);
    }
    text = json_dumps(config, 0);
    json_decref(change);
    json_decref(config);
    return text;
}

static inline mls_config read_with(const char *patch)
{
    char *text = config_with(patch);
    mls_config c;
    mls_err e = {0};

    if (mls_config_parse(&c, text, strlen(text), "config.json", &e))
        fail_msg("%s: %s", patch, e.text);
    free(text);
    return c;
}

#endif
