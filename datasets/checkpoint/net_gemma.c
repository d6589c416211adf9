/* Gemma 1 to 4. */
#include "datasets/checkpoint/net_rows.h"

static const mls_net_family families[] = {
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
};

const mls_net_rows mls_net_gemma = NET_ROWS(families);
