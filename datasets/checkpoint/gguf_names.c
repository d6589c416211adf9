#include "datasets/checkpoint/gguf_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Interleaved are those whose class in the converter is or derives from LlamaModel with
 * undo_permute, which llama.cpp rotates as LLAMA_ROPE_TYPE_NORM.
 */
static const mls_gguf_family families[] = {
    {"llama", "llama", "LlamaForCausalLM", true},
    {"qwen2", "qwen2", "Qwen2ForCausalLM", false},
    {"qwen3", "qwen3", "Qwen3ForCausalLM", false},
    {"smollm3", "smollm3", "SmolLM3ForCausalLM", true},
    {"gemma", "gemma", NULL, false},
    {"gemma2", "gemma2", NULL, false},
    {"gemma3", "gemma3_text", "Gemma3ForCausalLM", false},
    {"phi3", "phi3", NULL, false},
    {"phi2", "phi", NULL, false},
    {"qwen2moe", "qwen2_moe", NULL, false},
    {"qwen3moe", "qwen3_moe", NULL, false},
    {"deepseek2", "deepseek_v2", NULL, false},
    {"granite", "granite", NULL, true},
    {"command-r", "cohere", NULL, false},
    {"cohere2", "cohere2", NULL, false},
    {"olmo", "olmo", NULL, true},
    {"olmo2", "olmo2", NULL, false},
    {"stablelm", "stablelm", NULL, false},
    {"chatglm", "glm", NULL, false},
    {"gptneox", "gpt_neox", NULL, false},
    {"starcoder2", "starcoder2", NULL, false},
    {"gpt-oss", "gpt_oss", NULL, false},
};

const mls_gguf_family *mls_gguf_family_find(const char *architecture)
{
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (strcmp(families[i].name, architecture) == 0)
            return &families[i];
    return NULL;
}

/* llama.cpp, gguf-py/gguf/tensor_mapping.py. */
static const struct {
    const char *gguf, *hf;
} whole[] =
    {
        {"token_embd.weight", "model.embed_tokens.weight"},
        {"output_norm.weight", "model.norm.weight"},
        {"output.weight", "lm_head.weight"},
},
  in_layer[] =
      {
          {"attn_norm", "input_layernorm"},    {"attn_q", "self_attn.q_proj"},
          {"attn_k", "self_attn.k_proj"},      {"attn_v", "self_attn.v_proj"},
          {"attn_output", "self_attn.o_proj"}, {"attn_q_norm", "self_attn.q_norm"},
          {"attn_k_norm", "self_attn.k_norm"}, {"ffn_norm", "post_attention_layernorm"},
          {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},
          {"ffn_down", "mlp.down_proj"},
},
  in_gemma_layer[] = {
      {"ffn_norm", "pre_feedforward_layernorm"},
      {"post_attention_norm", "post_attention_layernorm"},
      {"post_ffw_norm", "post_feedforward_layernorm"},
};

/* The number of a layer as a converter writes it: no sign, no leading zero. */
static bool layer_number(const char *text, unsigned long *l, const char **end)
{
    char *after;

    if (text[0] < '0' || text[0] > '9' || (text[0] == '0' && text[1] != '.'))
        return false;
    *l = strtoul(text, &after, 10);
    *end = after;
    return *after == '.' && after - text <= 6;
}

bool mls_gguf_tensor_name(const char *name, bool around, char out[96])
{
    const char *rest, *dot;
    unsigned long l;

    snprintf(out, 96, "%s", name);
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++)
        if (strcmp(name, whole[i].gguf) == 0) {
            snprintf(out, 96, "%s", whole[i].hf);
            return true;
        }
    if (strncmp(name, "blk.", 4) != 0 || !layer_number(name + 4, &l, &rest))
        return false;
    rest++;
    dot = strchr(rest, '.');
    if (!dot || (strcmp(dot, ".weight") != 0 && strcmp(dot, ".bias") != 0))
        return false;
    for (size_t i = 0; around && i < sizeof in_gemma_layer / sizeof in_gemma_layer[0];
         i++)
        if (strlen(in_gemma_layer[i].gguf) == (size_t)(dot - rest) &&
            strncmp(rest, in_gemma_layer[i].gguf, (size_t)(dot - rest)) == 0) {
            snprintf(out, 96, "model.layers.%lu.%s%s", l, in_gemma_layer[i].hf, dot);
            return true;
        }
    for (size_t i = 0; i < sizeof in_layer / sizeof in_layer[0]; i++)
        if (strlen(in_layer[i].gguf) == (size_t)(dot - rest) &&
            strncmp(rest, in_layer[i].gguf, (size_t)(dot - rest)) == 0) {
            snprintf(out, 96, "model.layers.%lu.%s%s", l, in_layer[i].hf, dot);
            return true;
        }
    return false;
}
