/*
 * One row a family, longer than 500 lines because there are that many: a family is
 * looked up whole, in one place. A row says what the class reads of config.json, how it
 * calls its tensors and what it computes otherwise than Llama; whatever else
 * config.json holds is refused.
 */
#include "datasets/checkpoint/net_families.h"

#include <string.h>

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

/* In the order of config_families.c; each against its class in transformers 5.24. */
static const mls_net_family families[] = {
    {.model_type = "llama", .keys = "attention_bias mlp_bias"},
    {.model_type = "mistral"},
    {.model_type = "ministral3", .theta = 1e6, .eps = 1e-5},
    {.model_type = "qwen2", .qkv_bias = true},
    {.model_type = "qwen3", .keys = "attention_bias", .net = {.qk = MLS_QK_HEAD}},
    {.model_type = "smollm3",
     .tied = true,
     .keys = "attention_bias mlp_bias no_rope_layers no_rope_layer_interval",
     .theta = 2e6},
    {.model_type = "arcee",
     .keys = "attention_bias mlp_bias",
     .eps = 1e-5,
     .net = {.act = MLS_ACT_RELU2, .plain_mlp = true}},
    {.model_type = "seed_oss",
     .keys = "attention_bias attention_out_bias mlp_bias",
     .qkv_bias = true},
    {.model_type = "internlm3", .keys = "attention_bias mlp_bias", .eps = 1e-5},
    {.model_type = "iquestcoder", .keys = "attention_bias mlp_bias", .eps = 1e-5},
    {.model_type = "exaone",
     .prefix = "transformer.h.%zu.",
     .keys = "attention_bias mlp_bias",
     NAMES(GPT2_NORMS, GPT2_WHOLE, OUT_PROJ("attn.attention."),
           {"mlp.c_fc_0.weight", MLS_TENSOR_GATE}, {"mlp.c_fc_1.weight", MLS_TENSOR_UP},
           {"mlp.c_proj.weight", MLS_TENSOR_DOWN}),
     .theta = 5e5,
     .eps = 1e-5},
    {.model_type = "exaone4",
     .keys = "sliding_window_pattern",
     NAMES(AFTER_NORMS),
     .eps = 1e-5,
     .still_full = true,
     .net = {.place = MLS_NORM_AFTER, .qk = MLS_QK_HEAD}},
    {.model_type = "hunyuan_v1_dense",
     .keys = "attention_bias use_qk_norm attention_head_dim eod_token_id",
     NAMES({"self_attn.query_layernorm.weight", MLS_TENSOR_Q_NORM},
           {"self_attn.key_layernorm.weight", MLS_TENSOR_K_NORM}),
     .eps = 1e-5,
     .net = {.qk = MLS_QK_HEAD_TURNED}},
    {.model_type = "ernie4_5",
     .tied = true,
     .keys = "use_bias",
     .theta = 5e5,
     .eps = 1e-5,
     .net = {.interleaved = true}},
    {.model_type = "apertus", .keys = "attention_bias qk_norm", APERTUS},
    {.model_type = "apertus1p5_text",
     .keys = "attention_bias qk_norm output_vocab_size",
     APERTUS},

    {.model_type = "cwm",
     .keys = "mlp_bias",
     .theta = 1e6,
     .rope = {.type = MLS_ROPE_LLAMA3,
              .factor = 16,
              .low_freq_factor = 1,
              .high_freq_factor = 4,
              .original_max_position = 8192},
     .eps = 1e-5},
    {.model_type = "ministral"},
    {.model_type = "bitnet",
     .keys = "attention_bias",
     .theta = 5e5,
     .eps = 1e-5,
     .net = {.sub_norms = true, .act = MLS_ACT_RELU2}},
    {.model_type = "nanochat",
     .keys = "attention_bias final_logit_softcapping",
     NAMES(FC_MLP),
     .net = {.norm_free = true,
             .qk = MLS_QK_HEAD_TURNED,
             .qk_free = true,
             .backward = true,
             .embed_norm = true,
             .act = MLS_ACT_RELU2,
             .plain_mlp = true,
             .logit_cap = 15}},
    {.model_type = "helium",
     .keys = "attention_bias mlp_bias",
     .theta = 1e5,
     .eps = 1e-8,
     .net = {.interleaved = true}},
    {.model_type = "emu3_text_model",
     .keys = "attention_bias mlp_bias",
     .theta = 1e6,
     .eps = 1e-5},
    {.model_type = "granite_docling_text",
     .tied = true,
     .keys = GRANITE_KEYS,
     .eps = 1e-5,
     .net = {.score_scale = 0.015625,
             .embed_scale = 12,
             .residual_scale = 0.263,
             .logit_scale = 0.25}},
    {.model_type = "granite_swa",
     .tied = true,
     .keys = GRANITE_KEYS "layer_rope_theta",
     .eps = 1e-5,
     .net = {.score_scale = 1, .sinks = true}},

    /* Gemma */
    {.model_type = "gemma",
     .tied = true,
     .keys = "attention_bias use_bidirectional_attention",
     .net = {.unit_offset = true, .act = MLS_ACT_GELU_TANH}},
    {.model_type = "gemma2",
     .tied = true,
     .keys = "attention_bias query_pre_attn_scalar attn_logit_softcapping "
             "final_logit_softcapping use_bidirectional_attention cache_implementation "
             "sliding_window_pattern",
     NAMES(GEMMA_NORMS),
     .net = {.unit_offset = true,
             .place = MLS_NORM_AROUND,
             .act = MLS_ACT_GELU_TANH,
             .score_scale = 0.0625,
             .score_cap = 50,
             .logit_cap = 30}},
    {.model_type = "vaultgemma",
     .tied = true,
     .keys = "attention_bias query_pre_attn_scalar attn_logit_softcapping "
             "final_logit_softcapping",
     NAMES({"pre_feedforward_layernorm.weight", MLS_TENSOR_MLP_NORM}),
     .net = {.unit_offset = true,
             .act = MLS_ACT_GELU_TANH,
             .score_scale = 0.0625,
             .score_cap = 50,
             .logit_cap = 30}},
    {.model_type = "gemma3_text",
     .tied = true,
     .keys = "attention_bias query_pre_attn_scalar attn_logit_softcapping "
             "final_logit_softcapping use_bidirectional_attention cache_implementation "
             "sliding_window_pattern _sliding_window_pattern rope_local_base_freq",
     NAMES(GEMMA_NORMS),
     .theta = 1e6,
     .local_theta = 1e4,
     .local_rope = true,
     .net = {.unit_offset = true,
             .place = MLS_NORM_AROUND,
             .act = MLS_ACT_GELU_TANH,
             .score_scale = 0.0625,
             .qk = MLS_QK_HEAD}},
    {.model_type = "gemma3n_text",
     .tied = true,
     .keys = "attention_bias final_logit_softcapping hidden_size_per_layer_input "
             "vocab_size_per_layer_input altup_num_inputs altup_active_idx "
             "altup_correct_scale altup_coef_clip laurel_rank num_kv_shared_layers "
             "activation_sparsity_pattern rope_local_base_freq "
             "sliding_window_pattern _sliding_window_pattern cache_implementation",
     NAMES(CARRY_NAMES),
     .theta = 1e6,
     .local_theta = 1e4,
     .local_rope = true,
     .net = {.place = MLS_NORM_AROUND,
             .act = MLS_ACT_GELU_TANH,
             .score_scale = 1,
             .logit_cap = 30,
             .qk = MLS_QK_HEAD,
             .v_norm = true,
             .laurel = 64,
             .carry = {.inputs = 256,
                       .inputs_vocab = 262144,
                       .streams = 4,
                       .stream_scaled = true}}},
    {.model_type = "gemma4_text",
     .tied = true,
     .keys = "attention_bias final_logit_softcapping hidden_size_per_layer_input "
             "vocab_size_per_layer_input attention_k_eq_v num_kv_shared_layers "
             "enable_moe_block use_double_wide_mlp num_experts top_k_experts "
             "moe_intermediate_size use_bidirectional_attention global_head_dim "
             "num_global_key_value_heads per_layer_config",
     NAMES(CARRY_NAMES, {"router.proj.weight", MLS_TENSOR_ROUTER},
           {"experts.gate_up_proj", MLS_TENSOR_EXPERT_GATE_UP},
           {"experts.down_proj", MLS_TENSOR_EXPERT_DOWN}),
     .theta = 1e6,
     .local_theta = 1e4,
     .local_rope = true,
     .mixed = true,
     .rope = {.type = MLS_ROPE_PROPORTIONAL, .partial = 0.25, .factor = 1},
     .net = {.place = MLS_NORM_AROUND,
             .act = MLS_ACT_GELU_TANH,
             .score_scale = 1,
             .qk = MLS_QK_HEAD,
             .v_norm = true,
             .layer_scale = true,
             .experts = {.normalize = true,
                         .layout = MLS_EXPERTS_STACKED,
                         .beside = true},
             .carry = {.inputs = 256, .inputs_vocab = 262144}}},
    {.model_type = "gemma4_unified_text",
     .tied = true,
     .keys = "attention_bias final_logit_softcapping attention_k_eq_v "
             "num_kv_shared_layers use_double_wide_mlp use_bidirectional_attention "
             "global_head_dim num_global_key_value_heads per_layer_config",
     NAMES(GEMMA_NORMS),
     .theta = 1e6,
     .local_theta = 1e4,
     .local_rope = true,
     .mixed = true,
     .rope = {.type = MLS_ROPE_PROPORTIONAL, .partial = 0.25, .factor = 1},
     .net = {.place = MLS_NORM_AROUND,
             .act = MLS_ACT_GELU_TANH,
             .score_scale = 1,
             .qk = MLS_QK_HEAD,
             .v_norm = true,
             .layer_scale = true}},

    /* fused projections, LayerNorm, parallel blocks */
    {.model_type = "phi3",
     .keys = "embd_pdrop resid_pdrop",
     NAMES({"self_attn.qkv_proj.weight", MLS_TENSOR_QKV},
           {"mlp.gate_up_proj.weight", MLS_TENSOR_GATE_UP}),
     .partial = 1,
     .eps = 1e-5,
     .net = {.qkv = MLS_QKV_STACKED, .gate_up = true}},
    {.model_type = "phi4_multimodal",
     .keys = "embd_pdrop resid_pdrop vision_config audio_config",
     NAMES({"self_attn.qkv_proj.weight", MLS_TENSOR_QKV},
           {"mlp.gate_up_proj.weight", MLS_TENSOR_GATE_UP}),
     .partial = 1,
     .eps = 1e-5,
     .net = {.qkv = MLS_QKV_STACKED, .gate_up = true}},
    {.model_type = "phi",
     .keys = "layer_norm_eps qk_layernorm embd_pdrop resid_pdrop",
     NAMES(FC_MLP, {"self_attn.dense.weight", MLS_TENSOR_WO},
           {"self_attn.dense.bias", MLS_TENSOR_BO},
           {"self_attn.q_layernorm.weight", MLS_TENSOR_Q_NORM},
           {"self_attn.k_layernorm.weight", MLS_TENSOR_K_NORM},
           {"self_attn.q_layernorm.bias", MLS_TENSOR_Q_NORM_BIAS},
           {"self_attn.k_layernorm.bias", MLS_TENSOR_K_NORM_BIAS},
           {"model.final_layernorm.weight", MLS_TENSOR_NORM},
           {"model.final_layernorm.bias", MLS_TENSOR_NORM_BIAS}),
     .partial = 0.5,
     .eps = 1e-5,
     .qkv_bias = true,
     .o_bias = true,
     .mlp_bias = true,
     .net = {LN_BIAS, .parallel = true, .one_norm = true, .act = MLS_ACT_GELU_TANH,
             .plain_mlp = true, .head_bias = true}},
    {.model_type = "olmo",
     .keys = "attention_bias clip_qkv",
     .eps = 1e-5,
     .net = {LN, .norm_free = true}},
    {.model_type = "olmo2",
     .keys = "attention_bias clip_qkv",
     NAMES(AFTER_NORMS),
     .eps = 1e-5,
     .net = {.place = MLS_NORM_AFTER, .qk = MLS_QK_WIDTH}},
    {.model_type = "olmo3",
     .keys = "attention_bias clip_qkv",
     NAMES(AFTER_NORMS),
     .theta = 5e5,
     .local_theta = 5e5,
     .eps = 1e-5,
     .local_rope = true,
     .net = {.place = MLS_NORM_AFTER, .qk = MLS_QK_WIDTH}},
    {.model_type = "starcoder2",
     .tied = true,
     .keys = "norm_epsilon use_bias embedding_dropout norm_type mlp_type",
     NAMES(C_MLP),
     .eps = 1e-5,
     .qkv_bias = true,
     .o_bias = true,
     .mlp_bias = true,
     .net = {LN_BIAS, .act = MLS_ACT_GELU_TANH, .plain_mlp = true}},
    {.model_type = "stablelm",
     .keys = "layer_norm_eps use_qkv_bias qk_layernorm use_parallel_residual rope_pct "
             "norm_eps",
     .partial = 0.25,
     .eps = 1e-5,
     .net = {LN_BIAS}},
    {.model_type = "gpt_neox",
     .keys = "layer_norm_eps use_parallel_residual attention_bias rotary_pct "
             "rotary_emb_base classifier_dropout",
     .prefix = "gpt_neox.layers.%zu.",
     NAMES(H_MLP, {"attention.query_key_value.weight", MLS_TENSOR_QKV},
           {"attention.query_key_value.bias", MLS_TENSOR_QKV_BIAS},
           {"attention.dense.weight", MLS_TENSOR_WO},
           {"attention.dense.bias", MLS_TENSOR_BO},
           {"gpt_neox.embed_in.weight", MLS_TENSOR_EMBED},
           {"gpt_neox.final_layer_norm.weight", MLS_TENSOR_NORM},
           {"gpt_neox.final_layer_norm.bias", MLS_TENSOR_NORM_BIAS},
           {"embed_out.weight", MLS_TENSOR_HEAD}),
     .partial = 0.25,
     .eps = 1e-5,
     .qkv_bias = true,
     .o_bias = true,
     .mlp_bias = true,
     .net = {LN_BIAS, .parallel = true, .act = MLS_ACT_GELU, .plain_mlp = true,
             .qkv = MLS_QKV_BY_HEAD}},
    {.model_type = "persimmon",
     .keys = "layer_norm_eps qk_layernorm",
     NAMES(H_MLP, {"self_attn.query_key_value.weight", MLS_TENSOR_QKV},
           {"self_attn.query_key_value.bias", MLS_TENSOR_QKV_BIAS},
           {"self_attn.dense.weight", MLS_TENSOR_WO},
           {"self_attn.dense.bias", MLS_TENSOR_BO},
           {"self_attn.q_layernorm.weight", MLS_TENSOR_Q_NORM},
           {"self_attn.k_layernorm.weight", MLS_TENSOR_K_NORM},
           {"self_attn.q_layernorm.bias", MLS_TENSOR_Q_NORM_BIAS},
           {"self_attn.k_layernorm.bias", MLS_TENSOR_K_NORM_BIAS},
           {"model.final_layernorm.weight", MLS_TENSOR_NORM},
           {"model.final_layernorm.bias", MLS_TENSOR_NORM_BIAS}),
     .partial = 0.5,
     .eps = 1e-5,
     .qkv_bias = true,
     .o_bias = true,
     .mlp_bias = true,
     .net = {LN_BIAS, .qk = MLS_QK_LAYER, .act = MLS_ACT_RELU2, .plain_mlp = true,
             .qkv = MLS_QKV_BY_HEAD}},
    {.model_type = "nemotron",
     .keys = "norm_eps attention_bias mlp_bias",
     .partial = 0.5,
     .eps = 1e-5,
     .net = {LN_BIAS, .unit_offset = true, .act = MLS_ACT_RELU2, .plain_mlp = true}},
    {.model_type = "jais2",
     .keys = "layer_norm_eps attention_bias mlp_bias",
     .eps = 1e-5,
     .qkv_bias = true,
     .o_bias = true,
     .mlp_bias = true,
     .net = {LN_BIAS, .act = MLS_ACT_RELU2, .plain_mlp = true}},
    {.model_type = "cohere",
     .tied = true,
     .keys = "layer_norm_eps logit_scale attention_bias use_qk_norm",
     .theta = 5e5,
     .eps = 1e-5,
     .net = {LN, .parallel = true, .one_norm = true, .interleaved = true,
             .logit_scale = 0.0625}},
    {.model_type = "cohere2",
     .tied = true,
     .keys = "layer_norm_eps logit_scale attention_bias use_qk_norm "
             "sliding_window_pattern _sliding_window_pattern cache_implementation "
             "rotary_pct use_embedding_sharing use_gated_activation "
             "use_parallel_block use_parallel_embedding order_of_interleaved_layers "
             "position_embedding_type",
     .eps = 1e-5,
     .still_full = true,
     .net = {LN, .parallel = true, .one_norm = true, .interleaved = true,
             .logit_scale = 0.0625}},
    {.model_type = "granite", .keys = GRANITE_KEYS, .net = {.score_scale = 1}},
    {.model_type = "hyperclovax",
     .keys = GRANITE_KEYS "use_post_norm",
     NAMES({"post_norm1.weight", MLS_TENSOR_ATTN_POST_NORM},
           {"post_norm2.weight", MLS_TENSOR_MLP_POST_NORM}),
     .net = {.place = MLS_NORM_AROUND}},
    {.model_type = "glm",
     .keys = "attention_bias",
     NAMES({"mlp.gate_up_proj.weight", MLS_TENSOR_GATE_UP}),
     .partial = 0.5,
     .eps = 1.5625e-07,
     .qkv_bias = true,
     .net = {.interleaved = true, .gate_up = true}},
    {.model_type = "glm4",
     .keys = "attention_bias",
     NAMES({"mlp.gate_up_proj.weight", MLS_TENSOR_GATE_UP},
           {"post_self_attn_layernorm.weight", MLS_TENSOR_ATTN_POST_NORM},
           {"post_mlp_layernorm.weight", MLS_TENSOR_MLP_POST_NORM}),
     .partial = 0.5,
     .eps = 1.5625e-07,
     .qkv_bias = true,
     .net = {.place = MLS_NORM_AROUND, .interleaved = true, .gate_up = true}},

    /* text parts of models that see pictures */
    {.model_type = "qwen2_vl_text", .theta = 1e6, .eps = 1e-5, .qkv_bias = true},
    {.model_type = "qwen2_5_vl_text", .theta = 1e6, .eps = 1e-5, .qkv_bias = true},
    {.model_type = "qwen3_vl_text",
     .keys = "attention_bias",
     .theta = 5e5,
     .net = {.qk = MLS_QK_HEAD}},
    {.model_type = "qwen2_5_omni_text", .tied = true, .theta = 1e6, .qkv_bias = true},
    {.model_type = "paddleocr_vl_text",
     .tied = true,
     .keys = "use_bias",
     .theta = 5e5,
     .eps = 1e-5},
    {.model_type = "glm_ocr_text",
     .keys = "attention_bias",
     NAMES({"mlp.gate_up_proj.weight", MLS_TENSOR_GATE_UP},
           {"post_self_attn_layernorm.weight", MLS_TENSOR_ATTN_POST_NORM},
           {"post_mlp_layernorm.weight", MLS_TENSOR_MLP_POST_NORM}),
     .partial = 1,
     .eps = 1e-5,
     .net = {.place = MLS_NORM_AROUND, .interleaved = true, .gate_up = true}},
    {.model_type = "glm4v_text",
     .keys = "attention_bias",
     NAMES({"mlp.gate_up_proj.weight", MLS_TENSOR_GATE_UP},
           {"post_self_attn_layernorm.weight", MLS_TENSOR_ATTN_POST_NORM},
           {"post_mlp_layernorm.weight", MLS_TENSOR_MLP_POST_NORM}),
     .partial = 1,
     .eps = 1e-5,
     .qkv_bias = true,
     .net = {.place = MLS_NORM_AROUND, .interleaved = true, .gate_up = true}},

    /* GPT-2 and its kin: positions are learned, or slopes */
    {.model_type = "gpt2",
     .wider = 4,
     .tied = true,
     .keys = "n_positions n_ctx n_embd n_layer n_head n_inner layer_norm_epsilon "
             "scale_attn_weights scale_attn_by_inverse_layer_idx embd_pdrop "
             "resid_pdrop attn_pdrop reorder_and_upcast_attn summary_type "
             "summary_use_proj summary_proj_to_labels summary_first_dropout "
             "summary_activation",
     .prefix = "transformer.h.%zu.",
     NAMES(GPT2_NORMS, GPT2_WHOLE, C_MLP, {"attn.c_attn.weight", MLS_TENSOR_QKV},
           {"attn.c_attn.bias", MLS_TENSOR_QKV_BIAS},
           {"attn.c_proj.weight", MLS_TENSOR_WO}, {"attn.c_proj.bias", MLS_TENSOR_BO}),
     .eps = 1e-5,
     .qkv_bias = true,
     .o_bias = true,
     .mlp_bias = true,
     .net = {LN_BIAS, .positions = true, .act = MLS_ACT_GELU_TANH, .plain_mlp = true,
             .qkv = MLS_QKV_STACKED, .transposed = true}},
    {.model_type = "gpt_bigcode",
     .wider = 4,
     .tied = true,
     .keys = "n_positions n_embd n_layer n_head n_inner layer_norm_epsilon "
             "scale_attn_weights multi_query embd_pdrop resid_pdrop attn_pdrop "
             "attention_softmax_in_fp32 scale_attention_softmax_in_fp32 "
             "inference_runner validate_runner_input pre_allocate_kv_cache "
             "max_sequence_length max_batch_size pad_key_length summary_type "
             "summary_use_proj summary_proj_to_labels summary_first_dropout "
             "summary_activation",
     .prefix = "transformer.h.%zu.",
     NAMES(GPT2_NORMS, GPT2_WHOLE, C_MLP, {"attn.c_attn.weight", MLS_TENSOR_QKV},
           {"attn.c_attn.bias", MLS_TENSOR_QKV_BIAS},
           {"attn.c_proj.weight", MLS_TENSOR_WO}, {"attn.c_proj.bias", MLS_TENSOR_BO}),
     .eps = 1e-5,
     .qkv_bias = true,
     .o_bias = true,
     .mlp_bias = true,
     .net = {LN_BIAS, .positions = true, .act = MLS_ACT_GELU_TANH, .plain_mlp = true,
             .qkv = MLS_QKV_STACKED}},
    {.model_type = "gpt_neo",
     .wider = 4,
     .tied = true,
     .keys = "num_layers num_heads attention_types attention_layers window_size "
             "layer_norm_epsilon embed_dropout resid_dropout classifier_dropout "
             "summary_type summary_use_proj summary_proj_to_labels "
             "summary_first_dropout summary_activation",
     .prefix = "transformer.h.%zu.",
     NAMES(GPT2_NORMS, GPT2_WHOLE, C_MLP, OUT_PROJ("attn.attention.")),
     .eps = 1e-5,
     .o_bias = true,
     .mlp_bias = true,
     .net = {LN_BIAS, .positions = true, .score_scale = 1, .act = MLS_ACT_GELU_TANH,
             .plain_mlp = true}},
    {.model_type = "gptj",
     .wider = 4,
     .keys = "n_positions n_embd n_layer n_head n_inner layer_norm_epsilon rotary_dim "
             "rotary embd_pdrop resid_pdrop attn_pdrop scale_attn_weights "
             "summary_type summary_use_proj summary_proj_to_labels "
             "summary_first_dropout summary_activation",
     .prefix = "transformer.h.%zu.",
     NAMES(GPT2_NORMS, GPT2_WHOLE, OUT_PROJ("attn."),
           {"mlp.fc_in.weight", MLS_TENSOR_UP}, {"mlp.fc_in.bias", MLS_TENSOR_UP_BIAS},
           {"mlp.fc_out.weight", MLS_TENSOR_DOWN},
           {"mlp.fc_out.bias", MLS_TENSOR_DOWN_BIAS}),
     .eps = 1e-5,
     .mlp_bias = true,
     .net = {LN_BIAS, .parallel = true, .one_norm = true, .interleaved = true,
             .act = MLS_ACT_GELU_TANH, .plain_mlp = true, .head_bias = true}},
    {.model_type = "codegen",
     .wider = 4,
     .keys = "n_positions n_ctx n_embd n_layer n_head n_inner layer_norm_epsilon "
             "rotary_dim rotary embd_pdrop resid_pdrop attn_pdrop scale_attn_weights "
             "summary_type summary_use_proj summary_proj_to_labels "
             "summary_first_dropout summary_activation",
     .prefix = "transformer.h.%zu.",
     NAMES(GPT2_NORMS, GPT2_WHOLE, {"attn.qkv_proj.weight", MLS_TENSOR_QKV},
           {"attn.out_proj.weight", MLS_TENSOR_WO}, {"mlp.fc_in.weight", MLS_TENSOR_UP},
           {"mlp.fc_in.bias", MLS_TENSOR_UP_BIAS},
           {"mlp.fc_out.weight", MLS_TENSOR_DOWN},
           {"mlp.fc_out.bias", MLS_TENSOR_DOWN_BIAS}),
     .eps = 1e-5,
     .mlp_bias = true,
     .net = {LN_BIAS, .parallel = true, .one_norm = true, .interleaved = true,
             .act = MLS_ACT_GELU_TANH, .plain_mlp = true, .head_bias = true,
             .qkv = MLS_QKV_QUARTERS}},
    {.model_type = "opt",
     .tied = true,
     .keys = "ffn_dim word_embed_proj_dim do_layer_norm_before enable_bias "
             "layer_norm_elementwise_affine _remove_final_layer_norm dropout "
             "layerdrop init_std",
     .prefix = "model.decoder.layers.%zu.",
     NAMES(OPT_LAYER, {"model.decoder.embed_tokens.weight", MLS_TENSOR_EMBED},
           {"model.decoder.embed_positions.weight", MLS_TENSOR_POSITIONS},
           {"model.decoder.final_layer_norm.weight", MLS_TENSOR_NORM},
           {"model.decoder.final_layer_norm.bias", MLS_TENSOR_NORM_BIAS}),
     .eps = 1e-5,
     .qkv_bias = true,
     .o_bias = true,
     .mlp_bias = true,
     .net = {LN_BIAS, .positions = true, .first_position = 2, .act = MLS_ACT_RELU,
             .plain_mlp = true}},
    {.model_type = "biogpt",
     .tied = true,
     .keys = "layer_norm_eps scale_embedding hidden_dropout_prob "
             "attention_probs_dropout_prob layerdrop activation_dropout",
     .prefix = "biogpt.layers.%zu.",
     NAMES(OPT_LAYER, {"biogpt.embed_tokens.weight", MLS_TENSOR_EMBED},
           {"biogpt.embed_positions.weight", MLS_TENSOR_POSITIONS},
           {"biogpt.layer_norm.weight", MLS_TENSOR_NORM},
           {"biogpt.layer_norm.bias", MLS_TENSOR_NORM_BIAS},
           {"output_projection.weight", MLS_TENSOR_HEAD}),
     .eps = 1e-5,
     .qkv_bias = true,
     .o_bias = true,
     .mlp_bias = true,
     .net = {LN_BIAS, .positions = true, .first_position = 2, .act = MLS_ACT_GELU,
             .plain_mlp = true}},
    {.model_type = "bloom",
     .wider = 4,
     .tied = true,
     .keys = "n_embed n_layer n_head layer_norm_epsilon hidden_dropout "
             "apply_residual_connection_post_layernorm slow_but_exact "
             "attention_softmax_in_fp32 bias_dropout_fusion masked_softmax_fusion "
             "offset_alibi skip_bias_add skip_bias_add_qkv seq_length "
             "num_attention_heads",
     .prefix = "transformer.h.%zu.",
     NAMES(BLOOM_WHOLE, BLOOM_ATTENTION, H_MLP,
           {"transformer.word_embeddings_layernorm.weight", MLS_TENSOR_EMBED_NORM},
           {"transformer.word_embeddings_layernorm.bias", MLS_TENSOR_EMBED_NORM_BIAS}),
     .eps = 1e-5,
     .qkv_bias = true,
     .o_bias = true,
     .mlp_bias = true,
     .net = {LN_BIAS, .embed_norm = true, .alibi = true, .act = MLS_ACT_GELU_TANH,
             .plain_mlp = true, .qkv = MLS_QKV_BY_HEAD}},
    {.model_type = "falcon",
     .wider = 4,
     .tied = true,
     .keys = "layer_norm_epsilon num_kv_heads alibi new_decoder_architecture "
             "multi_query parallel_attn bias ffn_hidden_size num_ln_in_parallel_attn "
             "hidden_dropout n_head n_layer n_head_kv rope_theta",
     .prefix = "transformer.h.%zu.",
     NAMES(BLOOM_WHOLE, BLOOM_ATTENTION, H_MLP),
     .eps = 1e-5,
     .net = {LN_BIAS, .parallel = true, .one_norm = true, .act = MLS_ACT_GELU,
             .plain_mlp = true, .qkv = MLS_QKV_BY_GROUP}},
    {.model_type = "mpt",
     .wider = 4,
     .tied = true,
     .keys = "d_model n_heads n_layers expansion_ratio max_seq_len layer_norm_epsilon "
             "emb_pdrop resid_pdrop learned_pos_emb attn_config init_device no_bias "
             "embedding_fraction norm_type verbose ffn_config init_config fc_type",
     .prefix = "transformer.blocks.%zu.",
     NAMES({"transformer.wte.weight", MLS_TENSOR_EMBED},
           {"transformer.norm_f.weight", MLS_TENSOR_NORM},
           {"norm_1.weight", MLS_TENSOR_ATTN_NORM},
           {"norm_2.weight", MLS_TENSOR_MLP_NORM}, {"attn.Wqkv.weight", MLS_TENSOR_QKV},
           {"attn.out_proj.weight", MLS_TENSOR_WO},
           {"ffn.up_proj.weight", MLS_TENSOR_UP},
           {"ffn.down_proj.weight", MLS_TENSOR_DOWN}),
     .eps = 1e-5,
     .net = {LN, .alibi = true, .act = MLS_ACT_GELU, .plain_mlp = true,
             .qkv = MLS_QKV_STACKED}},

    /* mixtures of experts */
    {.model_type = "mixtral",
     .keys = EXPERT_KEYS "num_local_experts",
     NAMES(MIXTRAL_EXPERTS),
     .theta = 1e6,
     .eps = 1e-5,
     .net = {.experts = {.n = 8, .top_k = 2, .normalize = true}}},
    {.model_type = "qwen2_moe",
     .keys = QWEN_MOE_KEYS "qkv_bias",
     NAMES(QWEN_SHARED),
     .qkv_bias = true,
     .net = {.experts = {.n = 60,
                         .top_k = 4,
                         .F = 1408,
                         .shared_F = 5632,
                         .shared_gate = true}}},
    {.model_type = "qwen3_moe",
     .keys = QWEN_MOE_KEYS "attention_bias",
     .net = {.qk = MLS_QK_HEAD, .experts = {.n = 128, .top_k = 8, .F = 768}}},
    {.model_type = "olmoe",
     .keys = EXPERT_KEYS "num_experts attention_bias clip_qkv",
     .eps = 1e-5,
     .net = {.qk = MLS_QK_WIDTH, .experts = {.n = 64, .top_k = 8}}},
    {.model_type = "flex_olmo",
     .keys = EXPERT_KEYS "num_experts attention_bias clip_qkv",
     NAMES(AFTER_NORMS),
     .theta = 5e5,
     .net = {.place = MLS_NORM_AFTER,
             .qk = MLS_QK_WIDTH,
             .experts = {.n = 7, .top_k = 5}}},
    {.model_type = "phimoe",
     .keys = EXPERT_KEYS "num_local_experts input_jitter_noise attention_bias "
                         "lm_head_bias",
     NAMES(MIXTRAL_EXPERTS),
     .theta = 1e6,
     .eps = 1e-5,
     .net = {LN_BIAS, .experts = {.n = 16,
                                  .top_k = 2,
                                  .routing = MLS_ROUTE_MIXER,
                                  .near = 0.01}}},
    {.model_type = "hunyuan_v1_moe",
     .keys = "attention_bias num_experts moe_topk moe_intermediate_size eod_token_id",
     NAMES({"self_attn.query_layernorm.weight", MLS_TENSOR_Q_NORM},
           {"self_attn.key_layernorm.weight", MLS_TENSOR_K_NORM},
           {"mlp.gate.wg.weight", MLS_TENSOR_ROUTER},
           {"mlp.shared_mlp.gate_proj.weight", MLS_TENSOR_SHARED_GATE},
           {"mlp.shared_mlp.up_proj.weight", MLS_TENSOR_SHARED_UP},
           {"mlp.shared_mlp.down_proj.weight", MLS_TENSOR_SHARED_DOWN}),
     .eps = 1e-5,
     .net = {.qk = MLS_QK_HEAD_TURNED,
             .experts = {.n = 1, .top_k = 1, .normalize = true, .shared_whole = true}}},
    {.model_type = "mellum",
     .partial = 1,
     .keys = EXPERT_KEYS "num_experts num_local_experts attention_bias mlp_layer_types "
                         "num_nextn_predict_layers num_mtp_layers mtp_layer_types "
                         "mtp_mlp_layer_types",
     .theta = 5e5,
     .local_theta = 1e4,
     .local_rope = true,
     .net = {.qk = MLS_QK_HEAD,
             .experts = {.n = 64, .top_k = 8, .F = 896, .normalize = true}}},
    {.model_type = "qwen3_vl_moe_text",
     .tied = true,
     .keys = QWEN_MOE_KEYS "attention_bias",
     .theta = 5e5,
     .net = {.qk = MLS_QK_HEAD,
             .experts = {.n = 60,
                         .top_k = 4,
                         .F = 1408,
                         .normalize = true,
                         .layout = MLS_EXPERTS_TRANSPOSED}}},
    {.model_type = "granitemoe",
     .keys = GRANITE_KEYS EXPERT_KEYS "num_local_experts",
     NAMES(GRANITE_EXPERTS),
     .net = {.score_scale = 1,
             .experts = {.n = 8,
                         .top_k = 2,
                         .normalize = true,
                         .layout = MLS_EXPERTS_STACKED}}},
    {.model_type = "granitemoeshared",
     .keys = GRANITE_KEYS EXPERT_KEYS "num_local_experts shared_intermediate_size",
     NAMES(GRANITE_EXPERTS),
     .net = {.score_scale = 1,
             .experts = {.n = 8,
                         .top_k = 2,
                         .normalize = true,
                         .layout = MLS_EXPERTS_STACKED}}},
    {.model_type = "granitemoe_swa",
     .keys = GRANITE_KEYS EXPERT_KEYS
     "num_local_experts shared_intermediate_size layer_rope_theta",
     NAMES({"block_sparse_moe.router.weight", MLS_TENSOR_ROUTER},
           {"block_sparse_moe.experts.gate_up_proj", MLS_TENSOR_EXPERT_GATE_UP},
           {"block_sparse_moe.experts.down_proj", MLS_TENSOR_EXPERT_DOWN},
           GRANITE_EXPERTS),
     .net = {.score_scale = 1,
             .sinks = true,
             .experts = {.n = 8,
                         .top_k = 2,
                         .normalize = true,
                         .layout = MLS_EXPERTS_STACKED}}},
    {.model_type = "llama4_text",
     .keys = EXPERT_KEYS
     "attention_bias intermediate_size_mlp num_local_experts moe_layers "
     "interleave_moe_layer_step use_qk_norm no_rope_layers no_rope_layer_interval "
     "attention_chunk_size attn_temperature_tuning floor_scale attn_scale "
     "for_llm_compressor",
     NAMES({"feed_forward.gate_proj.weight", MLS_TENSOR_GATE},
           {"feed_forward.up_proj.weight", MLS_TENSOR_UP},
           {"feed_forward.down_proj.weight", MLS_TENSOR_DOWN},
           {"feed_forward.router.weight", MLS_TENSOR_ROUTER},
           {"feed_forward.experts.gate_up_proj", MLS_TENSOR_EXPERT_GATE_UP},
           {"feed_forward.experts.down_proj", MLS_TENSOR_EXPERT_DOWN},
           {"feed_forward.shared_expert.gate_proj.weight", MLS_TENSOR_SHARED_GATE},
           {"feed_forward.shared_expert.up_proj.weight", MLS_TENSOR_SHARED_UP},
           {"feed_forward.shared_expert.down_proj.weight", MLS_TENSOR_SHARED_DOWN}),
     .theta = 5e5,
     .eps = 1e-5,
     .net = {.qk = MLS_QK_HEAD_TURNED,
             .qk_free = true,
             .interleaved = true,
             .query_beta = 0.1,
             .query_period = 8192,
             .query_still = true,
             .experts = {.n = 16,
                         .top_k = 1,
                         .routing = MLS_ROUTE_INPUT,
                         .layout = MLS_EXPERTS_TRANSPOSED,
                         .shared_whole = true}}},
    {.model_type = "gpt_oss",
     .keys =
         EXPERT_KEYS "num_local_experts attention_bias swiglu_limit swiglu_alpha "
                     "experts_per_token initial_context_length output_router_logits "
                     "router_aux_loss_coef sliding_window_pattern",
     NAMES({"mlp.router.weight", MLS_TENSOR_ROUTER},
           {"mlp.router.bias", MLS_TENSOR_ROUTER_BIAS},
           {"mlp.experts.gate_up_proj", MLS_TENSOR_EXPERT_GATE_UP},
           {"mlp.experts.gate_up_proj_bias", MLS_TENSOR_EXPERT_GATE_UP_BIAS},
           {"mlp.experts.down_proj", MLS_TENSOR_EXPERT_DOWN},
           {"mlp.experts.down_proj_bias", MLS_TENSOR_EXPERT_DOWN_BIAS}),
     .theta = 150000,
     .rope = {.type = MLS_ROPE_YARN,
              .factor = 32,
              .original_max_position = 4096,
              .beta_fast = 32,
              .beta_slow = 1,
              .attention = 1.3465735902799727},
     .eps = 1e-5,
     .qkv_bias = true,
     .o_bias = true,
     .net = {.sinks = true,
             .act = MLS_ACT_OAI,
             .experts = {.n = 128,
                         .top_k = 4,
                         .normalize = true,
                         .bias = true,
                         .layout = MLS_EXPERTS_ZIPPED}}},
    {.model_type = "aria_text",
     .keys = "attention_bias mlp_bias moe_num_experts moe_topk moe_num_shared_experts",
     NAMES({"mlp.router.weight", MLS_TENSOR_ROUTER},
           {"mlp.experts.fc1.weight", MLS_TENSOR_EXPERT_GATE_UP},
           {"mlp.experts.fc2.weight", MLS_TENSOR_EXPERT_DOWN}),
     .net = {.experts = {.n = 8,
                         .top_k = 2,
                         .normalize = true,
                         .layout = MLS_EXPERTS_TRANSPOSED}}},
    {.model_type = "minimax_m2",
     .partial = 1,
     .keys = EXPERT_KEYS "num_local_experts router_jitter_noise rotary_dim use_qk_norm "
                         "qk_norm_type scoring_func use_routing_bias "
                         "shared_intermediate_size router_aux_loss_coef "
                         "output_router_logits",
     NAMES(MIXTRAL_EXPERTS,
           {"block_sparse_moe.e_score_correction_bias", MLS_TENSOR_CORRECTION}),
     .theta = 5e6,
     .net = {.qk = MLS_QK_WIDTH,
             .experts = {.n = 256,
                         .top_k = 8,
                         .routing = MLS_ROUTE_SIGMOID,
                         .normalize = true,
                         .correction = true}}},
    {.model_type = "glm4_moe",
     .keys = GROUP_KEYS "attention_bias use_qk_norm",
     .partial = 0.5,
     .eps = 1e-5,
     .net = {.experts = {.first_dense = 1,
                         .n = 128,
                         .top_k = 8,
                         .F = 1408,
                         .routing = MLS_ROUTE_SIGMOID,
                         .normalize = true,
                         .correction = true,
                         .best_two = true}}},
    {.model_type = "solar_open",
     .partial = 1,
     .keys = GROUP_KEYS "attention_bias use_qk_norm",
     .theta = 1e6,
     .eps = 1e-5,
     .net = {.experts = {.n = 128,
                         .top_k = 8,
                         .F = 1280,
                         .routing = MLS_ROUTE_SIGMOID,
                         .normalize = true,
                         .correction = true,
                         .best_two = true}}},
    {.model_type = "dots1",
     .keys = GROUP_KEYS "attention_bias",
     .net = {.qk = MLS_QK_HEAD,
             .experts = {.n = 128,
                         .top_k = 6,
                         .F = 1408,
                         .routing = MLS_ROUTE_SIGMOID,
                         .correction = true,
                         .best_two = true}}},
    {.model_type = "exaone_moe",
     .keys = EXPERT_KEYS "num_experts num_shared_experts routed_scaling_factor n_group "
                         "topk_group first_k_dense_replace mlp_layer_types "
                         "sliding_window_pattern num_nextn_predict_layers",
     NAMES({"mlp.e_score_correction_bias", MLS_TENSOR_CORRECTION}),
     .eps = 1e-5,
     .still_full = true,
     .net = {.qk = MLS_QK_HEAD,
             .experts = {.first_dense = 1,
                         .n = 64,
                         .top_k = 8,
                         .F = 1024,
                         .routing = MLS_ROUTE_SIGMOID,
                         .normalize = true,
                         .scale = 2.5,
                         .correction = true,
                         .best_two = true}}},
    {.model_type = "sarvam_moe",
     .keys = GROUP_KEYS "attention_bias use_qk_norm",
     NAMES({"attention.query_key_value.weight", MLS_TENSOR_QKV},
           {"attention.query_key_value.bias", MLS_TENSOR_QKV_BIAS},
           {"attention.dense.weight", MLS_TENSOR_WO},
           {"attention.query_layernorm.weight", MLS_TENSOR_Q_NORM},
           {"attention.key_layernorm.weight", MLS_TENSOR_K_NORM},
           {"mlp.gate.expert_bias", MLS_TENSOR_CORRECTION},
           {"model.word_embeddings.weight", MLS_TENSOR_EMBED}),
     .theta = 8e6,
     .partial = 1,
     .net = {.qk = MLS_QK_HEAD,
             .qkv = MLS_QKV_STACKED,
             .experts = {.first_dense = 1,
                         .n = 128,
                         .top_k = 6,
                         .F = 1024,
                         .routing = MLS_ROUTE_SIGMOID,
                         .normalize = true,
                         .scale = 2.5,
                         .correction = true,
                         .best_two = true}}},
    {.model_type = "hy_v3",
     .keys = EXPERT_KEYS "num_experts num_shared_experts attention_bias mlp_bias "
                         "router_scaling_factor enable_moe_fp32_combine "
                         "mlp_layer_types",
     NAMES({"mlp.router.gate.weight", MLS_TENSOR_ROUTER},
           {"mlp.expert_bias", MLS_TENSOR_CORRECTION},
           {"mlp.shared_mlp.gate_proj.weight", MLS_TENSOR_SHARED_GATE},
           {"mlp.shared_mlp.up_proj.weight", MLS_TENSOR_SHARED_UP},
           {"mlp.shared_mlp.down_proj.weight", MLS_TENSOR_SHARED_DOWN}),
     .theta = 11158840,
     .eps = 1e-5,
     .net = {.qk = MLS_QK_HEAD,
             .experts = {.first_dense = 1,
                         .n = 192,
                         .top_k = 8,
                         .F = 1536,
                         .routing = MLS_ROUTE_SIGMOID,
                         .normalize = true,
                         .scale = 2.826,
                         .correction = true}}},
    {.model_type = "afmoe",
     .keys = EXPERT_KEYS "num_experts num_shared_experts num_dense_layers route_scale "
                         "attention_bias global_attn_every_n_layers mup_enabled "
                         "route_norm score_func n_group topk_group load_balance_coeff "
                         "num_expert_groups num_limited_groups",
     NAMES({"post_attention_layernorm.weight", MLS_TENSOR_ATTN_POST_NORM},
           {"pre_mlp_layernorm.weight", MLS_TENSOR_MLP_NORM},
           {"post_mlp_layernorm.weight", MLS_TENSOR_MLP_POST_NORM},
           {"self_attn.gate_proj.weight", MLS_TENSOR_ATTN_GATE},
           {"mlp.router.gate.weight", MLS_TENSOR_ROUTER},
           {"mlp.expert_bias", MLS_TENSOR_CORRECTION}),
     .eps = 1e-5,
     .still_full = true,
     .net = {.place = MLS_NORM_AROUND,
             .qk = MLS_QK_HEAD,
             .out_gate = true,
             .experts = {.first_dense = 1,
                         .n = 64,
                         .top_k = 6,
                         .F = 1408,
                         .routing = MLS_ROUTE_SIGMOID,
                         .normalize = true,
                         .correction = true}}},
    {.model_type = "ernie4_5_moe",
     .tied = true,
     .keys = "use_bias moe_intermediate_size moe_k moe_num_experts "
             "moe_num_shared_experts moe_layer_start_index moe_layer_end_index "
             "moe_layer_interval moe_norm_min router_aux_loss_coef",
     NAMES({"mlp.moe_statics.e_score_correction_bias", MLS_TENSOR_CORRECTION}),
     .theta = 5e5,
     .eps = 1e-5,
     .net = {.interleaved = true,
             .experts = {.first_dense = 1,
                         .n = 64,
                         .top_k = 6,
                         .F = 1536,
                         .normalize = true,
                         .correction = true}}},
    {.model_type = "cohere2_moe",
     .tied = true,
     .keys = EXPERT_KEYS
     "num_experts num_shared_experts layer_norm_eps rms_norm_eps logit_scale "
     "attention_bias sliding_window_pattern first_k_dense_replace mlp_layer_types "
     "expert_selection_fn shared_expert_combination_strategy "
     "prefix_dense_intermediate_size prefix_dense_sliding_window_pattern",
     .eps = 1e-5,
     .still_full = true,
     .net = {LN, .parallel = true, .one_norm = true, .interleaved = true,
             .logit_scale = 0.0625,
             .experts = {.n = 8, .top_k = 2, .normalize = true}}},
    {.model_type = "kolibri1",
     .keys =
         EXPERT_KEYS "num_experts num_local_experts shared_expert_intermediate_size",
     NAMES({"post_attn_norm.weight", MLS_TENSOR_ATTN_POST_NORM},
           {"post_ffn_norm.weight", MLS_TENSOR_MLP_POST_NORM},
           {"moe.router.expert_bias", MLS_TENSOR_CORRECTION}),
     .still_full = true,
     .net = {.place = MLS_NORM_AROUND,
             .qk = MLS_QK_HEAD,
             .experts = {.n = 384,
                         .top_k = 6,
                         .F = 512,
                         .shared_F = 512,
                         .routing = MLS_ROUTE_SIGMOID,
                         .correction = true,
                         .by_logit = true}}},
    {.model_type = "mimo_v2_flash",
     .partial = 0.334,
     .own_rope = true,
     .keys = EXPERT_KEYS "n_routed_experts routed_scaling_factor n_group topk_group "
                         "mlp_layer_types attention_bias v_head_dim "
                         "attention_value_scale sliding_window_size",
     NAMES({"self_attn.attention_sink_bias", MLS_TENSOR_SINKS}),
     .theta = 5e6,
     .local_theta = 1e4,
     .eps = 1e-5,
     .local_rope = true,
     .mixed = true,
     .net = {.sinks = true,
             .sinks_local = true,
             .value_scale = 0.707,
             .experts = {.first_dense = 1,
                         .n = 256,
                         .top_k = 8,
                         .F = 2048,
                         .routing = MLS_ROUTE_SIGMOID,
                         .normalize = true,
                         .correction = true,
                         .best_two = true}}},
    {.model_type = "laguna",
     .partial = 1,
     .own_rope = true,
     .own_partial = 0.5,
     .keys = EXPERT_KEYS
     "num_experts attention_bias gating num_attention_heads_per_layer mlp_layer_types "
     "shared_expert_intermediate_size moe_routed_scaling_factor "
     "moe_apply_router_weight_on_input moe_router_logit_softcapping",
     NAMES(QWEN_SHARED, {"self_attn.g_proj.weight", MLS_TENSOR_ATTN_GATE},
           {"mlp.experts.e_score_correction_bias", MLS_TENSOR_CORRECTION}),
     .theta = 5e5,
     .local_theta = 1e4,
     .local_rope = true,
     .mixed = true,
     .net = {.qk = MLS_QK_HEAD,
             .out_gate = true,
             .gate_heads = true,
             .gate_soft = true,
             .experts = {.first_dense = 1,
                         .n = 256,
                         .top_k = 8,
                         .F = 512,
                         .shared_F = 512,
                         .routing = MLS_ROUTE_SIGMOID,
                         .normalize = true,
                         .correction = true}}},
    {.model_type = "dbrx",
     .keys = "d_model n_heads n_layers max_seq_len attn_config ffn_config resid_pdrop "
             "emb_pdrop output_router_logits",
     .prefix = "transformer.blocks.%zu.",
     NAMES({"transformer.wte.weight", MLS_TENSOR_EMBED},
           {"transformer.norm_f.weight", MLS_TENSOR_NORM},
           {"norm_attn_norm.norm_1.weight", MLS_TENSOR_ATTN_NORM},
           {"norm_attn_norm.norm_2.weight", MLS_TENSOR_MLP_NORM},
           {"norm_attn_norm.attn.Wqkv.weight", MLS_TENSOR_QKV},
           {"norm_attn_norm.attn.out_proj.weight", MLS_TENSOR_WO},
           {"ffn.router.layer.weight", MLS_TENSOR_ROUTER},
           {"ffn.experts.mlp.w1", MLS_TENSOR_EXPERT_GATE},
           {"ffn.experts.mlp.v1", MLS_TENSOR_EXPERT_UP},
           {"ffn.experts.mlp.w2", MLS_TENSOR_EXPERT_DOWN}),
     .eps = 1e-5,
     .net = {LN, .qkv = MLS_QKV_STACKED,
             .experts = {.n = 4,
                         .top_k = 1,
                         .F = 3584,
                         .normalize = true,
                         .layout = MLS_EXPERTS_ROWS}}},

    /* recurrent layers beside attention */
    {.model_type = "lfm3",
     .tied = true,
     .keys = "conv_L_cache conv_bias norm_eps use_sandwich_norm use_attention_gate "
             "attention_bias",
     NAMES({"self_attn.o_proj.weight", MLS_TENSOR_WO},
           {"self_attn.gate_proj.weight", MLS_TENSOR_ATTN_GATE},
           {"self_attn.q_norm.weight", MLS_TENSOR_Q_NORM},
           {"self_attn.k_norm.weight", MLS_TENSOR_K_NORM},
           {"post_operator_norm.weight", MLS_TENSOR_ATTN_POST_NORM},
           {"post_ffn_norm.weight", MLS_TENSOR_MLP_POST_NORM}, LFM2_NAMES),
     .theta = 1e6,
     .local_theta = 1e4,
     .local_rope = true,
     .rope = {.type = MLS_ROPE_PROPORTIONAL, .partial = 0.5, .factor = 1},
     .eps = 1e-5,
     .net = {.place = MLS_NORM_AROUND,
             .qk = MLS_QK_HEAD,
             .out_gate = true,
             .gate_heads = true,
             .recurrent = {.kind = MLS_REC_CONV, .taps = 7}}},
    {.model_type = "lfm2",
     .tied = true,
     .keys = "full_attn_idxs conv_L_cache conv_bias norm_eps block_ff_dim "
             "block_auto_adjust_ff_dim block_multiple_of block_ffn_dim_multiplier "
             "block_dim block_mlp_init_scale block_norm_eps block_out_init_scale "
             "block_use_swiglu block_use_xavier_init conv_dim conv_dim_out "
             "conv_use_xavier_init use_pos_enc num_heads",
     NAMES(LFM2_NAMES),
     .theta = 1e6,
     .eps = 1e-5,
     .net = {.qk = MLS_QK_HEAD, .recurrent = {.kind = MLS_REC_CONV, .taps = 3}}},
    {.model_type = "lfm2_moe",
     .tied = true,
     .keys = EXPERT_KEYS "full_attn_idxs conv_L_cache conv_bias norm_eps num_experts "
                         "num_dense_layers use_expert_bias routed_scaling_factor",
     NAMES(LFM2_NAMES, {"feed_forward.gate.weight", MLS_TENSOR_ROUTER},
           {"feed_forward.expert_bias", MLS_TENSOR_CORRECTION},
           {"feed_forward.experts.%zu.w1.weight", MLS_TENSOR_EXPERT_GATE},
           {"feed_forward.experts.%zu.w3.weight", MLS_TENSOR_EXPERT_UP},
           {"feed_forward.experts.%zu.w2.weight", MLS_TENSOR_EXPERT_DOWN}),
     .theta = 1e6,
     .eps = 1e-5,
     .net = {.qk = MLS_QK_HEAD,
             .recurrent = {.kind = MLS_REC_CONV, .taps = 3},
             .experts = {.first_dense = 2,
                         .n = 32,
                         .top_k = 4,
                         .F = 1792,
                         .routing = MLS_ROUTE_SIGMOID,
                         .normalize = true,
                         .correction = true}}},
    {.model_type = "qwen3_next",
     .keys = QWEN_MOE_KEYS DELTA_KEYS,
     NAMES(QWEN_SHARED, {"linear_attn.in_proj_qkvz.weight", MLS_TENSOR_REC_IN},
           {"linear_attn.in_proj_ba.weight", MLS_TENSOR_REC_B}),
     .partial = 0.25,
     .net = {.unit_offset = true,
             .qk = MLS_QK_HEAD,
             .out_gate = true,
             .q_gate = true,
             .recurrent = {.kind = MLS_REC_DELTA,
                           .groups = 16,
                           .heads = 32,
                           .K = 128,
                           .V = 128,
                           .taps = 4,
                           .by_group = true},
             .experts = {.n = 512,
                         .top_k = 10,
                         .F = 512,
                         .shared_F = 512,
                         .normalize = true,
                         .shared_gate = true}}},
    {.model_type = "qwen3_5_text",
     .keys = DELTA_KEYS,
     .partial = 0.25,
     .net = {.unit_offset = true,
             .qk = MLS_QK_HEAD,
             .out_gate = true,
             .q_gate = true,
             .recurrent = {.kind = MLS_REC_DELTA,
                           .groups = 16,
                           .heads = 32,
                           .K = 128,
                           .V = 128,
                           .taps = 4}}},
    {.model_type = "qwen3_5_moe_text",
     .keys = QWEN_MOE_KEYS DELTA_KEYS,
     NAMES(QWEN_SHARED),
     .partial = 0.25,
     .net = {.unit_offset = true,
             .qk = MLS_QK_HEAD,
             .out_gate = true,
             .q_gate = true,
             .recurrent = {.kind = MLS_REC_DELTA,
                           .groups = 16,
                           .heads = 32,
                           .K = 128,
                           .V = 128,
                           .taps = 4},
             .experts = {.n = 256,
                         .top_k = 8,
                         .F = 512,
                         .shared_F = 512,
                         .normalize = true,
                         .shared_gate = true}}},
    {.model_type = "granitemoehybrid",
     .keys = GRANITE_KEYS EXPERT_KEYS MAMBA_KEYS
     "num_local_experts shared_intermediate_size position_embedding_type "
     "layers_block_type",
     NAMES(GRANITE_EXPERTS, MAMBA_NAMES("mamba."),
           {"shared_mlp.input_linear.weight", MLS_TENSOR_GATE_UP},
           {"shared_mlp.output_linear.weight", MLS_TENSOR_DOWN}),
     .net = {.score_scale = 1,
             .gate_up = true,
             .recurrent = {.kind = MLS_REC_MAMBA2,
                           .groups = 1,
                           .heads = 128,
                           .K = 256,
                           .taps = 4},
             .experts = {.n = 8,
                         .top_k = 2,
                         .shared_F = 1024,
                         .normalize = true,
                         .layout = MLS_EXPERTS_STACKED}}},
    {.model_type = "nemotron_h",
     .keys = MAMBA_KEYS GROUP_KEYS
     "layer_norm_epsilon mlp_bias attention_bias mlp_hidden_act "
     "hybrid_override_pattern layers_block_type moe_shared_expert_intermediate_size "
     "moe_shared_expert_overlap mtp_layers_block_type residual_in_fp32 num_mtp_layers "
     "use_mamba_kernels time_step_max time_step_floor mamba_ssm_cache_dtype "
     "rescale_prenorm_residual time_step_rank",
     .prefix = "backbone.layers.%zu.",
     NAMES(MAMBA_NAMES("mixer."), {"norm.weight", MLS_TENSOR_ATTN_NORM},
           {"norm.weight", MLS_TENSOR_MLP_NORM}, {"mixer.q_proj.weight", MLS_TENSOR_WQ},
           {"mixer.k_proj.weight", MLS_TENSOR_WK},
           {"mixer.v_proj.weight", MLS_TENSOR_WV},
           {"mixer.o_proj.weight", MLS_TENSOR_WO},
           {"mixer.up_proj.weight", MLS_TENSOR_UP},
           {"mixer.down_proj.weight", MLS_TENSOR_DOWN},
           {"mixer.gate.weight", MLS_TENSOR_ROUTER},
           {"mixer.gate.e_score_correction_bias", MLS_TENSOR_CORRECTION},
           {"mixer.experts.%zu.up_proj.weight", MLS_TENSOR_EXPERT_UP},
           {"mixer.experts.%zu.down_proj.weight", MLS_TENSOR_EXPERT_DOWN},
           {"mixer.shared_experts.up_proj.weight", MLS_TENSOR_SHARED_UP},
           {"mixer.shared_experts.down_proj.weight", MLS_TENSOR_SHARED_DOWN},
           {"backbone.embeddings.weight", MLS_TENSOR_EMBED},
           {"backbone.norm_f.weight", MLS_TENSOR_NORM}),
     .eps = 1e-5,
     .still = true,
     .net = {.single = true,
             .act = MLS_ACT_RELU2,
             .plain_mlp = true,
             .experts = {.n = 8,
                         .top_k = 2,
                         .F = 7688,
                         .shared_F = 7688,
                         .routing = MLS_ROUTE_SIGMOID,
                         .normalize = true,
                         .correction = true,
                         .best_two = true},
             .recurrent = {.kind = MLS_REC_MAMBA2,
                           .groups = 8,
                           .heads = 128,
                           .K = 128,
                           .V = 64,
                           .taps = 4,
                           .dt_min = 0.001}}},

    {.model_type = "bamba",
     .keys = MAMBA_KEYS "attn_layer_indices attention_bias mlp_bias "
                        "z_loss_coefficient",
     NAMES(MAMBA_NAMES("mamba."), H1_NAMES),
     .partial = 0.5,
     .eps = 1e-5,
     .net = {.recurrent = {.kind = MLS_REC_MAMBA2,
                           .groups = 1,
                           .heads = 128,
                           .K = 256,
                           .taps = 4}}},
    {.model_type = "falcon_h1",
     .keys = MAMBA_KEYS
     "attention_bias mlp_bias mamba_d_ssm mamba_norm_before_gate mamba_rms_norm "
     "projectors_bias lm_head_multiplier embedding_multiplier mlp_multipliers "
     "key_multiplier attention_out_multiplier attention_in_multiplier "
     "ssm_multipliers ssm_in_multiplier ssm_out_multiplier",
     NAMES(MAMBA_NAMES("mamba."), H1_NAMES),
     .eps = 1e-5,
     .net = {.beside = true,
             .recurrent = {.kind = MLS_REC_MAMBA2,
                           .groups = 1,
                           .heads = 128,
                           .K = 256,
                           .taps = 4,
                           .free = true,
                           .norm_first = true}}},

    /* latent attention */
    {.model_type = "mistral4",
     .keys = MLA_KEYS GROUP_KEYS "rope_interleave",
     NAMES({"mlp.experts.down_proj", MLS_TENSOR_EXPERT_DOWN}),
     .net = {.interleaved = true,
             .experts = {.n = 128,
                         .top_k = 4,
                         .F = 2048,
                         .normalize = true,
                         .best_two = true,
                         .layout = MLS_EXPERTS_STACKED,
                         .shared_apart = true}}},
    {.model_type = "axk1",
     .keys = MLA_KEYS GROUP_KEYS "rope_interleave",
     .net = {.interleaved = true,
             .norm_sparse = true,
             .experts = {.first_dense = 1,
                         .n = 192,
                         .top_k = 8,
                         .F = 2048,
                         .routing = MLS_ROUTE_SIGMOID,
                         .normalize = true,
                         .scale = 2.5,
                         .correction = true,
                         .groups = 8,
                         .top_groups = 4,
                         .best_two = true}}},
    {.model_type = "deepseek_v2",
     .keys = MLA_KEYS GROUP_KEYS "topk_method mlp_bias scoring_func aux_loss_alpha "
                                 "seq_aux ep_size rope_interleave",
     .net = {.interleaved = true, .experts = {.n = 64, .top_k = 2, .F = 1407}}},
    {.model_type = "deepseek_v3",
     .keys = MLA_KEYS GROUP_KEYS "topk_method scoring_func aux_loss_alpha seq_aux "
                                 "ep_size rope_interleave",
     .net = {.interleaved = true,
             .experts = {.first_dense = 3,
                         .n = 256,
                         .top_k = 8,
                         .F = 2048,
                         .routing = MLS_ROUTE_SIGMOID,
                         .normalize = true,
                         .scale = 2.5,
                         .correction = true,
                         .groups = 8,
                         .top_groups = 4,
                         .best_two = true}}},
    {.model_type = "deepseek_v32",
     .keys = MLA_KEYS GROUP_KEYS INDEX_KEYS,
     .net = {.interleaved = true,
             .index_top_k = 2048,
             .experts = {.first_dense = 3,
                         .n = 256,
                         .top_k = 8,
                         .F = 2048,
                         .routing = MLS_ROUTE_SIGMOID,
                         .normalize = true,
                         .scale = 2.5,
                         .correction = true,
                         .groups = 8,
                         .top_groups = 4,
                         .best_two = true}}},
    {.model_type = "glm_moe_dsa",
     .partial = 1,
     .keys = MLA_KEYS GROUP_KEYS INDEX_KEYS,
     .eps = 1e-5,
     .net = {.interleaved = true,
             .index_top_k = 2048,
             .experts = {.first_dense = 3,
                         .n = 256,
                         .top_k = 8,
                         .F = 2048,
                         .routing = MLS_ROUTE_SIGMOID,
                         .normalize = true,
                         .scale = 2.5,
                         .correction = true,
                         .best_two = true}}},
    {.model_type = "glm4_moe_lite",
     .partial = 1,
     .keys = MLA_KEYS GROUP_KEYS "rope_interleave",
     .eps = 1e-5,
     .net = {.interleaved = true,
             .experts = {.first_dense = 1,
                         .n = 64,
                         .top_k = 4,
                         .F = 1536,
                         .routing = MLS_ROUTE_SIGMOID,
                         .normalize = true,
                         .scale = 1.8,
                         .correction = true,
                         .best_two = true}}},
    {.model_type = "sarvam_mla",
     .keys = MLA_KEYS GROUP_KEYS "rope_interleave",
     .net = {.interleaved = true,
             .experts = {.first_dense = 1,
                         .n = 128,
                         .top_k = 8,
                         .F = 2048,
                         .routing = MLS_ROUTE_SIGMOID,
                         .normalize = true,
                         .scale = 2.5,
                         .correction = true,
                         .best_two = true}}},
    {.model_type = "youtu",
     .tied = true,
     .keys = MLA_KEYS "rope_interleave mlp_bias embedding_initializer_range",
     .net = {.interleaved = true}},
    {.model_type = "minicpm3",
     .tied = true,
     .keys = MLA_KEYS "mlp_bias scale_emb scale_depth dim_model_base rope_interleave",
     .eps = 1e-5},
};

const mls_net_family *mls_net_find(const char *model_type)
{
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (strcmp(families[i].model_type, model_type) == 0)
            return &families[i];
    return NULL;
}

bool mls_net_reads(const mls_net_family *f, const char *key)
{
    const size_t n = strlen(key);

    for (const char *at = f->keys; at; at = strchr(at, ' ')) {
        at += *at == ' ';
        if (strncmp(at, key, n) == 0 && (at[n] == ' ' || at[n] == '\0'))
            return true;
    }
    return false;
}
