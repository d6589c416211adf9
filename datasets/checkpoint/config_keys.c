/*
 * Keys of config.json that mls_config_read() reads, and keys that do not change what
 * the network computes in inference. A key in no list is not known: the model is then
 * not computed, because the key might say that it works in another way.
 */
#include "datasets/checkpoint/config_reader.h"

#include <string.h>

#include "datasets/base/json.h"
#include "datasets/checkpoint/quantization.h"

static const char *const harmless[] = {
    /* read elsewhere */
    "architectures",
    "activation",
    "activation_function",
    "bos_token_id",
    "dtype",
    "eos_token_id",
    "head_dim",
    "hidden_act",
    "hidden_activation",
    "hidden_size",
    "intermediate_size",
    "layer_types",
    "max_position_embeddings",
    "max_window_layers",
    "model_type",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "partial_rotary_factor",
    "quantization",
    "quantization_config",
    "compression_config",
    "rms_norm_eps",
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "sliding_window",
    "text_config",
    "tie_word_embeddings",
    "torch_dtype",
    "use_sliding_window",
    "vocab_size",
    /* training, saving and how the library runs the same computation */
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_name_or_path",
    "attention_dropout",
    "attn_implementation",
    "chunk_size_feed_forward",
    "finetuning_task",
    "gradient_checkpointing",
    "hidden_dropout",
    "id2label",
    "initializer_range",
    "is_llama_config",
    "label2id",
    "license",
    "max_sequence_length",
    "mlascope_model",
    "mlascope_norm_eps",
    "mlascope_residual_scale",
    "mlascope_setting",
    "model_max_length",
    "neftune_noise_alpha",
    "original_max_position_embeddings",
    "output_attentions",
    "output_hidden_states",
    "pad_token_id",
    "pretraining_tp",
    "problem_type",
    "residual_dropout",
    "return_dict",
    "sep_token_id",
    "task_specific_params",
    "tf_legacy_loss",
    "tokenizer_class",
    "transformers.js_config",
    "transformers_version",
    "unk_token_id",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
    /* sampling */
    "bad_words_ids",
    "begin_suppress_tokens",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "length_penalty",
    "max_length",
    "min_length",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_logits_to_keep",
    "num_return_sequences",
    "output_scores",
    "prefix",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict_in_generate",
    "suppress_tokens",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
};

/* Keys whose usual value changes nothing; any other one does. */
static const struct {
    const char *key;
    const char *text; /* a string, or NULL: */
    double number;    /* a number or a boolean (0, 1) */
} neutral[] = {
    {"is_causal", NULL, 1},
    {"logit_scale", NULL, 1},
    {"logits_scaling", NULL, 1},
    {"residual_multiplier", NULL, 1},
    {"residual_scale", NULL, 1},
    {"embedding_multiplier", NULL, 1},
    {"embedding_scale", NULL, 1},
    {"num_experts", NULL, 0},
    {"num_local_experts", NULL, 0},
    {"n_routed_experts", NULL, 0},
    {"n_shared_experts", NULL, 0},
    {"rope_pct", NULL, 1},
    {"rotary_pct", NULL, 1},
    {"no_rope_layer_interval", NULL, 0},
    {"norm_type", "rms_norm", 0},
    {"position_embedding_type", "rope", 0},
    {"num_nextn_predict_layers", NULL, 0},
};

/* Keys that other families use, and what they say is not computed unless it is off. */
static const char *const changing[] = {
    "alibi",
    "attention_bias",
    "attention_chunk_size",
    "attention_multiplier",
    "attention_out_bias",
    "attn_logit_softcapping",
    "attn_temperature_tuning",
    "auto_map",
    "clip_qkv",
    "cross_attention_layers",
    "final_logit_softcapping",
    "kv_lora_rank",
    "layer_norm_eps",
    "lm_head_bias",
    "mlp_bias",
    "no_rope_layers",
    "qk_layernorm",
    "query_pre_attn_scalar",
    "rope_interleaved",
    "rope_local_base_freq",
    "scale_depth",
    "scale_emb",
    "use_bias",
    "use_qk_norm",
    "use_qkv_bias",
};

static bool is_off(const json_t *value)
{
    return json_is_null(value) || json_is_false(value) ||
           (json_is_object(value) && json_object_size(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0);
}

static bool is_harmless(const char *key)
{
    for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++)
        if (strcmp(harmless[i], key) == 0)
            return true;
    return false;
}

/*
 * True when the key is in the neutral list; *same tells if its value is the usual one.
 */
static bool is_neutral(const char *key, const json_t *value, bool *same)
{
    for (size_t i = 0; i < sizeof neutral / sizeof neutral[0]; i++) {
        if (strcmp(neutral[i].key, key) != 0)
            continue;
        if (neutral[i].text)
            *same = json_is_string(value) &&
                    strcmp(json_string_value(value), neutral[i].text) == 0;
        else if (json_is_boolean(value))
            *same = neutral[i].number == (json_is_true(value) ? 1.0 : 0.0);
        else
            *same =
                json_is_number(value) && json_number_value(value) == neutral[i].number;
        return true;
    }
    return false;
}

static bool changes(const char *key)
{
    for (size_t i = 0; i < sizeof changing / sizeof changing[0]; i++)
        if (strcmp(changing[i], key) == 0)
            return true;
    return false;
}

static void judge(mls_config *config, const mls_net_family *f, const char *key,
                  const json_t *value)
{
    char shown[MLS_JSON_SHOW];
    bool same = true;

    if (json_is_null(value) || is_harmless(key) || (f && mls_net_reads(f, key)) ||
        (is_neutral(key, value, &same) ? same : is_off(value)))
        return;
    mls_json_show(shown, value);
    if (!same || changes(key))
        mls_config_unsupported(config, "%s is %s, which is not computed", key, shown);
    else
        mls_config_unsupported(
            config, "the key %.60s is not known, and its value %s may change the model",
            key, shown);
}

void mls_config_judge_keys(mls_config_reader *r)
{
    mls_quantization q;
    char why[256];
    const char *key;
    json_t *value;

    mls_quantization_read(&q, r->outer, r->inner, why, sizeof why);
    if (why[0])
        mls_config_unsupported(r->config, "%s", why);
    if (r->inner != r->outer && !r->net)
        mls_config_unsupported(r->config,
                               "text_config: the text model sits inside another model");
    json_object_foreach(r->inner, key, value)
    {
        judge(r->config, r->net, key, value);
    }
}
