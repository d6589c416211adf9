/*
 * Defaults are those of the config classes in Hugging Face transformers. Families that
 * we do not compute are here for their geometry, which `size` needs.
 */
#include "datasets/checkpoint/config_reader.h"

#include <string.h>

static const mls_family families[] = {
    /* computed exactly */
    {.model_type = "llama", .attention_bias = true, .mlp_bias = true},
    {.model_type = "mistral"},
    {.model_type = "qwen2", .qkv_bias = true},
    {.model_type = "qwen3", .attention_bias = true, .qk_norm = true},
    {.model_type = "smollm3",
     .attention_bias = true,
     .mlp_bias = true,
     .no_rope = true,
     .tied = true},

    /* sized, not computed */
    {.model_type = "gemma",
     .unsupported = "model_type: norms of 1 + w and embeddings times sqrt(hidden_size)",
     .tied = true},
    {.model_type = "gemma2",
     .unsupported = "attn_logit_softcapping: scores and logits are soft-capped",
     .tied = true},
    {.model_type = "gemma3_text",
     .unsupported = "rope_local_base_freq: sliding layers rotate at their own base",
     .tied = true},
    {.model_type = "phi3",
     .unsupported = "model_type: fused qkv_proj and gate_up_proj weights"},
    {.model_type = "mixtral",
     .unsupported = "num_local_experts: the MLP is a mixture of experts"},
    {.model_type = "qwen2_moe",
     .unsupported = "num_experts: the MLP is a mixture of experts",
     .qkv_bias = true},
    {.model_type = "qwen3_moe",
     .unsupported = "num_experts: the MLP is a mixture of experts",
     .qk_norm = true},
    {.model_type = "deepseek_v2",
     .unsupported = "kv_lora_rank: the model caches a latent already"},
    {.model_type = "deepseek_v3",
     .unsupported = "kv_lora_rank: the model caches a latent already"},
    {.model_type = "kimi_k2",
     .unsupported = "kv_lora_rank: the model caches a latent already"},
    {.model_type = "granite",
     .unsupported = "attention_multiplier: scores have a scale of their own"},
    {.model_type = "cohere",
     .unsupported = "logit_scale: logits are scaled",
     .tied = true},
    {.model_type = "cohere2",
     .unsupported = "logit_scale: logits are scaled",
     .tied = true},
    {.model_type = "olmo", .unsupported = "model_type: layer norms without weights"},
    {.model_type = "olmo2",
     .unsupported = "model_type: q and k are normed over all heads together"},
    {.model_type = "stablelm",
     .unsupported = "partial_rotary_factor: only a part of each head rotates"},
    {.model_type = "phi",
     .unsupported = "partial_rotary_factor: only a part of each head rotates"},
    {.model_type = "glm",
     .unsupported = "partial_rotary_factor: only a part of each head rotates"},
    {.model_type = "gpt_neox",
     .unsupported = "rotary_pct: only a part of each head rotates"},
    {.model_type = "starcoder2",
     .unsupported = "norm_epsilon: layer norms with a bias"},
    {.model_type = "gpt_oss",
     .unsupported = "model_type: attention sinks and a mixture of experts"},
};

const mls_family *mls_family_find(const char *model_type)
{
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (strcmp(families[i].model_type, model_type) == 0)
            return &families[i];
    return NULL;
}
