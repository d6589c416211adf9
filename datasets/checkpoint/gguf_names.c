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
    {"exaone", "exaone", "ExaoneForCausalLM", false},
    {"exaone4", "exaone4", "Exaone4ForCausalLM", false},
    {"gpt-oss", "gpt_oss", "GptOssForCausalLM", false},
    {"granitemoe", "granitemoe", "GraniteMoeForCausalLM", true},
    {"hunyuan-dense", "hunyuan_v1_dense", "HunYuanDenseV1ForCausalLM", false},
    {"lfm2", "lfm2", "Lfm2ForCausalLM", false},
    {"olmoe", "olmoe", "OlmoeForCausalLM", false},
    {"seed_oss", "seed_oss", "SeedOssForCausalLM", false},
    {"deepseek2", "deepseek_v2", "DeepseekV2ForCausalLM", false},
    {"glm4moe", "glm4_moe", "Glm4MoeForCausalLM", false},
    {"qwen3next", "qwen3_next", "Qwen3NextForCausalLM", false},
    {"qwen35", "qwen3_5_text", "Qwen3_5ForCausalLM", false},
    {"qwen35moe", "qwen3_5_moe_text", "Qwen3_5MoeForCausalLM", false},
    {"gemma3n", "gemma3n_text", "Gemma3nForCausalLM", false},
    {"gemma4", "gemma4_text", "Gemma4ForCausalLM", false},
    {"lfm2moe", "lfm2_moe", "Lfm2MoeForCausalLM", false},
    {"granitehybrid", "granitemoehybrid", "GraniteMoeHybridForCausalLM", true},
    {"nemotron_h", "nemotron_h", "NemotronHForCausalLM", false},
    {"nemotron_h_moe", "nemotron_h", "NemotronHForCausalLM", false},
    {"falcon-h1", "falcon_h1", "FalconH1ForCausalLM", false},
    {"minimax-m2", "minimax_m2", "MiniMaxM2ForCausalLM", false},
    {"ernie4_5-moe", "ernie4_5_moe", "Ernie4_5_MoeForCausalLM", false},
    {"dots1", "dots1", "Dots1ForCausalLM", false},
    {"exaone-moe", "exaone_moe", "ExaoneMoeForCausalLM", false},
    {"nemotron", "nemotron", "NemotronForCausalLM", false},
    {"olmo", "olmo", "OlmoForCausalLM", true},
    /* sized */
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
    {"attn_gate", MLS_TENSOR_ATTN_GATE, MLS_TENSOR_ROLES},
    {"attn_q_a", MLS_TENSOR_Q_A, MLS_TENSOR_ROLES},
    {"attn_q_a_norm", MLS_TENSOR_Q_A_NORM, MLS_TENSOR_ROLES},
    {"attn_q_b", MLS_TENSOR_Q_B, MLS_TENSOR_ROLES},
    {"attn_kv_a_mqa", MLS_TENSOR_KV_A, MLS_TENSOR_ROLES},
    {"attn_kv_a_norm", MLS_TENSOR_KV_A_NORM, MLS_TENSOR_ROLES},
    {"attn_kv_b", MLS_TENSOR_KV_B, MLS_TENSOR_ROLES},
    {"ssm_in", MLS_TENSOR_REC_IN, MLS_TENSOR_REC_IN_BIAS},
    {"ssm_ba", MLS_TENSOR_REC_B, MLS_TENSOR_ROLES},
    {"ssm_beta", MLS_TENSOR_REC_B, MLS_TENSOR_ROLES},
    {"ssm_alpha", MLS_TENSOR_REC_A, MLS_TENSOR_ROLES},
    {"ssm_conv1d", MLS_TENSOR_REC_CONV, MLS_TENSOR_REC_CONV_BIAS},
    {"ssm_dt", MLS_TENSOR_ROLES, MLS_TENSOR_REC_DT_BIAS},
    {"ssm_norm", MLS_TENSOR_REC_NORM, MLS_TENSOR_ROLES},
    {"ssm_out", MLS_TENSOR_REC_OUT, MLS_TENSOR_REC_OUT_BIAS},
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
    {"ffn_gate_up_exps", MLS_TENSOR_EXPERT_GATE_UP, MLS_TENSOR_ROLES},
    {"exp_probs_b", MLS_TENSOR_ROLES, MLS_TENSOR_CORRECTION},
    {"ffn_gate_inp_shexp", MLS_TENSOR_SHARED_WEIGHT, MLS_TENSOR_ROLES},
    {"ffn_gate_shexp", MLS_TENSOR_SHARED_GATE, MLS_TENSOR_ROLES},
    {"ffn_up_shexp", MLS_TENSOR_SHARED_UP, MLS_TENSOR_ROLES},
    {"ffn_down_shexp", MLS_TENSOR_SHARED_DOWN, MLS_TENSOR_ROLES},
    /* Gemma 3n and 4 */
    {"per_layer_token_embd", MLS_TENSOR_INPUTS, MLS_TENSOR_ROLES},
    {"per_layer_model_proj", MLS_TENSOR_INPUTS_MAP, MLS_TENSOR_ROLES},
    {"per_layer_proj_norm", MLS_TENSOR_INPUTS_NORM, MLS_TENSOR_ROLES},
    {"inp_gate", MLS_TENSOR_INPUT_GATE, MLS_TENSOR_ROLES},
    {"proj", MLS_TENSOR_INPUT_OUT, MLS_TENSOR_ROLES},
    {"post_norm", MLS_TENSOR_INPUT_NORM, MLS_TENSOR_ROLES},
    {"altup_correct_coef", MLS_TENSOR_STREAM_CORRECT, MLS_TENSOR_ROLES},
    {"altup_correct_scale", MLS_TENSOR_STREAM_GAIN, MLS_TENSOR_ROLES},
    {"altup_predict_coef", MLS_TENSOR_STREAM_PREDICT, MLS_TENSOR_ROLES},
    {"altup_router", MLS_TENSOR_STREAM_ROUTER, MLS_TENSOR_ROLES},
    {"altup_router_norm", MLS_TENSOR_STREAM_NORM, MLS_TENSOR_ROLES},
    {"altup_proj", MLS_TENSOR_STREAMS, MLS_TENSOR_ROLES},
    {"laurel_l", MLS_TENSOR_LAUREL_DOWN, MLS_TENSOR_ROLES},
    {"laurel_r", MLS_TENSOR_LAUREL_UP, MLS_TENSOR_ROLES},
    {"laurel_post_norm", MLS_TENSOR_LAUREL_NORM, MLS_TENSOR_ROLES},
    {"pre_ffw_norm_2", MLS_TENSOR_EXPERTS_NORM, MLS_TENSOR_ROLES},
    {"post_ffw_norm_1", MLS_TENSOR_BESIDE_POST_NORM, MLS_TENSOR_ROLES},
    {"post_ffw_norm_2", MLS_TENSOR_EXPERTS_POST_NORM, MLS_TENSOR_ROLES},
    {"layer_output_scale", MLS_TENSOR_LAYER_SCALE, MLS_TENSOR_ROLES},
};

/* Names without "weight" or "bias" at their end. */
static const struct {
    const char *gguf;
    mls_tensor_role role;
} whole[] = {
    {"ssm_a", MLS_TENSOR_REC_A_LOG},
    {"ssm_d", MLS_TENSOR_REC_D},
    {"ffn_norm", MLS_TENSOR_MLP_NORM}, /* Falcon-H1's */
    {"ffn_gate_inp.scale", MLS_TENSOR_ROUTER_GAIN},
    {"ffn_down_exps.scale", MLS_TENSOR_EXPERT_GAIN},
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
static mls_tensor_role role_in(const mls_config *config, size_t l, mls_tensor_role role)
{
    const mls_net *n = &config->net;
    const bool recurrent = role < MLS_TENSOR_LAYER_ROLES && l < config->L &&
                           config->layer[l].kind == MLS_LAYER_RECURRENT;

    if (recurrent && role == MLS_TENSOR_QKV)
        return MLS_TENSOR_REC_IN;
    if (recurrent && role == MLS_TENSOR_ATTN_GATE)
        return MLS_TENSOR_REC_Z;
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

bool mls_gguf_layer_of(const char *name, size_t *l, const char **rest)
{
    unsigned long number = 0;

    if (strncmp(name, "blk.", 4) != 0 || !layer_number(name + 4, &number, rest))
        return false;
    *l = number;
    *rest += 1;
    return true;
}

/* The role of a name behind the layer's number; MLS_TENSOR_ROLES: none. */
static mls_tensor_role role_of(const char *rest)
{
    const char *dot = strrchr(rest, '.');
    const bool bias = dot && strcmp(dot, ".bias") == 0;

    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++)
        if (strcmp(rest, whole[i].gguf) == 0)
            return whole[i].role;
    if (!dot || (!bias && strcmp(dot, ".weight") != 0))
        return MLS_TENSOR_ROLES;
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        if (strlen(roles[i].gguf) == (size_t)(dot - rest) &&
            strncmp(rest, roles[i].gguf, (size_t)(dot - rest)) == 0)
            return bias ? roles[i].bias : roles[i].weight;
    return MLS_TENSOR_ROLES;
}

mls_tensor_role mls_gguf_tensor_role(const char *name, const mls_config *config,
                                     size_t *l)
{
    const char *rest = name;
    const bool in_layer = mls_gguf_layer_of(name, l, &rest);
    const mls_tensor_role role = role_of(rest);

    if (!in_layer)
        *l = 0;
    return role == MLS_TENSOR_ROLES || (role < MLS_TENSOR_LAYER_ROLES) != in_layer
               ? MLS_TENSOR_ROLES
               : role_in(config, *l, role);
}

bool mls_gguf_tensor_name(const char *name, const mls_config *config, char out[96])
{
    size_t l = 0;
    const mls_tensor_role role = mls_gguf_tensor_role(name, config, &l);

    snprintf(out, 96, "%s", name);
    if (role == MLS_TENSOR_ROLES)
        return false;
    mls_tensor_role_name(config, l, role, out);
    return true;
}
