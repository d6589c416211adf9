/*
 * Rows tie llama.cpp's names to roles of tensors, and the family's own row says what
 * Hugging Face calls the role: so a family needs no second list for GGUF. A layer's
 * number is taken only as a converter writes it.
 */
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
    {"gemma", "gemma", "GemmaForCausalLM", false},
    {"gemma2", "gemma2", "Gemma2ForCausalLM", false},
    {"gemma3", "gemma3_text", "Gemma3ForCausalLM", false},
    {"phi3", "phi3", "Phi3ForCausalLM", false},
    {"phi2", "phi", "PhiForCausalLM", false},
    {"qwen2moe", "qwen2_moe", "Qwen2MoeForCausalLM", false},
    {"qwen3moe", "qwen3_moe", "Qwen3MoeForCausalLM", false},
    {"granite", "granite", "GraniteForCausalLM", true},
    {"command-r", "cohere", "CohereForCausalLM", false},
    {"cohere2", "cohere2", "Cohere2ForCausalLM", false},
    {"olmo2", "olmo2", "Olmo2ForCausalLM", false},
    {"stablelm", "stablelm", "StableLmForCausalLM", false},
    {"gptneox", "gpt_neox", "GPTNeoXForCausalLM", false},
    {"starcoder2", "starcoder2", "Starcoder2ForCausalLM", false},
    {"glm4", "glm4", "Glm4ForCausalLM", false},
    {"arcee", "arcee", "ArceeForCausalLM", true},
    {"ernie4_5", "ernie4_5", "Ernie4_5ForCausalLM", false},
    {"exaone4", "exaone4", "Exaone4ForCausalLM", false},
    {"gpt-oss", "gpt_oss", "GptOssForCausalLM", false},
    {"granitemoe", "granitemoe", "GraniteMoeForCausalLM", true},
    {"hunyuan-dense", "hunyuan_v1_dense", "HunYuanDenseV1ForCausalLM", false},
    {"lfm2", "lfm2", "Lfm2ForCausalLM", false},
    {"olmoe", "olmoe", "OlmoeForCausalLM", false},
    {"seed_oss", "seed_oss", "SeedOssForCausalLM", false},
    /* sized */
    {"deepseek2", "deepseek_v2", NULL, false},
    {"olmo", "olmo", NULL, true},
    {"chatglm", "glm", NULL, false},
};

const mls_gguf_family *mls_gguf_family_find(const char *architecture)
{
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (strcmp(families[i].name, architecture) == 0)
            return &families[i];
    return NULL;
}

/*
 * llama.cpp, gguf-py/gguf/constants.py: what a tensor is for, with a weight and with a
 * bias. The family's row says how Hugging Face's class calls it.
 */
static const struct {
    const char *gguf;
    mls_tensor_role weight, bias; /* MLS_TENSOR_ROLES: there is none */
} roles[] = {
    {"token_embd", MLS_TENSOR_EMBED, MLS_TENSOR_ROLES},
    {"position_embd", MLS_TENSOR_POSITIONS, MLS_TENSOR_ROLES},
    {"token_embd_norm", MLS_TENSOR_EMBED_NORM, MLS_TENSOR_EMBED_NORM_BIAS},
    {"output_norm", MLS_TENSOR_NORM, MLS_TENSOR_NORM_BIAS},
    {"output", MLS_TENSOR_HEAD, MLS_TENSOR_HEAD_BIAS},
    {"attn_norm", MLS_TENSOR_ATTN_NORM, MLS_TENSOR_ATTN_NORM_BIAS},
    {"attn_q", MLS_TENSOR_WQ, MLS_TENSOR_BQ},
    {"attn_k", MLS_TENSOR_WK, MLS_TENSOR_BK},
    {"attn_v", MLS_TENSOR_WV, MLS_TENSOR_BV},
    {"attn_qkv", MLS_TENSOR_QKV, MLS_TENSOR_QKV_BIAS},
    {"attn_output", MLS_TENSOR_WO, MLS_TENSOR_BO},
    {"attn_q_norm", MLS_TENSOR_Q_NORM, MLS_TENSOR_Q_NORM_BIAS},
    {"attn_k_norm", MLS_TENSOR_K_NORM, MLS_TENSOR_K_NORM_BIAS},
    {"attn_sinks", MLS_TENSOR_SINKS, MLS_TENSOR_ROLES},
    {"shortconv.in_proj", MLS_TENSOR_REC_IN, MLS_TENSOR_ROLES},
    {"shortconv.conv", MLS_TENSOR_REC_CONV, MLS_TENSOR_ROLES},
    {"shortconv.out_proj", MLS_TENSOR_REC_OUT, MLS_TENSOR_ROLES},
    {"post_attention_norm", MLS_TENSOR_ATTN_POST_NORM, MLS_TENSOR_ROLES},
    {"ffn_norm", MLS_TENSOR_MLP_NORM, MLS_TENSOR_MLP_NORM_BIAS},
    {"post_ffw_norm", MLS_TENSOR_MLP_POST_NORM, MLS_TENSOR_ROLES},
    {"ffn_gate", MLS_TENSOR_GATE, MLS_TENSOR_GATE_BIAS},
    {"ffn_up", MLS_TENSOR_UP, MLS_TENSOR_UP_BIAS},
    {"ffn_down", MLS_TENSOR_DOWN, MLS_TENSOR_DOWN_BIAS},
    {"ffn_gate_inp", MLS_TENSOR_ROUTER, MLS_TENSOR_ROUTER_BIAS},
    {"ffn_gate_exps", MLS_TENSOR_EXPERT_GATE, MLS_TENSOR_EXPERT_GATE_BIAS},
    {"ffn_up_exps", MLS_TENSOR_EXPERT_UP, MLS_TENSOR_EXPERT_UP_BIAS},
    {"ffn_down_exps", MLS_TENSOR_EXPERT_DOWN, MLS_TENSOR_EXPERT_DOWN_BIAS},
    {"ffn_gate_inp_shexp", MLS_TENSOR_SHARED_WEIGHT, MLS_TENSOR_ROLES},
    {"ffn_gate_shexp", MLS_TENSOR_SHARED_GATE, MLS_TENSOR_ROLES},
    {"ffn_up_shexp", MLS_TENSOR_SHARED_UP, MLS_TENSOR_ROLES},
    {"ffn_down_shexp", MLS_TENSOR_SHARED_DOWN, MLS_TENSOR_ROLES},
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

/* What the name is for in this family, where that is not the same everywhere. */
static mls_tensor_role role_in(const mls_config *config, mls_tensor_role role)
{
    const mls_net *n = &config->net;

    if (role == MLS_TENSOR_UP && n->gate_up)
        return MLS_TENSOR_GATE_UP;
    /* "post_attention_norm" of gpt-oss stands before the MLP, LFM2's "token_embd_norm"
     * behind the last layer. */
    if (role == MLS_TENSOR_ATTN_POST_NORM && n->place == MLS_NORM_BEFORE)
        return MLS_TENSOR_MLP_NORM;
    if (role == MLS_TENSOR_EMBED_NORM && !n->embed_norm)
        return MLS_TENSOR_NORM;
    return role;
}

bool mls_gguf_tensor_name(const char *name, const mls_config *config, char out[96])
{
    const char *rest = name, *dot;
    unsigned long l = 0;
    const bool in_layer = strncmp(name, "blk.", 4) == 0;

    snprintf(out, 96, "%s", name);
    if (in_layer && !layer_number(name + 4, &l, &rest))
        return false;
    rest += in_layer;
    dot = strrchr(rest, '.');
    if (!dot || (strcmp(dot, ".weight") != 0 && strcmp(dot, ".bias") != 0))
        return false;
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        const mls_tensor_role role = dot[1] == 'w' ? roles[i].weight : roles[i].bias;

        if (strlen(roles[i].gguf) != (size_t)(dot - rest) ||
            strncmp(rest, roles[i].gguf, (size_t)(dot - rest)) != 0 ||
            role == MLS_TENSOR_ROLES || (role < MLS_TENSOR_LAYER_ROLES) != in_layer)
            continue;
        mls_tensor_role_name(config, l, role_in(config, role), out);
        return true;
    }
    return false;
}
