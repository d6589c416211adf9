/* GPT-2 and its kin: positions are learned, or slopes. */
#include "datasets/checkpoint/net_rows.h"

static const mls_net_family families[] = {
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
    {.model_type = "xglm",
     .tied = true,
     .keys = "d_model num_layers attention_heads ffn_dim scale_embedding dropout "
             "layerdrop activation_dropout init_std add_cross_attention",
     NAMES(OPT_LAYER, {"model.layer_norm.weight", MLS_TENSOR_NORM},
           {"model.layer_norm.bias", MLS_TENSOR_NORM_BIAS}),
     .eps = 1e-5,
     .qkv_bias = true,
     .o_bias = true,
     .mlp_bias = true,
     .still = true,
     .net = {LN_BIAS, .waves = true, .first_position = 2, .act = MLS_ACT_GELU,
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
};

const mls_net_rows mls_net_gpt2 = NET_ROWS(families);
