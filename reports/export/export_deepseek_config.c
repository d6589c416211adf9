/*
 * config.json of a checkpoint in DeepSeek-V3's names. Written anew, not the model's
 * with keys added: a key that stays from another family would mean something to a
 * reader.
 */
#include <string.h>

#include "reports/export/export_deepseek.h"

/* null, or the scaling in Hugging Face's words. */
static json_t *rope_scaling(const mls_rope_config *r)
{
    if (r->type == MLS_ROPE_LINEAR)
        return json_pack("{s:s,s:s,s:f}", "rope_type", "linear", "type", "linear",
                         "factor", r->factor);
    if (r->type == MLS_ROPE_LLAMA3)
        return json_pack("{s:s,s:f,s:f,s:f,s:I}", "rope_type", "llama3", "factor",
                         r->factor, "low_freq_factor", r->low_freq_factor,
                         "high_freq_factor", r->high_freq_factor,
                         "original_max_position_embeddings",
                         (json_int_t)r->original_max_position);
    return json_null();
}

/*
 * The keys that say whose code computes the model. transformers goes by model_type,
 * vLLM and SGLang by architectures: they skip biases without a word and take every
 * scaling of RoPE for YaRN, so a folder that has either names a class they do not know.
 */
static json_t *code_keys(const mls_export_work *w, const mls_deepseek_shape *s,
                         const mls_rope_config *rope)
{
    const bool only_transformers = s->bias || rope->type != MLS_ROPE_DEFAULT;

    if (w->job->norm == MLS_NORM_NONE)
        return json_pack(
            "{s:[s],s:s,s:{s:s,s:s,s:s},s:b}", "architectures", "LlamaMLAForCausalLM",
            "model_type", "llamamla", "auto_map", "AutoConfig",
            "configuration_llamamla.LlamaMLAConfig", "AutoModel",
            "modeling_llamamla.LlamaMLAModel", "AutoModelForCausalLM",
            "modeling_llamamla.LlamaMLAForCausalLM", "qk_latent_layernorm", 0);
    return json_pack("{s:[s],s:s}", "architectures",
                     only_transformers ? "DeepseekV3ForCausalLMOfTransformers"
                                       : "DeepseekV3ForCausalLM",
                     "model_type", "deepseek_v3");
}

/* Keys of the model that say nothing about its layers. */
static void keep_keys(json_t *to, const json_t *from)
{
    static const char *const kept[] = {"bos_token_id", "eos_token_id", "pad_token_id",
                                       "initializer_range"};

    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        if (json_object_get(from, kept[i]))
            json_object_set(to, kept[i], json_object_get(from, kept[i]));
}

mls_status mls_deepseek_config(mls_export_work *w, const mls_deepseek_shape *s,
                               const mls_rope_config *rope, const char *dtype,
                               double residual, const char *model_sha256, mls_err *err)
{
    const mls_config *c = w->config;
    const char *word = strcmp(dtype, "F32") == 0    ? "float32"
                       : strcmp(dtype, "BF16") == 0 ? "bfloat16"
                                                    : "float16";
    json_t *model = NULL, *config, *ours;
    mls_status st = mls_export_config(w, &model, err);

    if (st)
        return st;
    config = code_keys(w, s, rope);
    ours = json_pack(
        "{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:s,s:f,s:b,s:s}", "vocab_size", (json_int_t)c->V,
        "hidden_size", (json_int_t)s->E, "intermediate_size", (json_int_t)c->F,
        "num_hidden_layers", (json_int_t)c->L, "num_attention_heads", (json_int_t)s->H,
        "num_key_value_heads", (json_int_t)s->H, "max_position_embeddings",
        (json_int_t)(c->max_position ? c->max_position : 4096), "hidden_act", "silu",
        "rms_norm_eps", w->job->norm == MLS_NORM_NONE ? c->rms_eps : MLS_DEEPSEEK_EPS,
        "tie_word_embeddings", 0, "torch_dtype", word);
    if (config && ours)
        json_object_update(config, ours);
    json_decref(ours);
    ours = json_pack(
        "{s:I,s:I,s:I,s:I,s:I,s:o,s:b,s:b,s:I,s:i,s:f,s:I,s:f,s:o,s:s,s:s,s:f}",
        "head_dim", (json_int_t)s->rope, "qk_rope_head_dim", (json_int_t)s->rope,
        "qk_nope_head_dim", (json_int_t)s->nope, "v_head_dim", (json_int_t)s->value,
        "kv_lora_rank", (json_int_t)s->rank, "q_lora_rank",
        s->q_rank ? json_integer((json_int_t)s->q_rank) : json_null(), "attention_bias",
        s->bias || s->q_bias, "rope_interleave", 1, "first_k_dense_replace",
        (json_int_t)c->L, "moe_layer_freq", 1, "routed_scaling_factor", 1.0,
        "num_nextn_predict_layers", (json_int_t)0, "rope_theta", rope->theta,
        "rope_scaling", rope_scaling(rope), "mlascope_setting", w->job->scheme->name,
        "mlascope_model", model_sha256, "mlascope_residual_scale", residual);
    if (!config || !ours || json_object_update(config, ours))
        st = mls_fail(err, MLS_E_NOMEM, "no memory for config.json");
    else
        keep_keys(config, model);
    if (!st)
        st = mls_export_json(w, "config.json", config,
                             "DeepSeek-V3's keys for this model", err);
    json_decref(ours);
    json_decref(config);
    json_decref(model);
    return st;
}
