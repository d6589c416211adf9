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
char *config_with(const char *patch);
mls_config read_with(const char *patch);

#endif
