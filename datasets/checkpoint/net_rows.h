/*
 * What rows of the families share: names of tensors and keys of config.json. A row says
 * what the class reads of config.json, how it calls its tensors and what it computes
 * otherwise than Llama; whatever else config.json holds is refused. Each was read
 * against its class in transformers 5.24.
 */
#ifndef MLS_NET_ROWS_H
#define MLS_NET_ROWS_H

#include "datasets/checkpoint/net_families.h"

/** The rows of one file. */
typedef struct mls_net_rows {
    const mls_net_family *row;
    size_t n;
} mls_net_rows;

extern const mls_net_rows mls_net_dense, mls_net_gemma, mls_net_gpt2, mls_net_experts,
    mls_net_hybrid, mls_net_latent;

#define NET_ROWS(families)                                                             \
    {                                                                                  \
        (families), sizeof(families) / sizeof(families)[0]                             \
    }

#define NAMES(...)                                                                     \
    .names = (const mls_tensor_name[])                                                 \
    {                                                                                  \
        __VA_ARGS__,                                                                   \
        {                                                                              \
            NULL, 0                                                                    \
        }                                                                              \
    }

/* Names that several families share. */
#define FC_MLP                                                                         \
    {"mlp.fc1.weight", MLS_TENSOR_UP}, {"mlp.fc1.bias", MLS_TENSOR_UP_BIAS},           \
        {"mlp.fc2.weight", MLS_TENSOR_DOWN},                                           \
    {                                                                                  \
        "mlp.fc2.bias", MLS_TENSOR_DOWN_BIAS                                           \
    }
#define C_MLP                                                                          \
    {"mlp.c_fc.weight", MLS_TENSOR_UP}, {"mlp.c_fc.bias", MLS_TENSOR_UP_BIAS},         \
        {"mlp.c_proj.weight", MLS_TENSOR_DOWN},                                        \
    {                                                                                  \
        "mlp.c_proj.bias", MLS_TENSOR_DOWN_BIAS                                        \
    }
#define H_MLP                                                                          \
    {"mlp.dense_h_to_4h.weight", MLS_TENSOR_UP},                                       \
        {"mlp.dense_h_to_4h.bias", MLS_TENSOR_UP_BIAS},                                \
        {"mlp.dense_4h_to_h.weight", MLS_TENSOR_DOWN},                                 \
    {                                                                                  \
        "mlp.dense_4h_to_h.bias", MLS_TENSOR_DOWN_BIAS                                 \
    }
#define GPT2_NORMS                                                                     \
    {"ln_1.weight", MLS_TENSOR_ATTN_NORM}, {"ln_1.bias", MLS_TENSOR_ATTN_NORM_BIAS},   \
        {"ln_2.weight", MLS_TENSOR_MLP_NORM},                                          \
    {                                                                                  \
        "ln_2.bias", MLS_TENSOR_MLP_NORM_BIAS                                          \
    }
#define GPT2_WHOLE                                                                     \
    {"transformer.wte.weight", MLS_TENSOR_EMBED},                                      \
        {"transformer.wpe.weight", MLS_TENSOR_POSITIONS},                              \
        {"transformer.ln_f.weight", MLS_TENSOR_NORM},                                  \
    {                                                                                  \
        "transformer.ln_f.bias", MLS_TENSOR_NORM_BIAS                                  \
    }
#define BLOOM_WHOLE                                                                    \
    {"transformer.word_embeddings.weight", MLS_TENSOR_EMBED},                          \
        {"transformer.ln_f.weight", MLS_TENSOR_NORM},                                  \
    {                                                                                  \
        "transformer.ln_f.bias", MLS_TENSOR_NORM_BIAS                                  \
    }
#define BLOOM_ATTENTION                                                                \
    {"self_attention.query_key_value.weight", MLS_TENSOR_QKV},                         \
        {"self_attention.query_key_value.bias", MLS_TENSOR_QKV_BIAS},                  \
        {"self_attention.dense.weight", MLS_TENSOR_WO},                                \
    {                                                                                  \
        "self_attention.dense.bias", MLS_TENSOR_BO                                     \
    }
#define OUT_PROJ(p)                                                                    \
    {p "q_proj.weight", MLS_TENSOR_WQ}, {p "k_proj.weight", MLS_TENSOR_WK},            \
        {p "v_proj.weight", MLS_TENSOR_WV}, {p "out_proj.weight", MLS_TENSOR_WO},      \
        {p "q_proj.bias", MLS_TENSOR_BQ}, {p "k_proj.bias", MLS_TENSOR_BK},            \
        {p "v_proj.bias", MLS_TENSOR_BV},                                              \
    {                                                                                  \
        p "out_proj.bias", MLS_TENSOR_BO                                               \
    }
#define OPT_LAYER                                                                      \
    OUT_PROJ("self_attn."), {"self_attn_layer_norm.weight", MLS_TENSOR_ATTN_NORM},     \
        {"self_attn_layer_norm.bias", MLS_TENSOR_ATTN_NORM_BIAS},                      \
        {"final_layer_norm.weight", MLS_TENSOR_MLP_NORM},                              \
        {"final_layer_norm.bias", MLS_TENSOR_MLP_NORM_BIAS},                           \
        {"fc1.weight", MLS_TENSOR_UP}, {"fc1.bias", MLS_TENSOR_UP_BIAS},               \
        {"fc2.weight", MLS_TENSOR_DOWN},                                               \
    {                                                                                  \
        "fc2.bias", MLS_TENSOR_DOWN_BIAS                                               \
    }
#define AFTER_NORMS                                                                    \
    {"post_attention_layernorm.weight", MLS_TENSOR_ATTN_POST_NORM},                    \
    {                                                                                  \
        "post_feedforward_layernorm.weight", MLS_TENSOR_MLP_POST_NORM                  \
    }
#define GEMMA_NORMS                                                                    \
    AFTER_NORMS,                                                                       \
    {                                                                                  \
        "pre_feedforward_layernorm.weight", MLS_TENSOR_MLP_NORM                        \
    }
#define MIXTRAL_EXPERTS                                                                \
    {"block_sparse_moe.gate.weight", MLS_TENSOR_ROUTER},                               \
        {"block_sparse_moe.experts.%zu.w1.weight", MLS_TENSOR_EXPERT_GATE},            \
        {"block_sparse_moe.experts.%zu.w3.weight", MLS_TENSOR_EXPERT_UP},              \
    {                                                                                  \
        "block_sparse_moe.experts.%zu.w2.weight", MLS_TENSOR_EXPERT_DOWN               \
    }
#define GRANITE_EXPERTS                                                                \
    {"block_sparse_moe.router.layer.weight", MLS_TENSOR_ROUTER},                       \
        {"block_sparse_moe.input_linear.weight", MLS_TENSOR_EXPERT_GATE_UP},           \
        {"block_sparse_moe.output_linear.weight", MLS_TENSOR_EXPERT_DOWN},             \
        {"shared_mlp.input_linear.weight", MLS_TENSOR_SHARED_GATE_UP},                 \
    {                                                                                  \
        "shared_mlp.output_linear.weight", MLS_TENSOR_SHARED_DOWN                      \
    }
#define QWEN_SHARED                                                                    \
    {"mlp.shared_expert.gate_proj.weight", MLS_TENSOR_SHARED_GATE},                    \
        {"mlp.shared_expert.up_proj.weight", MLS_TENSOR_SHARED_UP},                    \
    {                                                                                  \
        "mlp.shared_expert.down_proj.weight", MLS_TENSOR_SHARED_DOWN                   \
    }
#define MLA_KEYS                                                                       \
    "kv_lora_rank q_lora_rank qk_rope_head_dim qk_nope_head_dim v_head_dim "           \
    "qk_head_dim attention_bias "
#define INDEX_KEYS                                                                     \
    "index_topk index_head_dim index_n_heads indexer_types index_topk_pattern "        \
    "index_topk_freq index_skip_topk_offset mlp_bias topk_method scoring_func "        \
    "ep_size aux_loss_alpha seq_aux "
#define DELTA_KEYS                                                                     \
    "attention_bias linear_num_key_heads linear_num_value_heads linear_key_head_dim "  \
    "linear_value_head_dim linear_conv_kernel_dim full_attention_interval "
#define MAMBA_KEYS                                                                     \
    "mamba_n_heads mamba_num_heads mamba_d_head mamba_head_dim mamba_n_groups "        \
    "n_groups mamba_d_state ssm_state_size mamba_d_conv conv_kernel mamba_conv_bias "  \
    "use_conv_bias mamba_proj_bias mamba_use_bias time_step_limit time_step_min "      \
    "mamba_expand expand chunk_size mamba_chunk_size "                                 \
    "mamba_hidden_act "
#define MAMBA_NAMES(p)                                                                 \
    {p "in_proj.weight", MLS_TENSOR_REC_IN},                                           \
        {p "in_proj.bias", MLS_TENSOR_REC_IN_BIAS},                                    \
        {p "conv1d.weight", MLS_TENSOR_REC_CONV},                                      \
        {p "conv1d.bias", MLS_TENSOR_REC_CONV_BIAS},                                   \
        {p "dt_bias", MLS_TENSOR_REC_DT_BIAS}, {p "A_log", MLS_TENSOR_REC_A_LOG},      \
        {p "D", MLS_TENSOR_REC_D}, {p "norm.weight", MLS_TENSOR_REC_NORM},             \
        {p "out_proj.weight", MLS_TENSOR_REC_OUT},                                     \
    {                                                                                  \
        p "out_proj.bias", MLS_TENSOR_REC_OUT_BIAS                                     \
    }
#define LFM2_NAMES                                                                     \
    {"conv.in_proj.weight", MLS_TENSOR_REC_IN},                                        \
        {"conv.in_proj.bias", MLS_TENSOR_REC_IN_BIAS},                                 \
        {"conv.conv.weight", MLS_TENSOR_REC_CONV},                                     \
        {"conv.conv.bias", MLS_TENSOR_REC_CONV_BIAS},                                  \
        {"conv.out_proj.weight", MLS_TENSOR_REC_OUT},                                  \
        {"conv.out_proj.bias", MLS_TENSOR_REC_OUT_BIAS},                               \
        {"self_attn.out_proj.weight", MLS_TENSOR_WO},                                  \
        {"self_attn.q_layernorm.weight", MLS_TENSOR_Q_NORM},                           \
        {"self_attn.k_layernorm.weight", MLS_TENSOR_K_NORM},                           \
        {"operator_norm.weight", MLS_TENSOR_ATTN_NORM},                                \
        {"ffn_norm.weight", MLS_TENSOR_MLP_NORM},                                      \
        {"feed_forward.w1.weight", MLS_TENSOR_GATE},                                   \
        {"feed_forward.w3.weight", MLS_TENSOR_UP},                                     \
        {"feed_forward.w2.weight", MLS_TENSOR_DOWN},                                   \
    {                                                                                  \
        "model.embedding_norm.weight", MLS_TENSOR_NORM                                 \
    }
#define H1_NAMES                                                                       \
    {"pre_ff_layernorm.weight", MLS_TENSOR_MLP_NORM},                                  \
        {"feed_forward.gate_proj.weight", MLS_TENSOR_GATE},                            \
        {"feed_forward.gate_proj.bias", MLS_TENSOR_GATE_BIAS},                         \
        {"feed_forward.up_proj.weight", MLS_TENSOR_UP},                                \
        {"feed_forward.up_proj.bias", MLS_TENSOR_UP_BIAS},                             \
        {"feed_forward.down_proj.weight", MLS_TENSOR_DOWN},                            \
        {"feed_forward.down_proj.bias", MLS_TENSOR_DOWN_BIAS},                         \
    {                                                                                  \
        "model.final_layernorm.weight", MLS_TENSOR_NORM                                \
    }
#define CARRY_NAMES                                                                    \
    GEMMA_NORMS, {"per_layer_input_gate.weight", MLS_TENSOR_INPUT_GATE},               \
        {"per_layer_projection.weight", MLS_TENSOR_INPUT_OUT},                         \
    {                                                                                  \
        "post_per_layer_input_norm.weight", MLS_TENSOR_INPUT_NORM                      \
    }
#define GRANITE_KEYS                                                                   \
    "attention_bias mlp_bias attention_multiplier embedding_multiplier "               \
    "residual_multiplier logits_scaling "
#define EXPERT_KEYS                                                                    \
    "num_experts_per_tok moe_intermediate_size norm_topk_prob output_router_logits "   \
    "router_aux_loss_coef router_jitter_noise "
#define GROUP_KEYS                                                                     \
    EXPERT_KEYS "n_routed_experts n_shared_experts routed_scaling_factor n_group "     \
                "topk_group first_k_dense_replace num_nextn_predict_layers "           \
                "mlp_layer_types moe_layer_freq "
#define QWEN_MOE_KEYS                                                                  \
    EXPERT_KEYS "num_experts num_local_experts shared_expert_intermediate_size "       \
                "decoder_sparse_step mlp_only_layers "
#define APERTUS                                                                        \
    NAMES({"attention_layernorm.weight", MLS_TENSOR_ATTN_NORM},                        \
          {"feedforward_layernorm.weight", MLS_TENSOR_MLP_NORM}),                      \
        .theta = 12e6,                                                                 \
        .rope = {.type = MLS_ROPE_LLAMA3,                                              \
                 .factor = 8,                                                          \
                 .low_freq_factor = 1,                                                 \
                 .high_freq_factor = 4,                                                \
                 .original_max_position = 8192},                                       \
        .eps = 1e-5,                                                                   \
        .net = {.qk = MLS_QK_HEAD, .act = MLS_ACT_XIELU, .plain_mlp = true}
#define LN .norm = MLS_NORM_LAYER
#define LN_BIAS LN, .norm_bias = true

#endif
