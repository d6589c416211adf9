/* Written by making/classes.py from transformers 5.24.0; do not edit. */
#include "datasets/family/class.h"

/* clang-format off */
const mls_class mls_classes[] = {
    {.model_type = "afmoe",
     .defaults =
         "{'vocab_size': 200192, 'hidden_size': 2048, 'intermediate_size': 6144, "
         "'num_hidden_layers': 32, 'num_dense_layers': 1, 'num_attention_heads': "
         "16, 'num_key_value_heads': null, 'head_dim': 128, "
         "'global_attn_every_n_layers': 4, 'sliding_window': 1024, 'layer_types': "
         "null, 'default_rope_theta': 10000.0}"},
    {.model_type = "apertus",
     .defaults =
         "{'vocab_size': 131072, 'hidden_size': 4096, 'intermediate_size': 14336, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': null, 'default_rope_parameters': {'rope_type': "
         "'llama3', 'rope_theta': 12000000.0, 'factor': 8.0, "
         "'original_max_position_embeddings': 8192, 'low_freq_factor': 1.0, "
         "'high_freq_factor': 4.0}}"},
    {.model_type = "apertus1p5",
     .text = "apertus1p5_text"},
    {.model_type = "apertus1p5_text",
     .defaults =
         "{'vocab_size': 266752, 'hidden_size': 4096, 'intermediate_size': 14336, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': null, 'default_rope_parameters': {'rope_type': "
         "'llama3', 'rope_theta': 12000000.0, 'factor': 8.0, "
         "'original_max_position_embeddings': 8192, 'low_freq_factor': 1.0, "
         "'high_freq_factor': 4.0}}"},
    {.model_type = "arcee",
     .defaults =
         "{'vocab_size': 32000, 'hidden_size': 2560, 'intermediate_size': 18432, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': null, 'head_dim': null, 'default_rope_theta': "
         "10000.0}"},
    {.model_type = "aria",
     .text = "aria_text"},
    {.model_type = "aria_text",
     .defaults =
         "{'vocab_size': 32000, 'hidden_size': 4096, 'intermediate_size': 4096, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': null, 'head_dim': null, 'default_rope_theta': "
         "10000.0}"},
    {.model_type = "audioflamingo3",
     .text = "qwen2"},
    {.model_type = "axk1",
     .defaults =
         "{'vocab_size': 163840, 'hidden_size': 7168, 'intermediate_size': 18432, "
         "'num_hidden_layers': 61, 'num_attention_heads': 64, "
         "'num_key_value_heads': 64, 'kv_lora_rank': 512, 'q_lora_rank': 1536, "
         "'qk_rope_head_dim': 64, 'v_head_dim': 128, 'qk_nope_head_dim': 128, "
         "'default_rope_theta': 10000.0}",
     .knows =
         "head_dim qk_head_dim"},
    {.model_type = "axk2",
     .defaults =
         "{'vocab_size': 163840, 'hidden_size': 2048, 'intermediate_size': 5120, "
         "'num_hidden_layers': 48, 'num_attention_heads': 32, "
         "'num_key_value_heads': 32, 'kv_lora_rank': 128, 'q_lora_rank': 384, "
         "'qk_rope_head_dim': 32, 'v_head_dim': 64, 'qk_nope_head_dim': 64, "
         "'index_head_dim': 128, 'index_n_heads': 16, 'head_dim': 64, "
         "'layer_types': null, 'default_rope_theta': 10000.0}",
     .knows =
         "qk_head_dim"},
    {.model_type = "aya_vision",
     .text = "cohere2"},
    {.model_type = "bailing_hybrid",
     .defaults =
         "{'vocab_size': 157184, 'hidden_size': 2560, 'intermediate_size': 6144, "
         "'num_hidden_layers': 42, 'num_attention_heads': 32, "
         "'num_key_value_heads': 32, 'kv_lora_rank': 512, 'q_lora_rank': null, "
         "'qk_rope_head_dim': 64, 'v_head_dim': 128, 'qk_nope_head_dim': 128, "
         "'num_mtp_layers': 1, 'head_dim': 128, 'short_conv_kernel_size': 4, "
         "'layer_group_size': 6, 'layer_types': null, 'default_rope_theta': "
         "6000000.0}",
     .names =
         "num_nextn_predict_layers=num_mtp_layers",
     .knows =
         "kda_lower_bound kda_safe_gate linear_conv_kernel_dim linear_head_dim "
         "linear_num_heads qk_head_dim"},
    {.model_type = "bamba",
     .defaults =
         "{'vocab_size': 128000, 'hidden_size': 4096, 'intermediate_size': 14336, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': 8, 'attn_layer_indices': null, 'mamba_n_heads': "
         "128, 'mamba_d_head': 'auto', 'mamba_n_groups': 1, 'mamba_d_state': 256, "
         "'mamba_d_conv': 4, 'mamba_expand': 2, 'mamba_chunk_size': 256, "
         "'default_rope_theta': 10000.0, 'default_partial_rotary_factor': 0.5}",
     .names =
         "layers_block_type=layer_types",
     .knows =
         "layer_types"},
    {.model_type = "beam",
     .defaults =
         "{'vocab_size': 151936, 'hidden_size': 5120, 'intermediate_size': 20480, "
         "'num_hidden_layers': 52, 'num_attention_heads': 48, "
         "'num_key_value_heads': 8, 'sliding_window': 512, 'head_dim': 128, "
         "'layer_types': null, 'default_rope_parameters': {'sliding_attention': "
         "{'rope_type': 'default', 'rope_theta': 10000.0}, 'full_attention': "
         "null}}"},
    {.model_type = "biogpt",
     .defaults =
         "{'vocab_size': 42384, 'hidden_size': 1024, 'num_hidden_layers': 24, "
         "'num_attention_heads': 16, 'intermediate_size': 4096}"},
    {.model_type = "bitnet",
     .defaults =
         "{'vocab_size': 128256, 'hidden_size': 2560, 'intermediate_size': 6912, "
         "'num_hidden_layers': 30, 'num_attention_heads': 20, "
         "'num_key_value_heads': 5, 'default_rope_theta': 500000.0}"},
    {.model_type = "blip-2",
     .text = "opt"},
    {.model_type = "bloom",
     .defaults =
         "{'vocab_size': 250880, 'hidden_size': 64, 'n_layer': 2, 'n_head': 8}",
     .names =
         "n_head=num_attention_heads n_layer=num_hidden_layers n_embed=hidden_size"},
    {.model_type = "codegen",
     .defaults =
         "{'vocab_size': 50400, 'n_embd': 4096, 'n_layer': 28, 'n_head': 16, "
         "'rotary_dim': 64}",
     .names =
         "n_embd=hidden_size n_head=num_attention_heads n_layer=num_hidden_layers"},
    {.model_type = "cohere",
     .defaults =
         "{'vocab_size': 256000, 'hidden_size': 8192, 'intermediate_size': 22528, "
         "'num_hidden_layers': 40, 'num_attention_heads': 64, "
         "'num_key_value_heads': null, 'default_rope_theta': 500000.0}"},
    {.model_type = "cohere2",
     .defaults =
         "{'vocab_size': 256000, 'hidden_size': 8192, 'intermediate_size': 22528, "
         "'num_hidden_layers': 40, 'num_attention_heads': 64, "
         "'num_key_value_heads': null, 'sliding_window': 4096, 'layer_types': "
         "null, 'default_rope_theta': 10000.0}",
     .knows =
         "head_dim sliding_window_pattern"},
    {.model_type = "cohere2_moe",
     .defaults =
         "{'vocab_size': 256000, 'hidden_size': 8192, 'intermediate_size': 22528, "
         "'num_hidden_layers': 40, 'num_attention_heads': 64, "
         "'num_key_value_heads': null, 'head_dim': 128, 'sliding_window': 4096, "
         "'layer_types': null, 'prefix_dense_sliding_window_pattern': 1, "
         "'prefix_dense_intermediate_size': null, 'sliding_window_pattern': 4, "
         "'default_rope_theta': 10000.0}"},
    {.model_type = "cohere2_vision",
     .text = "cohere2"},
    {.model_type = "cohere_compass",
     .text = "cohere_compass_text"},
    {.model_type = "cohere_compass_text",
     .defaults =
         "{'vocab_size': 256000, 'hidden_size': 8192, 'intermediate_size': 22528, "
         "'num_hidden_layers': 40, 'num_attention_heads': 64, "
         "'num_key_value_heads': null, 'sliding_window': 4096, 'layer_types': "
         "null}",
     .knows =
         "head_dim sliding_window_pattern"},
    {.model_type = "colpali",
     .text = "gemma"},
    {.model_type = "colqwen2",
     .text = "qwen2_vl_text"},
    {.model_type = "cosmos3_edge",
     .text = "cosmos3_edge_text"},
    {.model_type = "cosmos3_edge_text",
     .defaults =
         "{'vocab_size': 131072, 'hidden_size': 2048, 'intermediate_size': 9216, "
         "'num_hidden_layers': 28, 'num_attention_heads': 16, "
         "'num_key_value_heads': 8, 'head_dim': 128, 'default_rope_parameters': "
         "{'rope_type': 'default', 'rope_theta': 100000000.0, 'mrope_section': "
         "[24, 20, 20]}}"},
    {.model_type = "cosmos3_omni",
     .text = "qwen3_vl_text"},
    {.model_type = "ctrl",
     .defaults =
         "{'vocab_size': 246534, 'n_embd': 1280, 'n_layer': 48, 'n_head': 16}",
     .names =
         "n_embd=hidden_size n_head=num_attention_heads n_layer=num_hidden_layers"},
    {.model_type = "cwm",
     .defaults =
         "{'vocab_size': 128256, 'hidden_size': 6144, 'intermediate_size': 21504, "
         "'num_hidden_layers': 64, 'num_attention_heads': 48, "
         "'num_key_value_heads': 8, 'head_dim': 128, 'sliding_window': 8192, "
         "'layer_types': null, 'default_rope_parameters': {'rope_theta': "
         "1000000.0, 'factor': 16.0, 'high_freq_factor': 4.0, 'low_freq_factor': "
         "1.0, 'original_max_position_embeddings': 8192, 'rope_type': 'llama3'}}"},
    {.model_type = "dbrx",
     .defaults =
         "{'n_heads': 16, 'n_layers': 24, 'vocab_size': 32000, "
         "'default_rope_theta': 10000.0}",
     .names =
         "d_model=hidden_size n_heads=num_attention_heads "
         "n_layers=num_hidden_layers",
     .knows =
         "num_key_value_heads"},
    {.model_type = "deepseek_ocr2",
     .text = "deepseek_ocr2_text"},
    {.model_type = "deepseek_ocr2_text",
     .defaults =
         "{'vocab_size': 102400, 'hidden_size': 4096, 'intermediate_size': 11008, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': null, 'head_dim': null, 'default_rope_theta': "
         "10000.0}"},
    {.model_type = "deepseek_v2",
     .defaults =
         "{'vocab_size': 102400, 'hidden_size': 4096, 'intermediate_size': 11008, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': null, 'head_dim': null, 'kv_lora_rank': 512, "
         "'q_lora_rank': 1536, 'qk_nope_head_dim': 128, 'qk_rope_head_dim': 64, "
         "'v_head_dim': 128, 'default_rope_theta': 10000.0}",
     .knows =
         "qk_head_dim"},
    {.model_type = "deepseek_v3",
     .defaults =
         "{'vocab_size': 129280, 'hidden_size': 7168, 'intermediate_size': 18432, "
         "'num_hidden_layers': 61, 'num_attention_heads': 128, "
         "'num_key_value_heads': 128, 'kv_lora_rank': 512, 'q_lora_rank': 1536, "
         "'qk_rope_head_dim': 64, 'v_head_dim': 128, 'qk_nope_head_dim': 128, "
         "'num_mtp_layers': 1, 'default_rope_theta': 10000.0}",
     .names =
         "num_nextn_predict_layers=num_mtp_layers",
     .knows =
         "head_dim qk_head_dim"},
    {.model_type = "deepseek_v32",
     .defaults =
         "{'vocab_size': 129280, 'hidden_size': 7168, 'intermediate_size': 18432, "
         "'num_hidden_layers': 61, 'num_attention_heads': 128, "
         "'num_key_value_heads': 128, 'kv_lora_rank': 512, 'q_lora_rank': 1536, "
         "'qk_rope_head_dim': 64, 'v_head_dim': 128, 'qk_nope_head_dim': 128, "
         "'index_head_dim': 128, 'index_n_heads': 64, 'head_dim': 64, "
         "'layer_types': null, 'default_rope_theta': 10000.0}",
     .knows =
         "qk_head_dim"},
    {.model_type = "deepseek_v4",
     .defaults =
         "{'vocab_size': 129280, 'hidden_size': 4096, 'num_hidden_layers': 43, "
         "'num_attention_heads': 64, 'num_key_value_heads': 1, 'head_dim': 512, "
         "'q_lora_rank': 1024, 'layer_types': null, 'compress_rates': null, "
         "'sliding_window': 128, 'o_groups': 8, 'o_lora_rank': 1024, "
         "'index_n_heads': 64, 'index_head_dim': 128, 'num_nextn_predict_layers': "
         "1, 'default_rope_parameters': {'main': {'rope_type': 'default', "
         "'rope_theta': 10000.0, 'partial_rotary_factor': 0.125}, 'compress': "
         "{'rope_theta': 160000.0, 'rope_type': 'default', "
         "'partial_rotary_factor': 0.125}}}",
     .names =
         "moe_intermediate_size=intermediate_size",
     .knows =
         "compress_rate_csa compress_rate_hca compress_ratios qk_rope_head_dim"},
    {.model_type = "deepseek_vl",
     .text = "llama"},
    {.model_type = "deepseek_vl_hybrid",
     .text = "llama"},
    {.model_type = "diffllama",
     .defaults =
         "{'vocab_size': 32000, 'hidden_size': 2048, 'intermediate_size': 8192, "
         "'num_hidden_layers': 16, 'num_attention_heads': 32, "
         "'num_key_value_heads': null, 'head_dim': null, 'default_rope_theta': "
         "10000.0}"},
    {.model_type = "doge",
     .defaults =
         "{'vocab_size': 32768, 'hidden_size': 1024, 'intermediate_size': 2048, "
         "'num_hidden_layers': 32, 'num_attention_heads': 8, "
         "'num_key_value_heads': null, 'sliding_window': null, "
         "'keep_window_size': 2048, 'default_rope_theta': 10000.0}"},
    {.model_type = "dory",
     .defaults =
         "{'vocab_size': 131072, 'hidden_size': 2560, 'intermediate_size': 7168, "
         "'num_hidden_layers': 36, 'num_attention_heads': 16, "
         "'num_key_value_heads': 4, 'head_dim': 256, 'sliding_window': 1024, "
         "'layer_types': null, 'n_input_layers': 8, 'n_recurrent_layers': null, "
         "'n_recurrent_loops': 2, 'recurrent_kv_cache_mode': 'per_loop', "
         "'default_rope_parameters': {'full_attention': {'rope_type': 'default', "
         "'rope_theta': 10000000.0}, 'sliding_attention': {'rope_type': "
         "'default', 'rope_theta': 10000.0}}}"},
    {.model_type = "dots1",
     .defaults =
         "{'vocab_size': 152064, 'hidden_size': 4608, 'intermediate_size': 10944, "
         "'num_hidden_layers': 62, 'num_attention_heads': 32, "
         "'num_key_value_heads': 32, 'sliding_window': 4096, 'max_window_layers': "
         "62, 'layer_types': null, 'default_rope_theta': 10000.0}"},
    {.model_type = "dots3_note",
     .text = "dots3_note_text"},
    {.model_type = "dots3_note_text",
     .defaults =
         "{'vocab_size': 152064, 'hidden_size': 5120, 'intermediate_size': 13824, "
         "'num_hidden_layers': 46, 'num_attention_heads': 128, "
         "'num_key_value_heads': 128, 'kv_lora_rank': 512, 'q_lora_rank': 1024, "
         "'qk_rope_head_dim': 64, 'v_head_dim': 128, 'qk_nope_head_dim': 128, "
         "'index_head_dim': 128, 'index_n_heads': 64, 'head_dim': 256, "
         "'layer_types': null, 'sliding_window': null, 'default_rope_parameters': "
         "{'indexed_attention': {'rope_type': 'default', 'rope_theta': "
         "80000000.0, 'partial_rotary_factor': 0.25}, 'sliding_attention': "
         "{'rope_type': 'default', 'rope_theta': 50000.0, "
         "'partial_rotary_factor': 0.25}}}",
     .knows =
         "per_layer_config sliding_window_size swa_qk_rope_head_dim "
         "use_sliding_window"},
    {.model_type = "emu3",
     .text = "emu3_text_model"},
    {.model_type = "emu3_text_model",
     .defaults =
         "{'vocab_size': 184622, 'hidden_size': 4096, 'intermediate_size': 14336, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': 8, 'default_rope_theta': 1000000.0}"},
    {.model_type = "ernie4_5",
     .defaults =
         "{'vocab_size': 103424, 'hidden_size': 1024, 'intermediate_size': 3072, "
         "'num_hidden_layers': 18, 'num_attention_heads': 16, "
         "'num_key_value_heads': 2, 'head_dim': 128, 'default_rope_theta': "
         "500000.0}"},
    {.model_type = "ernie4_5_moe",
     .defaults =
         "{'vocab_size': 103424, 'hidden_size': 2560, 'intermediate_size': 12288, "
         "'num_hidden_layers': 28, 'num_attention_heads': 20, "
         "'num_key_value_heads': 4, 'default_rope_theta': 500000.0}"},
    {.model_type = "ernie4_5_vl_moe",
     .text = "ernie4_5_vl_moe_text"},
    {.model_type = "ernie4_5_vl_moe_text",
     .defaults =
         "{'vocab_size': 103424, 'hidden_size': 2560, 'intermediate_size': 12288, "
         "'num_hidden_layers': 28, 'num_attention_heads': 20, "
         "'num_key_value_heads': 4, 'default_rope_theta': 500000.0}"},
    {.model_type = "exaone",
     .defaults =
         "{'vocab_size': 102400, 'hidden_size': 4096, 'intermediate_size': 14336, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': 8, 'head_dim': null, 'default_rope_theta': "
         "500000.0}",
     .names =
         "num_hidden_layers=num_layers"},
    {.model_type = "exaone4",
     .defaults =
         "{'vocab_size': 102400, 'hidden_size': 4096, 'intermediate_size': 16384, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': 32, 'sliding_window': 4096, "
         "'sliding_window_pattern': 4, 'layer_types': null, 'default_rope_theta': "
         "10000.0}"},
    {.model_type = "exaone4_5",
     .text = "exaone4"},
    {.model_type = "exaone_moe",
     .defaults =
         "{'vocab_size': 102400, 'hidden_size': 4096, 'intermediate_size': 16384, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': 32, 'sliding_window': 4096, "
         "'sliding_window_pattern': 4, 'layer_types': null, 'default_rope_theta': "
         "10000.0}"},
    {.model_type = "falcon",
     .defaults =
         "{'vocab_size': 65024, 'hidden_size': 4544, 'num_hidden_layers': 32, "
         "'num_attention_heads': 71, 'num_kv_heads': null, "
         "'new_decoder_architecture': false, 'multi_query': true, "
         "'ffn_hidden_size': null, 'default_rope_theta': 10000.0}"},
    {.model_type = "falcon_h1",
     .defaults =
         "{'vocab_size': 128000, 'hidden_size': 4096, 'intermediate_size': 14336, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': 8, 'mamba_d_ssm': 1024, 'mamba_n_heads': 128, "
         "'mamba_d_head': 'auto', 'mamba_n_groups': 1, 'mamba_d_state': 256, "
         "'mamba_d_conv': 4, 'mamba_expand': 2, 'mamba_chunk_size': 256, "
         "'mamba_rms_norm': false, 'default_rope_theta': 10000.0}",
     .names =
         "layers_block_type=layer_types",
     .knows =
         "layer_types ssm_in_multiplier ssm_multipliers ssm_out_multiplier"},
    {.model_type = "falcon_mamba",
     .defaults =
         "{'vocab_size': 50280, 'hidden_size': 768, 'state_size': 16, "
         "'num_hidden_layers': 32, 'expand': 2, 'conv_kernel': 4}",
     .knows =
         "use_falcon_mambapy use_mambapy"},
    {.model_type = "fast_vlm",
     .text = "qwen2"},
    {.model_type = "flex_olmo",
     .defaults =
         "{'vocab_size': 100352, 'hidden_size': 4096, 'intermediate_size': 11008, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': null, 'default_rope_theta': 500000.0}"},
    {.model_type = "flint",
     .defaults =
         "{'vocab_size': 150144, 'hidden_size': 2048, 'intermediate_size': 6144, "
         "'num_hidden_layers': 49, 'num_attention_heads': 32, "
         "'num_key_value_heads': 4, 'sliding_window': 513, 'decoder_sparse_step': "
         "1, 'mlp_only_layers': null, 'layer_types': null, 'head_dim': 128, "
         "'default_rope_theta': 10000.0}"},
    {.model_type = "fun_asr_nano",
     .text = "qwen3"},
    {.model_type = "fuyu",
     .text = "persimmon"},
    {.model_type = "gemma",
     .defaults =
         "{'vocab_size': 256000, 'hidden_size': 3072, 'intermediate_size': 24576, "
         "'num_hidden_layers': 28, 'num_attention_heads': 16, "
         "'num_key_value_heads': 16, 'head_dim': 256, "
         "'use_bidirectional_attention': null, 'default_rope_theta': 10000.0}"},
    {.model_type = "gemma2",
     .defaults =
         "{'vocab_size': 256000, 'hidden_size': 2304, 'intermediate_size': 9216, "
         "'num_hidden_layers': 26, 'num_attention_heads': 8, "
         "'num_key_value_heads': 4, 'head_dim': 256, 'sliding_window': 4096, "
         "'layer_types': null, 'use_bidirectional_attention': null, "
         "'default_rope_theta': 10000.0}"},
    {.model_type = "gemma3",
     .text = "gemma3_text"},
    {.model_type = "gemma3_text",
     .defaults =
         "{'vocab_size': 262208, 'hidden_size': 2304, 'intermediate_size': 9216, "
         "'num_hidden_layers': 26, 'num_attention_heads': 8, "
         "'num_key_value_heads': 4, 'head_dim': 256, 'sliding_window': 4096, "
         "'layer_types': null, 'use_bidirectional_attention': false, "
         "'default_rope_parameters': {'sliding_attention': {'rope_type': "
         "'default', 'rope_theta': 10000.0}, 'full_attention': {'rope_type': "
         "'default', 'rope_theta': 1000000.0}}}",
     .knows =
         "_sliding_window_pattern sliding_window_pattern"},
    {.model_type = "gemma3n",
     .text = "gemma3n_text"},
    {.model_type = "gemma3n_text",
     .defaults =
         "{'vocab_size': 262400, 'hidden_size': 2048, 'intermediate_size': 16384, "
         "'num_hidden_layers': 35, 'num_attention_heads': 8, "
         "'num_key_value_heads': 2, 'head_dim': 256, 'sliding_window': 512, "
         "'layer_types': null, 'vocab_size_per_layer_input': 262144, "
         "'hidden_size_per_layer_input': 256, 'num_kv_shared_layers': 15, "
         "'default_rope_parameters': {'sliding_attention': {'rope_type': "
         "'default', 'rope_theta': 10000.0}, 'full_attention': {'rope_type': "
         "'default', 'rope_theta': 1000000.0}}}",
     .knows =
         "activation_sparsity_pattern"},
    {.model_type = "gemma4",
     .text = "gemma4_text"},
    {.model_type = "gemma4_text",
     .defaults =
         "{'vocab_size': 262144, 'hidden_size': 2304, 'intermediate_size': 9216, "
         "'num_hidden_layers': 30, 'num_attention_heads': 8, "
         "'num_key_value_heads': 4, 'head_dim': 256, 'sliding_window': 512, "
         "'layer_types': null, 'use_bidirectional_attention': null, "
         "'vocab_size_per_layer_input': 262144, 'hidden_size_per_layer_input': "
         "256, 'attention_k_eq_v': false, 'num_kv_shared_layers': 0, "
         "'default_rope_parameters': {'sliding_attention': {'rope_type': "
         "'default', 'rope_theta': 10000.0}, 'full_attention': {'rope_type': "
         "'proportional', 'partial_rotary_factor': 0.25, 'rope_theta': "
         "1000000.0}}}",
     .knows =
         "global_head_dim num_global_key_value_heads per_layer_config"},
    {.model_type = "gemma4_unified",
     .text = "gemma4_unified_text"},
    {.model_type = "gemma4_unified_assistant",
     .text = "gemma4_unified_text"},
    {.model_type = "gemma4_unified_text",
     .defaults =
         "{'vocab_size': 262144, 'hidden_size': 2304, 'intermediate_size': 9216, "
         "'num_hidden_layers': 30, 'num_attention_heads': 8, "
         "'num_key_value_heads': 4, 'head_dim': 256, 'sliding_window': 1024, "
         "'layer_types': null, 'use_bidirectional_attention': 'vision', "
         "'attention_k_eq_v': false, 'num_kv_shared_layers': 0, "
         "'default_rope_parameters': {'sliding_attention': {'rope_type': "
         "'default', 'rope_theta': 10000.0}, 'full_attention': {'rope_type': "
         "'proportional', 'partial_rotary_factor': 0.25, 'rope_theta': "
         "1000000.0}}}",
     .knows =
         "global_head_dim num_global_key_value_heads per_layer_config"},
    {.model_type = "glm",
     .defaults =
         "{'vocab_size': 151552, 'hidden_size': 4096, 'intermediate_size': 13696, "
         "'num_hidden_layers': 40, 'num_attention_heads': 32, "
         "'num_key_value_heads': 2, 'head_dim': 128, 'default_rope_theta': "
         "10000.0, 'default_partial_rotary_factor': 0.5}"},
    {.model_type = "glm4",
     .defaults =
         "{'vocab_size': 151552, 'hidden_size': 4096, 'intermediate_size': 13696, "
         "'num_hidden_layers': 40, 'num_attention_heads': 32, "
         "'num_key_value_heads': 2, 'head_dim': 128, 'default_rope_theta': "
         "10000.0, 'default_partial_rotary_factor': 0.5}"},
    {.model_type = "glm46v",
     .text = "glm4v_text"},
    {.model_type = "glm4_moe",
     .defaults =
         "{'vocab_size': 151552, 'hidden_size': 4096, 'intermediate_size': 10944, "
         "'num_hidden_layers': 46, 'num_attention_heads': 96, "
         "'num_key_value_heads': 8, 'num_mtp_layers': 1, 'default_rope_theta': "
         "10000.0, 'default_partial_rotary_factor': 0.5}",
     .names =
         "num_nextn_predict_layers=num_mtp_layers"},
    {.model_type = "glm4_moe_lite",
     .defaults =
         "{'vocab_size': 154880, 'hidden_size': 2048, 'intermediate_size': 10240, "
         "'num_hidden_layers': 47, 'num_attention_heads': 20, "
         "'num_key_value_heads': 20, 'kv_lora_rank': 512, 'q_lora_rank': 768, "
         "'qk_rope_head_dim': 64, 'v_head_dim': 256, 'qk_nope_head_dim': 192, "
         "'default_rope_theta': 10000.0}",
     .names =
         "qk_rope_head_dim=head_dim",
     .knows =
         "head_dim qk_head_dim"},
    {.model_type = "glm4v",
     .text = "glm4v_text"},
    {.model_type = "glm4v_moe",
     .text = "glm4v_moe_text"},
    {.model_type = "glm4v_moe_text",
     .defaults =
         "{'vocab_size': 151424, 'hidden_size': 4096, 'intermediate_size': 10944, "
         "'num_hidden_layers': 46, 'num_attention_heads': 96, "
         "'num_key_value_heads': 8, 'default_rope_theta': 10000.0, "
         "'default_partial_rotary_factor': 0.5}"},
    {.model_type = "glm4v_text",
     .defaults =
         "{'vocab_size': 151552, 'hidden_size': 4096, 'intermediate_size': 13696, "
         "'num_hidden_layers': 40, 'num_attention_heads': 32, "
         "'num_key_value_heads': 2, 'default_rope_theta': 10000.0}"},
    {.model_type = "glm5_next",
     .text = "glm5_next_text"},
    {.model_type = "glm5_next_text",
     .defaults =
         "{'vocab_size': 154880, 'hidden_size': 4096, 'intermediate_size': 12288, "
         "'num_hidden_layers': 45, 'num_attention_heads': 64, "
         "'num_key_value_heads': 64, 'kv_lora_rank': 512, 'q_lora_rank': 1536, "
         "'qk_rope_head_dim': 0, 'v_head_dim': 256, 'qk_nope_head_dim': 256, "
         "'index_head_dim': 128, 'index_n_heads': 32, 'head_dim': 0, "
         "'layer_types': null, 'indexer_types': null, 'linear_head_dim': 128, "
         "'linear_num_heads': 64, 'linear_conv_kernel_dim': 4}",
     .knows =
         "index_kpool index_kpool_always_select_tail linear_attn_config "
         "linear_lower_bound qk_head_dim"},
    {.model_type = "glm_moe_dsa",
     .defaults =
         "{'vocab_size': 154880, 'hidden_size': 6144, 'intermediate_size': 12288, "
         "'num_hidden_layers': 78, 'num_attention_heads': 64, "
         "'num_key_value_heads': 64, 'kv_lora_rank': 512, 'q_lora_rank': 2048, "
         "'qk_rope_head_dim': 64, 'v_head_dim': 256, 'qk_nope_head_dim': 192, "
         "'index_head_dim': 128, 'index_n_heads': 32, 'head_dim': 64, "
         "'layer_types': null, 'indexer_types': null, 'default_rope_theta': "
         "10000.0}",
     .knows =
         "qk_head_dim"},
    {.model_type = "glm_ocr",
     .text = "glm_ocr_text"},
    {.model_type = "glm_ocr_text",
     .defaults =
         "{'vocab_size': 59392, 'hidden_size': 1024, 'intermediate_size': 4096, "
         "'num_hidden_layers': 16, 'num_attention_heads': 16, "
         "'num_key_value_heads': 8, 'default_rope_theta': 10000.0}"},
    {.model_type = "glmasr",
     .text = "llama"},
    {.model_type = "glmga",
     .text = "glm4v_text"},
    {.model_type = "got_ocr2",
     .text = "qwen2"},
    {.model_type = "gpt-sw3",
     .defaults =
         "{'vocab_size': 50257, 'n_embd': 768, 'n_layer': 12, 'n_head': 12, "
         "'scale_attn_by_inverse_layer_idx': false}",
     .names =
         "n_embd=hidden_size n_head=num_attention_heads n_layer=num_hidden_layers",
     .knows =
         "add_cross_attention"},
    {.model_type = "gpt2",
     .defaults =
         "{'vocab_size': 50257, 'n_embd': 768, 'n_layer': 12, 'n_head': 12, "
         "'scale_attn_by_inverse_layer_idx': false}",
     .names =
         "n_embd=hidden_size n_head=num_attention_heads n_layer=num_hidden_layers",
     .knows =
         "add_cross_attention"},
    {.model_type = "gpt_bigcode",
     .defaults =
         "{'vocab_size': 50257, 'n_embd': 768, 'n_layer': 12, 'n_head': 12, "
         "'multi_query': true}",
     .names =
         "n_embd=hidden_size n_head=num_attention_heads n_layer=num_hidden_layers",
     .knows =
         "add_cross_attention num_key_value_heads"},
    {.model_type = "gpt_neo",
     .defaults =
         "{'vocab_size': 50257, 'hidden_size': 2048, 'num_layers': 24, "
         "'attention_types': null, 'num_heads': 16, 'intermediate_size': null, "
         "'window_size': 256}",
     .names =
         "num_heads=num_attention_heads num_layers=num_hidden_layers"},
    {.model_type = "gpt_neox",
     .defaults =
         "{'vocab_size': 50432, 'hidden_size': 6144, 'num_hidden_layers': 44, "
         "'num_attention_heads': 64, 'intermediate_size': 24576, "
         "'default_rope_theta': 10000.0, 'default_partial_rotary_factor': 0.25}"},
    {.model_type = "gpt_neox_japanese",
     .defaults =
         "{'vocab_size': 32000, 'hidden_size': 2560, 'num_hidden_layers': 32, "
         "'num_attention_heads': 32, 'intermediate_multiple_size': 4, "
         "'default_rope_theta': 10000.0}"},
    {.model_type = "gpt_oss",
     .defaults =
         "{'num_hidden_layers': 36, 'vocab_size': 201088, 'hidden_size': 2880, "
         "'intermediate_size': 2880, 'head_dim': 64, 'num_attention_heads': 64, "
         "'num_key_value_heads': 8, 'sliding_window': 128, 'layer_types': null, "
         "'default_rope_parameters': {'rope_type': 'yarn', 'factor': 32.0, "
         "'beta_fast': 32.0, 'beta_slow': 1.0, 'truncate': false, "
         "'original_max_position_embeddings': 4096, 'rope_theta': 150000.0}}"},
    {.model_type = "gptj",
     .defaults =
         "{'vocab_size': 50400, 'n_embd': 4096, 'n_layer': 28, 'n_head': 16, "
         "'rotary_dim': 64}",
     .names =
         "n_embd=hidden_size n_head=num_attention_heads n_layer=num_hidden_layers"},
    {.model_type = "granite",
     .defaults =
         "{'vocab_size': 32000, 'hidden_size': 4096, 'intermediate_size': 11008, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': null, 'default_rope_theta': 10000.0}"},
    {.model_type = "granite4_vision",
     .text = "granite4_vision_text"},
    {.model_type = "granite4_vision_text",
     .defaults =
         "{'vocab_size': 32000, 'hidden_size': 4096, 'intermediate_size': 11008, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': null, 'default_rope_theta': 10000.0}"},
    {.model_type = "granite_docling",
     .text = "granite_docling_text"},
    {.model_type = "granite_docling_text",
     .defaults =
         "{'vocab_size': 133800, 'hidden_size': 1024, 'intermediate_size': 2048, "
         "'num_hidden_layers': 28, 'num_attention_heads': 16, "
         "'num_key_value_heads': 4, 'default_rope_theta': 10000.0}"},
    {.model_type = "granite_speech",
     .text = "granite"},
    {.model_type = "granite_speech_plus",
     .text = "granite"},
    {.model_type = "granite_swa",
     .defaults =
         "{'vocab_size': 100352, 'hidden_size': 2560, 'intermediate_size': 8192, "
         "'num_hidden_layers': 24, 'num_attention_heads': 20, "
         "'num_key_value_heads': 4, 'sliding_window': 128, 'layer_types': null, "
         "'default_rope_theta': 10000.0}"},
    {.model_type = "granitemoe",
     .defaults =
         "{'vocab_size': 32000, 'hidden_size': 4096, 'intermediate_size': 11008, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': null, 'default_rope_theta': 10000.0}"},
    {.model_type = "granitemoe_swa",
     .defaults =
         "{'vocab_size': 32000, 'hidden_size': 4096, 'intermediate_size': 11008, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': null, 'shared_intermediate_size': 0, "
         "'sliding_window': 128, 'layer_types': null, 'default_rope_theta': "
         "10000.0}"},
    {.model_type = "granitemoehybrid",
     .defaults =
         "{'vocab_size': 32000, 'hidden_size': 4096, 'intermediate_size': 11008, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': null, 'shared_intermediate_size': 1024, "
         "'layer_types': null, 'mamba_n_heads': 128, 'mamba_n_groups': 1, "
         "'mamba_d_state': 256, 'mamba_d_head': 'auto', 'mamba_d_conv': 4, "
         "'mamba_expand': 2, 'mamba_chunk_size': 256, 'default_rope_theta': "
         "10000.0}",
     .names =
         "layer_types=layers_block_type",
     .knows =
         "layers_block_type"},
    {.model_type = "granitemoeshared",
     .defaults =
         "{'vocab_size': 32000, 'hidden_size': 4096, 'intermediate_size': 11008, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': null, 'shared_intermediate_size': 0, "
         "'default_rope_theta': 10000.0}"},
    {.model_type = "helium",
     .defaults =
         "{'vocab_size': 48000, 'hidden_size': 2560, 'intermediate_size': 7040, "
         "'num_hidden_layers': 24, 'num_attention_heads': 20, "
         "'num_key_value_heads': 20, 'head_dim': 128, 'default_rope_theta': "
         "100000.0}"},
    {.model_type = "hrm_text",
     .defaults =
         "{'vocab_size': 151808, 'hidden_size': 1536, 'intermediate_size': 4096, "
         "'num_hidden_layers': 16, 'num_attention_heads': 12, 'head_dim': 128, "
         "'H_cycles': 2, 'L_cycles': 3, 'num_layers_per_stack': null, "
         "'default_rope_theta': 10000.0}"},
    {.model_type = "hunyuan_v1_dense",
     .defaults =
         "{'vocab_size': 290943, 'hidden_size': 4096, 'intermediate_size': 11008, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': null, 'head_dim': null, 'default_rope_theta': "
         "10000.0}"},
    {.model_type = "hunyuan_v1_moe",
     .defaults =
         "{'vocab_size': 290943, 'hidden_size': 4096, 'intermediate_size': 11008, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': null, 'head_dim': null, 'default_rope_theta': "
         "10000.0}"},
    {.model_type = "hunyuan_vl",
     .text = "hunyuan_vl_text"},
    {.model_type = "hunyuan_vl_text",
     .defaults =
         "{'vocab_size': 290943, 'hidden_size': 4096, 'intermediate_size': 11008, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': null, 'head_dim': null, 'default_rope_theta': "
         "10000.0}",
     .names =
         "head_dim=attention_head_dim vocab_size=org_vocab_size",
     .knows =
         "attention_head_dim"},
    {.model_type = "hy_v3",
     .defaults =
         "{'vocab_size': 120832, 'hidden_size': 4096, 'intermediate_size': 13312, "
         "'num_hidden_layers': 80, 'num_attention_heads': 64, "
         "'num_key_value_heads': 8, 'head_dim': 128, 'default_rope_theta': "
         "11158840.0}"},
    {.model_type = "hy_v4",
     .defaults =
         "{'vocab_size': 120832, 'hidden_size': 2816, 'intermediate_size': 6912, "
         "'num_hidden_layers': 34, 'num_attention_heads': 32, "
         "'num_key_value_heads': 32, 'head_dim': 256, 'q_lora_rank': 1536, "
         "'kv_lora_rank': 512, 'qk_nope_head_dim': 192, 'qk_rope_head_dim': 64, "
         "'v_head_dim': 256, 'layer_types': null, 'index_head_dim': 128, "
         "'index_n_heads': 16, 'indexer_types': null, 'default_rope_theta': "
         "10000.0}",
     .knows =
         "qk_head_dim"},
    {.model_type = "hy_v4_vl",
     .text = "hy_v4_vl_text"},
    {.model_type = "hy_v4_vl_text",
     .defaults =
         "{'vocab_size': 120832, 'hidden_size': 6144, 'intermediate_size': 18432, "
         "'num_hidden_layers': 78, 'num_attention_heads': 64, "
         "'num_key_value_heads': 32, 'head_dim': 256, 'q_lora_rank': 2048, "
         "'kv_lora_rank': 512, 'qk_nope_head_dim': 192, 'qk_rope_head_dim': 64, "
         "'v_head_dim': 256, 'layer_types': null, 'index_head_dim': 128, "
         "'index_n_heads': 32, 'indexer_types': null, 'default_rope_parameters': "
         "{'rope_theta': 10000.0, 'rope_type': 'default', 'mrope_section': [12, "
         "10, 10]}}",
     .knows =
         "qk_head_dim"},
    {.model_type = "hyperclovax",
     .defaults =
         "{'vocab_size': 32000, 'hidden_size': 4096, 'intermediate_size': 11008, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': null, 'head_dim': null, 'default_rope_theta': "
         "10000.0}"},
    {.model_type = "hyperclovax_vision_v2",
     .text = "hyperclovax"},
    {.model_type = "idefics2",
     .text = "mistral"},
    {.model_type = "idefics3",
     .text = "llama"},
    {.model_type = "inkling2",
     .text = "inkling2_text"},
    {.model_type = "inkling2_loop",
     .text = "inkling2_loop_text"},
    {.model_type = "inkling2_loop_text",
     .defaults =
         "{'vocab_size': 201024, 'unpadded_vocab_size': 200058, 'hidden_size': "
         "2304, 'num_hidden_layers': 24, 'num_attention_heads': 24, "
         "'num_key_value_heads': 8, 'head_dim': 128, 'swa_num_attention_heads': "
         "24, 'swa_num_key_value_heads': 8, 'swa_head_dim': 128, "
         "'sliding_window_size': 1024, 'layer_types': null, 'conv_kernel_size': "
         "4, 'loop_layer_index_start': 6, 'loop_layer_index_end': 18, "
         "'loop_num_passes': 3}",
     .names =
         "moe_intermediate_size=intermediate_size "
         "conv_kernel_size=sconv_kernel_size sliding_window_size=sliding_window",
     .knows =
         "loop_config loop_gate_rank sconv_kernel_size sliding_window"},
    {.model_type = "inkling2_text",
     .defaults =
         "{'vocab_size': 201024, 'unpadded_vocab_size': 200058, 'hidden_size': "
         "4608, 'num_hidden_layers': 48, 'num_attention_heads': 48, "
         "'num_key_value_heads': 8, 'head_dim': 128, 'swa_num_attention_heads': "
         "48, 'swa_num_key_value_heads': 8, 'swa_head_dim': 128, "
         "'sliding_window_size': 1024, 'layer_types': null, 'conv_kernel_size': 4}",
     .names =
         "moe_intermediate_size=intermediate_size "
         "conv_kernel_size=sconv_kernel_size sliding_window_size=sliding_window",
     .knows =
         "sconv_kernel_size sliding_window"},
    {.model_type = "inkling_mm_model",
     .text = "inkling_text"},
    {.model_type = "inkling_text",
     .defaults =
         "{'vocab_size': 201024, 'unpadded_vocab_size': null, 'hidden_size': "
         "6144, 'num_hidden_layers': 66, 'num_attention_heads': 64, "
         "'num_key_value_heads': 8, 'head_dim': 128, 'swa_num_attention_heads': "
         "64, 'swa_num_key_value_heads': 16, 'swa_head_dim': 128, "
         "'sliding_window_size': 512, 'local_layer_ids': null, 'layer_types': "
         "null, 'conv_kernel_size': 4, 'intermediate_size': 24576, "
         "'num_mtp_layers': null, 'mtp_local_layer_ids': null}",
     .names =
         "conv_kernel_size=sconv_kernel_size sliding_window_size=sliding_window",
     .knows =
         "number_of_conv_states sconv_kernel_size sliding_window"},
    {.model_type = "instructblip",
     .text = "opt"},
    {.model_type = "instructblipvideo",
     .text = "opt"},
    {.model_type = "internlm3",
     .defaults =
         "{'vocab_size': 128512, 'hidden_size': 4096, 'intermediate_size': 10240, "
         "'num_hidden_layers': 48, 'num_attention_heads': 32, "
         "'num_key_value_heads': 2, 'head_dim': 128, 'default_rope_theta': "
         "10000.0}"},
    {.model_type = "internvl",
     .text = "qwen2"},
    {.model_type = "iquestcoder",
     .defaults =
         "{'vocab_size': 76800, 'hidden_size': 5120, 'intermediate_size': 27648, "
         "'num_hidden_layers': 80, 'num_attention_heads': 40, "
         "'num_key_value_heads': 8, 'head_dim': 128, 'default_rope_theta': "
         "10000.0}"},
    {.model_type = "jais2",
     .defaults =
         "{'vocab_size': 150272, 'hidden_size': 3328, 'intermediate_size': 26624, "
         "'num_hidden_layers': 32, 'num_attention_heads': 26, "
         "'num_key_value_heads': null, 'head_dim': null, 'default_rope_theta': "
         "10000.0}"},
    {.model_type = "jamba",
     .defaults =
         "{'vocab_size': 65536, 'hidden_size': 4096, 'intermediate_size': 14336, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': 8, 'attn_layer_period': 8, 'attn_layer_offset': "
         "4, 'mamba_d_state': 16, 'mamba_d_conv': 4, 'mamba_expand': 2, "
         "'mamba_dt_rank': 'auto'}",
     .knows =
         "use_mamba_kernels use_mambapy"},
    {.model_type = "janus",
     .text = "llama"},
    {.model_type = "jetmoe",
     .defaults =
         "{'vocab_size': 32000, 'hidden_size': 2048, 'num_hidden_layers': 12, "
         "'num_key_value_heads': 16, 'kv_channels': 128, 'intermediate_size': "
         "5632, 'default_rope_theta': 10000.0}",
     .names =
         "kv_channels=head_dim",
     .knows =
         "head_dim"},
    {.model_type = "jev",
     .text = "qwen3_5_text"},
    {.model_type = "kimi_k25",
     .text = "deepseek_v3"},
    {.model_type = "kimi_linear",
     .defaults =
         "{'vocab_size': 163840, 'hidden_size': 2304, 'intermediate_size': 9216, "
         "'num_hidden_layers': 27, 'num_attention_heads': 32, "
         "'num_key_value_heads': 32, 'kv_lora_rank': 512, 'q_lora_rank': null, "
         "'qk_rope_head_dim': 64, 'v_head_dim': 128, 'qk_nope_head_dim': 128, "
         "'layer_types': null, 'linear_head_dim': 128, 'linear_num_heads': 32, "
         "'linear_conv_kernel_dim': 4}",
     .knows =
         "head_dim linear_attn_config qk_head_dim"},
    {.model_type = "kolibri1",
     .defaults =
         "{'vocab_size': 128000, 'hidden_size': 2560, 'num_hidden_layers': 50, "
         "'num_attention_heads': 48, 'num_key_value_heads': 4, 'sliding_window': "
         "513, 'head_dim': 128, 'layer_types': null, 'default_rope_theta': "
         "10000.0}"},
    {.model_type = "laguna",
     .defaults =
         "{'vocab_size': 100352, 'hidden_size': 2048, 'intermediate_size': 8192, "
         "'num_hidden_layers': 40, 'num_attention_heads': 48, "
         "'num_key_value_heads': 8, 'sliding_window': 512, 'layer_types': null, "
         "'head_dim': 128, 'num_attention_heads_per_layer': null, "
         "'default_rope_parameters': {'full_attention': {'rope_type': 'default', "
         "'rope_theta': 500000.0, 'partial_rotary_factor': 0.5}, "
         "'sliding_attention': {'rope_type': 'default', 'rope_theta': 10000.0, "
         "'partial_rotary_factor': 1.0}}}"},
    {.model_type = "lara_mini",
     .defaults =
         "{'vocab_size': 151936, 'hidden_size': 1024, 'num_hidden_layers': 34, "
         "'num_attention_heads': 16, 'num_key_value_heads': 4, 'head_dim': 128, "
         "'linear_conv_kernel_dim': 4, 'linear_key_head_dim': 128, "
         "'linear_value_head_dim': 128, 'linear_num_key_heads': 8, "
         "'linear_num_value_heads': 16, 'layer_types': null, 'sliding_window': "
         "512, 'default_rope_theta': 10000.0}"},
    {.model_type = "lfm2",
     .defaults =
         "{'vocab_size': 65536, 'hidden_size': 2560, 'intermediate_size': 12288, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': 8, 'conv_L_cache': 3, 'block_multiple_of': 256, "
         "'block_auto_adjust_ff_dim': true, 'layer_types': null, "
         "'default_rope_theta': 1000000.0}",
     .knows =
         "full_attn_idxs"},
    {.model_type = "lfm2_moe",
     .defaults =
         "{'vocab_size': 65536, 'hidden_size': 2048, 'intermediate_size': 7168, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': 8, 'conv_L_cache': 3, 'num_dense_layers': 2, "
         "'layer_types': null, 'default_rope_theta': 1000000.0}"},
    {.model_type = "lfm2_vl",
     .text = "lfm2"},
    {.model_type = "lfm3",
     .defaults =
         "{'vocab_size': 128000, 'hidden_size': 2048, 'intermediate_size': 7680, "
         "'num_hidden_layers': 24, 'num_attention_heads': 16, "
         "'num_key_value_heads': 4, 'conv_L_cache': 7, 'layer_types': null, "
         "'head_dim': 128, 'sliding_window': 256, 'default_rope_parameters': "
         "{'sliding_attention': {'rope_type': 'default', 'rope_theta': 10000.0}, "
         "'full_attention': {'rope_type': 'proportional', 'rope_theta': "
         "1000000.0, 'partial_rotary_factor': 0.5}}}"},
    {.model_type = "lfm3_vl",
     .text = "lfm3"},
    {.model_type = "lighton_ocr",
     .text = "qwen3"},
    {.model_type = "llama",
     .defaults =
         "{'vocab_size': 32000, 'hidden_size': 4096, 'intermediate_size': 11008, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': null, 'head_dim': null, 'default_rope_theta': "
         "10000.0}"},
    {.model_type = "llama4",
     .text = "llama4_text"},
    {.model_type = "llama4_text",
     .defaults =
         "{'vocab_size': 202048, 'hidden_size': 5120, 'intermediate_size': 8192, "
         "'num_hidden_layers': 48, 'num_attention_heads': 40, "
         "'num_key_value_heads': 8, 'head_dim': 128, 'no_rope_layers': null, "
         "'no_rope_layer_interval': 4, 'attention_chunk_size': 8192, "
         "'layer_types': null, 'default_rope_theta': 500000.0}"},
    {.model_type = "llava",
     .text = "llama"},
    {.model_type = "llava_next",
     .text = "llama"},
    {.model_type = "llava_next_video",
     .text = "llama"},
    {.model_type = "llava_onevision",
     .text = "qwen2"},
    {.model_type = "longcat_flash",
     .defaults =
         "{'vocab_size': 131072, 'hidden_size': 6144, 'num_layers': 28, "
         "'num_attention_heads': 64, 'num_key_value_heads': null, "
         "'ffn_hidden_size': 12288, 'q_lora_rank': 1536, 'kv_lora_rank': 512, "
         "'qk_nope_head_dim': 128, 'qk_rope_head_dim': 64, 'head_dim': 64, "
         "'v_head_dim': 128, 'qk_head_dim': null, 'default_rope_theta': "
         "10000000.0}",
     .names =
         "ffn_hidden_size=intermediate_size"},
    {.model_type = "mamba",
     .defaults =
         "{'vocab_size': 50280, 'hidden_size': 768, 'state_size': 16, "
         "'num_hidden_layers': 32, 'expand': 2, 'conv_kernel': 4}",
     .knows =
         "use_mambapy"},
    {.model_type = "mamba2",
     .defaults =
         "{'num_heads': 128, 'head_dim': 64, 'vocab_size': 32768, 'hidden_size': "
         "4096, 'state_size': 128, 'num_hidden_layers': 64, 'expand': 2, "
         "'conv_kernel': 4, 'n_groups': 8, 'chunk_size': 256}"},
    {.model_type = "mellum",
     .defaults =
         "{'vocab_size': 98304, 'hidden_size': 2304, 'intermediate_size': 7168, "
         "'num_hidden_layers': 28, 'num_attention_heads': 32, "
         "'num_key_value_heads': 4, 'sliding_window': 1024, 'head_dim': 128, "
         "'layer_types': null, 'num_mtp_layers': null, 'mtp_layer_types': null, "
         "'default_rope_parameters': {'full_attention': {'rope_type': 'default', "
         "'rope_theta': 500000.0}, 'sliding_attention': {'rope_type': 'default', "
         "'rope_theta': 10000.0}}}",
     .names =
         "num_nextn_predict_layers=num_mtp_layers"},
    {.model_type = "mimo_v2_flash",
     .defaults =
         "{'vocab_size': 152576, 'hidden_size': 4096, 'intermediate_size': 16384, "
         "'num_hidden_layers': 48, 'num_attention_heads': 64, "
         "'num_key_value_heads': 4, 'head_dim': 192, 'v_head_dim': 128, "
         "'sliding_window': 129, 'layer_types': null, 'default_rope_parameters': "
         "{'full_attention': {'rope_type': 'default', 'rope_theta': 5000000.0, "
         "'partial_rotary_factor': 0.334}, 'sliding_attention': {'rope_type': "
         "'default', 'rope_theta': 10000.0, 'partial_rotary_factor': 0.334}}}",
     .knows =
         "sliding_window_size"},
    {.model_type = "minicpm3",
     .defaults =
         "{'vocab_size': 73448, 'hidden_size': 2560, 'intermediate_size': 6400, "
         "'num_hidden_layers': 62, 'num_attention_heads': 40, "
         "'num_key_value_heads': 40, 'head_dim': null, 'kv_lora_rank': 256, "
         "'q_lora_rank': 768, 'qk_nope_head_dim': 64, 'qk_rope_head_dim': 32, "
         "'v_head_dim': null, 'dim_model_base': 256, 'default_rope_theta': "
         "10000.0}",
     .knows =
         "qk_head_dim"},
    {.model_type = "minicpm_ocr",
     .text = "qwen3_5_text"},
    {.model_type = "minicpmv4_6",
     .text = "qwen3_5_text"},
    {.model_type = "minicpmv4_7",
     .text = "qwen3_5_text"},
    {.model_type = "minimax",
     .defaults =
         "{'vocab_size': 32000, 'hidden_size': 4096, 'intermediate_size': 14336, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': 8, 'head_dim': null, 'sliding_window': null, "
         "'layer_types': null, 'linear_attn_alpha_factor': 1, "
         "'linear_attn_beta_factor': 1, 'default_rope_theta': 1000000.0}"},
    {.model_type = "minimax_m2",
     .defaults =
         "{'vocab_size': 200064, 'hidden_size': 3072, 'intermediate_size': 1536, "
         "'num_hidden_layers': 62, 'num_attention_heads': 48, "
         "'num_key_value_heads': 8, 'head_dim': 128, 'default_rope_theta': "
         "5000000.0}"},
    {.model_type = "minimax_m3_vl",
     .text = "minimax_m3_vl_text"},
    {.model_type = "minimax_m3_vl_text",
     .defaults =
         "{'vocab_size': 200064, 'hidden_size': 6144, 'intermediate_size': 3072, "
         "'num_hidden_layers': 60, 'num_attention_heads': 64, "
         "'num_key_value_heads': 4, 'head_dim': 128, 'dense_intermediate_size': "
         "12288, 'shared_intermediate_size': 3072, 'rotary_dim': 64, "
         "'index_n_heads': 4, 'index_head_dim': 128, 'index_block_size': 128, "
         "'index_local_blocks': 1, 'layer_types': null, 'default_rope_theta': "
         "5000000.0}",
     .knows =
         "sparse_attention_config"},
    {.model_type = "ministral",
     .defaults =
         "{'vocab_size': 32000, 'hidden_size': 4096, 'intermediate_size': 14336, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': 8, 'head_dim': null, 'sliding_window': 4096, "
         "'layer_types': null, 'default_rope_theta': 10000.0}"},
    {.model_type = "ministral3",
     .defaults =
         "{'vocab_size': 131072, 'hidden_size': 4096, 'intermediate_size': 14336, "
         "'num_hidden_layers': 34, 'num_attention_heads': 32, "
         "'num_key_value_heads': 8, 'head_dim': 128, 'sliding_window': null, "
         "'default_rope_parameters': {'type': 'yarn', 'rope_theta': 1000000.0, "
         "'factor': 16.0, 'original_max_position_embeddings': 16384, "
         "'max_position_embeddings': 262144, 'beta_fast': 32.0, 'beta_slow': 1.0, "
         "'mscale_all_dim': 1.0, 'mscale': 1.0, 'llama_4_scaling_beta': 0.1, "
         "'rope_type': 'yarn'}}"},
    {.model_type = "mistral",
     .defaults =
         "{'vocab_size': 32000, 'hidden_size': 4096, 'intermediate_size': 14336, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': 8, 'head_dim': null, 'sliding_window': 4096, "
         "'default_rope_theta': 10000.0}"},
    {.model_type = "mistral3",
     .text = "mistral"},
    {.model_type = "mistral_large4",
     .text = "mistral_large4_text"},
    {.model_type = "mistral_large4_text",
     .defaults =
         "{'vocab_size': 204800, 'hidden_size': 6144, 'intermediate_size': 24576, "
         "'num_hidden_layers': 72, 'num_attention_heads': 64, "
         "'num_key_value_heads': 64, 'kv_lora_rank': 512, 'qk_rope_head_dim': 64, "
         "'v_head_dim': 128, 'qk_nope_head_dim': 64, 'index_head_dim': 128, "
         "'index_n_heads': 32, 'head_dim': 64, 'layer_types': null, "
         "'indexer_types': null, 'no_rope_layers': null, 'kv_source_layers': "
         "null, 'default_rope_parameters': {'rope_type': 'yarn', 'rope_theta': "
         "10000.0, 'factor': 2048.0, 'original_max_position_embeddings': 512, "
         "'beta_fast': 32.0, 'beta_slow': 1.0, 'attention_factor': 1.0}}",
     .knows =
         "no_rope_layer_interval qk_head_dim"},
    {.model_type = "mixtral",
     .defaults =
         "{'vocab_size': 32000, 'hidden_size': 4096, 'intermediate_size': 14336, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': 8, 'head_dim': null, 'sliding_window': null, "
         "'default_rope_theta': 1000000.0}"},
    {.model_type = "mllama",
     .text = "mllama_text_model"},
    {.model_type = "mllama_text_model",
     .defaults =
         "{'vocab_size': 128256, 'hidden_size': 4096, 'num_hidden_layers': 40, "
         "'num_attention_heads': 32, 'num_key_value_heads': 8, "
         "'intermediate_size': 14336, 'cross_attention_layers': null, "
         "'default_rope_theta': 500000.0}"},
    {.model_type = "modernbert-decoder",
     .defaults =
         "{'vocab_size': 50368, 'hidden_size': 768, 'intermediate_size': 1152, "
         "'num_hidden_layers': 22, 'num_attention_heads': 12, 'layer_types': "
         "null, 'default_rope_parameters': {'sliding_attention': {'rope_type': "
         "'default', 'rope_theta': 10000.0}, 'full_attention': {'rope_type': "
         "'default', 'rope_theta': 160000.0}}}",
     .knows =
         "global_attn_every_n_layers local_attention sliding_window"},
    {.model_type = "molmo2",
     .text = "molmo2_text"},
    {.model_type = "molmo2_text",
     .defaults =
         "{'hidden_size': 4096, 'num_attention_heads': 32, 'num_key_value_heads': "
         "8, 'head_dim': 128, 'vocab_size': 151936, 'additional_vocab_size': 128, "
         "'num_hidden_layers': 36, 'intermediate_size': 12288, "
         "'default_rope_theta': 10000.0}"},
    {.model_type = "moshi",
     .defaults =
         "{'vocab_size': 32000, 'hidden_size': 4096, 'num_hidden_layers': 32, "
         "'num_attention_heads': 32, 'num_key_value_heads': null, 'head_dim': "
         "null, 'sliding_window': 3000, 'ffn_dim': 22528, 'default_rope_theta': "
         "10000.0}"},
    {.model_type = "moss_transcribe_diarize",
     .text = "qwen3"},
    {.model_type = "mpt",
     .defaults =
         "{'n_heads': 16, 'n_layers': 24, 'expansion_ratio': 4, 'vocab_size': "
         "50368}",
     .names =
         "d_model=hidden_size n_heads=num_attention_heads "
         "n_layers=num_hidden_layers"},
    {.model_type = "muse_glimmer",
     .text = "muse_glimmer_text"},
    {.model_type = "muse_glimmer_text",
     .defaults =
         "{'vocab_size': 202048, 'hidden_size': 6656, 'intermediate_size': 19968, "
         "'num_hidden_layers': 52, 'num_attention_heads': 32, "
         "'num_key_value_heads': 2, 'head_dim': 128, 'sliding_window': 2048, "
         "'layer_types': null, 'default_rope_theta': 10000.0}"},
    {.model_type = "muse_spark",
     .text = "muse_spark_text"},
    {.model_type = "muse_spark_text",
     .defaults =
         "{'vocab_size': 202048, 'hidden_size': 8192, 'intermediate_size': 16384, "
         "'num_hidden_layers': 62, 'num_attention_heads': 128, "
         "'num_key_value_heads': 16, 'head_dim': 64, 'sliding_window': 2048, "
         "'layer_types': null, 'default_rope_theta': 500000.0}"},
    {.model_type = "musicflamingo",
     .text = "qwen2"},
    {.model_type = "nanochat",
     .defaults =
         "{'vocab_size': 50304, 'hidden_size': 768, 'intermediate_size': 8192, "
         "'num_hidden_layers': 12, 'num_attention_heads': 6, "
         "'num_key_value_heads': null, 'default_rope_theta': 10000.0}"},
    {.model_type = "nemo_speechlm",
     .text = "nemotron_h"},
    {.model_type = "nemotron",
     .defaults =
         "{'vocab_size': 256000, 'hidden_size': 6144, 'intermediate_size': 24576, "
         "'num_hidden_layers': 32, 'num_attention_heads': 48, 'head_dim': null, "
         "'num_key_value_heads': null, 'default_rope_theta': 10000.0, "
         "'default_partial_rotary_factor': 0.5}"},
    {.model_type = "nemotron_h",
     .defaults =
         "{'vocab_size': 131072, 'hidden_size': 4096, 'layers_block_type': null, "
         "'num_attention_heads': 32, 'num_key_value_heads': 8, 'head_dim': 128, "
         "'sliding_window': null, 'intermediate_size': 21504, 'ssm_state_size': "
         "128, 'mamba_num_heads': 128, 'mamba_head_dim': 64, 'n_groups': 8, "
         "'conv_kernel': 4, 'expand': 2, 'chunk_size': 128, "
         "'mamba_ssm_cache_dtype': 'float32', 'num_nextn_predict_layers': 0, "
         "'mtp_layers_block_type': null}",
     .names =
         "layers_block_type=layer_types",
     .knows =
         "hybrid_override_pattern layer_types mamba_chunk_size mamba_d_conv "
         "mamba_dt_limit mamba_dt_max mamba_dt_min mamba_expand mamba_n_groups "
         "mtp_hybrid_override_pattern use_mamba_kernels"},
    {.model_type = "nemotron_h_omni",
     .text = "nemotron_h"},
    {.model_type = "olmo",
     .defaults =
         "{'vocab_size': 50304, 'hidden_size': 4096, 'intermediate_size': 11008, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': null, 'clip_qkv': null, 'default_rope_theta': "
         "10000.0}"},
    {.model_type = "olmo2",
     .defaults =
         "{'vocab_size': 50304, 'hidden_size': 4096, 'intermediate_size': 11008, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': null, 'default_rope_theta': 10000.0}"},
    {.model_type = "olmo3",
     .defaults =
         "{'vocab_size': 50304, 'hidden_size': 4096, 'intermediate_size': 11008, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': null, 'sliding_window': 4096, 'layer_types': "
         "null, 'default_rope_parameters': {'sliding_attention': {'rope_type': "
         "'default', 'rope_theta': 500000.0}, 'full_attention': {'rope_type': "
         "'default', 'rope_theta': 500000.0}}}"},
    {.model_type = "olmo_hybrid",
     .defaults =
         "{'vocab_size': 100352, 'hidden_size': 3840, 'intermediate_size': 11008, "
         "'num_hidden_layers': 32, 'num_attention_heads': 30, "
         "'num_key_value_heads': null, 'layer_types': null, "
         "'linear_num_key_heads': null, 'linear_num_value_heads': null, "
         "'linear_key_head_dim': null, 'linear_value_head_dim': null, "
         "'linear_conv_kernel_dim': 4, 'linear_allow_neg_eigval': true, "
         "'default_rope_theta': 10000.0}",
     .knows =
         "linear_a_log_max linear_a_log_min linear_dt_max linear_dt_min"},
    {.model_type = "olmoe",
     .defaults =
         "{'vocab_size': 50304, 'hidden_size': 2048, 'intermediate_size': 2048, "
         "'num_hidden_layers': 16, 'num_attention_heads': 16, "
         "'num_key_value_heads': null, 'clip_qkv': null, 'default_rope_theta': "
         "10000.0}"},
    {.model_type = "omniasr",
     .text = "llama"},
    {.model_type = "opt",
     .defaults =
         "{'vocab_size': 50272, 'hidden_size': 768, 'num_hidden_layers': 12, "
         "'ffn_dim': 3072, 'num_attention_heads': 12}"},
    {.model_type = "ovis2",
     .text = "qwen2"},
    {.model_type = "paddleocr_vl",
     .text = "paddleocr_vl_text"},
    {.model_type = "paddleocr_vl_text",
     .defaults =
         "{'vocab_size': 103424, 'hidden_size': 1024, 'intermediate_size': 3072, "
         "'num_hidden_layers': 18, 'num_attention_heads': 16, "
         "'num_key_value_heads': 2, 'head_dim': 128, 'default_rope_theta': "
         "500000.0}"},
    {.model_type = "paligemma",
     .text = "gemma"},
    {.model_type = "perception_lm",
     .text = "llama"},
    {.model_type = "persimmon",
     .defaults =
         "{'vocab_size': 262144, 'hidden_size': 4096, 'intermediate_size': 16384, "
         "'num_hidden_layers': 36, 'num_attention_heads': 64, "
         "'default_rope_theta': 10000.0, 'default_partial_rotary_factor': 0.5}"},
    {.model_type = "phi",
     .defaults =
         "{'vocab_size': 51200, 'hidden_size': 2048, 'intermediate_size': 8192, "
         "'num_hidden_layers': 24, 'num_attention_heads': 32, "
         "'num_key_value_heads': null, 'default_rope_theta': 10000.0, "
         "'default_partial_rotary_factor': 0.5}"},
    {.model_type = "phi3",
     .defaults =
         "{'vocab_size': 32064, 'hidden_size': 3072, 'intermediate_size': 8192, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': null, 'sliding_window': null, "
         "'default_rope_theta': 10000.0}"},
    {.model_type = "phi4_multimodal",
     .defaults =
         "{'vocab_size': 200064, 'hidden_size': 3072, 'intermediate_size': 8192, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': 8, 'sliding_window': null, 'default_rope_theta': "
         "10000.0}"},
    {.model_type = "phimoe",
     .defaults =
         "{'vocab_size': 32064, 'hidden_size': 4096, 'intermediate_size': 6400, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': 8, 'sliding_window': null, 'default_rope_theta': "
         "1000000.0}"},
    {.model_type = "pp_chart2table",
     .text = "qwen2"},
    {.model_type = "qianfan_ocr",
     .text = "qwen3"},
    {.model_type = "qwen2",
     .defaults =
         "{'vocab_size': 151936, 'hidden_size': 4096, 'intermediate_size': 22016, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': 32, 'use_sliding_window': false, "
         "'sliding_window': 4096, 'max_window_layers': 28, 'layer_types': null, "
         "'default_rope_theta': 10000.0}"},
    {.model_type = "qwen2_5_omni",
     .text = "qwen2_5_omni_text"},
    {.model_type = "qwen2_5_omni_text",
     .defaults =
         "{'vocab_size': 152064, 'hidden_size': 3584, 'intermediate_size': 18944, "
         "'num_hidden_layers': 28, 'num_attention_heads': 28, "
         "'num_key_value_heads': 4, 'use_sliding_window': false, "
         "'sliding_window': 32768, 'max_window_layers': 28, 'layer_types': null, "
         "'default_rope_theta': 1000000.0}"},
    {.model_type = "qwen2_5_omni_thinker",
     .text = "qwen2_5_omni_text"},
    {.model_type = "qwen2_5_vl",
     .text = "qwen2_5_vl_text"},
    {.model_type = "qwen2_5_vl_text",
     .defaults =
         "{'vocab_size': 152064, 'hidden_size': 8192, 'intermediate_size': 29568, "
         "'num_hidden_layers': 80, 'num_attention_heads': 64, "
         "'num_key_value_heads': 8, 'use_sliding_window': false, "
         "'sliding_window': 4096, 'max_window_layers': 80, 'layer_types': null, "
         "'default_rope_theta': 1000000.0}"},
    {.model_type = "qwen2_audio",
     .text = "qwen2"},
    {.model_type = "qwen2_moe",
     .defaults =
         "{'vocab_size': 151936, 'hidden_size': 2048, 'intermediate_size': 5632, "
         "'num_hidden_layers': 24, 'num_attention_heads': 16, "
         "'num_key_value_heads': 16, 'use_sliding_window': false, "
         "'sliding_window': 4096, 'max_window_layers': 28, 'decoder_sparse_step': "
         "1, 'mlp_only_layers': null, 'layer_types': null, 'default_rope_theta': "
         "10000.0}"},
    {.model_type = "qwen2_vl",
     .text = "qwen2_vl_text"},
    {.model_type = "qwen2_vl_text",
     .defaults =
         "{'vocab_size': 152064, 'hidden_size': 8192, 'intermediate_size': 29568, "
         "'num_hidden_layers': 80, 'num_attention_heads': 64, "
         "'num_key_value_heads': 8, 'use_sliding_window': false, "
         "'sliding_window': 4096, 'max_window_layers': 80, 'layer_types': null, "
         "'default_rope_theta': 1000000.0}"},
    {.model_type = "qwen3",
     .defaults =
         "{'vocab_size': 151936, 'hidden_size': 4096, 'intermediate_size': 22016, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': 32, 'head_dim': 128, 'use_sliding_window': "
         "false, 'sliding_window': 4096, 'max_window_layers': 28, 'layer_types': "
         "null, 'default_rope_theta': 10000.0}"},
    {.model_type = "qwen3_5",
     .text = "qwen3_5_text"},
    {.model_type = "qwen3_5_moe",
     .text = "qwen3_5_moe_text"},
    {.model_type = "qwen3_5_moe_text",
     .defaults =
         "{'vocab_size': 248320, 'hidden_size': 2048, 'num_hidden_layers': 40, "
         "'num_attention_heads': 16, 'num_key_value_heads': 2, 'head_dim': 256, "
         "'linear_conv_kernel_dim': 4, 'linear_key_head_dim': 128, "
         "'linear_value_head_dim': 128, 'linear_num_key_heads': 16, "
         "'linear_num_value_heads': 32, 'layer_types': null, "
         "'default_rope_theta': 10000.0, 'default_partial_rotary_factor': 0.25}",
     .knows =
         "full_attention_interval"},
    {.model_type = "qwen3_5_text",
     .defaults =
         "{'vocab_size': 248320, 'hidden_size': 4096, 'intermediate_size': 12288, "
         "'num_hidden_layers': 32, 'num_attention_heads': 16, "
         "'num_key_value_heads': 4, 'head_dim': 256, 'linear_conv_kernel_dim': 4, "
         "'linear_key_head_dim': 128, 'linear_value_head_dim': 128, "
         "'linear_num_key_heads': 16, 'linear_num_value_heads': 32, "
         "'layer_types': null, 'default_rope_theta': 10000.0, "
         "'default_partial_rotary_factor': 0.25}",
     .knows =
         "full_attention_interval"},
    {.model_type = "qwen3_asr",
     .text = "qwen3"},
    {.model_type = "qwen3_moe",
     .defaults =
         "{'vocab_size': 151936, 'hidden_size': 2048, 'intermediate_size': 6144, "
         "'num_hidden_layers': 24, 'num_attention_heads': 32, "
         "'num_key_value_heads': 4, 'use_sliding_window': false, "
         "'sliding_window': 4096, 'decoder_sparse_step': 1, 'mlp_only_layers': "
         "null, 'default_rope_theta': 10000.0}"},
    {.model_type = "qwen3_next",
     .defaults =
         "{'vocab_size': 151936, 'hidden_size': 2048, 'intermediate_size': 5632, "
         "'num_hidden_layers': 48, 'num_attention_heads': 16, "
         "'num_key_value_heads': 2, 'head_dim': 256, 'linear_conv_kernel_dim': 4, "
         "'linear_key_head_dim': 128, 'linear_value_head_dim': 128, "
         "'linear_num_key_heads': 16, 'linear_num_value_heads': 32, "
         "'decoder_sparse_step': 1, 'mlp_only_layers': null, 'layer_types': null, "
         "'default_rope_theta': 10000.0, 'default_partial_rotary_factor': 0.25}",
     .knows =
         "full_attention_interval"},
    {.model_type = "qwen3_omni_moe",
     .text = "qwen3_omni_moe_text"},
    {.model_type = "qwen3_omni_moe_text",
     .defaults =
         "{'vocab_size': 3584, 'hidden_size': 2048, 'intermediate_size': 18944, "
         "'num_hidden_layers': 28, 'num_attention_heads': 28, "
         "'num_key_value_heads': 4, 'sliding_window': null, "
         "'decoder_sparse_step': 1, 'mlp_only_layers': null, "
         "'default_rope_theta': 1000000.0}"},
    {.model_type = "qwen3_omni_moe_thinker",
     .text = "qwen3_omni_moe_text"},
    {.model_type = "qwen3_vl",
     .text = "qwen3_vl_text"},
    {.model_type = "qwen3_vl_moe",
     .text = "qwen3_vl_moe_text"},
    {.model_type = "qwen3_vl_moe_text",
     .defaults =
         "{'vocab_size': 151936, 'hidden_size': 2048, 'intermediate_size': 5632, "
         "'num_hidden_layers': 24, 'num_attention_heads': 16, "
         "'num_key_value_heads': 16, 'decoder_sparse_step': 1, 'mlp_only_layers': "
         "null, 'head_dim': null, 'default_rope_theta': 500000.0}",
     .knows =
         "sliding_window"},
    {.model_type = "qwen3_vl_text",
     .defaults =
         "{'vocab_size': 151936, 'hidden_size': 4096, 'intermediate_size': 22016, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': 32, 'head_dim': 128, 'default_rope_theta': "
         "500000.0}"},
    {.model_type = "qwen4_exp",
     .text = "qwen4_exp_text"},
    {.model_type = "qwen4_exp_text",
     .defaults =
         "{'vocab_size': 248320, 'hidden_size': 2048, 'num_hidden_layers': 40, "
         "'num_attention_heads': 16, 'num_key_value_heads': 2, 'head_dim': 256, "
         "'linear_conv_kernel_dim': 4, 'linear_key_head_dim': 128, "
         "'linear_value_head_dim': 128, 'linear_num_key_heads': 16, "
         "'linear_num_value_heads': 32, 'layer_types': null, 'hc_lowrank': 320, "
         "'ple_layer_ids': null, 'ple_conv_kernel_size': 4, 'indexer_n_heads': "
         "null, 'indexer_kv_heads': null, 'indexer_head_dim': null, "
         "'indexer_budget': null, 'indexer_compress_ratio': null, "
         "'default_rope_theta': 10000.0}",
     .knows =
         "full_attention_interval number_of_conv_states"},
    {.model_type = "recurrent_gemma",
     .defaults =
         "{'num_hidden_layers': 26, 'vocab_size': 256000, 'hidden_size': 2560, "
         "'intermediate_size': 7680, 'num_attention_heads': 10, 'lru_width': "
         "null, 'attention_window_size': 2048, 'conv1d_width': 4, 'block_types': "
         "['recurrent', 'recurrent', 'attention'], 'num_key_value_heads': null, "
         "'default_rope_theta': 10000.0, 'default_partial_rotary_factor': 0.5}",
     .names =
         "layers_block_type=layer_types attention_window_size=sliding_window",
     .knows =
         "head_dim layer_types sliding_window"},
    {.model_type = "rwkv",
     .defaults =
         "{'vocab_size': 50277, 'hidden_size': 4096, 'num_hidden_layers': 32, "
         "'attention_hidden_size': null, 'intermediate_size': null}"},
    {.model_type = "sarvam_mla",
     .defaults =
         "{'vocab_size': 262144, 'hidden_size': 4096, 'intermediate_size': 16384, "
         "'num_hidden_layers': 32, 'num_attention_heads': 64, "
         "'num_key_value_heads': null, 'kv_lora_rank': 512, 'q_lora_rank': null, "
         "'qk_rope_head_dim': 64, 'v_head_dim': 128, 'qk_nope_head_dim': 128, "
         "'num_mtp_layers': 0, 'default_rope_theta': 10000.0}",
     .names =
         "num_nextn_predict_layers=num_mtp_layers",
     .knows =
         "head_dim q_head_dim qk_head_dim"},
    {.model_type = "sarvam_moe",
     .defaults =
         "{'vocab_size': 262144, 'hidden_size': 4096, 'intermediate_size': 8192, "
         "'num_hidden_layers': 19, 'num_attention_heads': 64, "
         "'num_key_value_heads': 4, 'num_mtp_layers': 0, 'head_dim': 64, "
         "'default_rope_theta': 8000000.0}",
     .names =
         "num_nextn_predict_layers=num_mtp_layers"},
    {.model_type = "seed_oss",
     .defaults =
         "{'vocab_size': 155136, 'hidden_size': 4096, 'intermediate_size': 27648, "
         "'num_hidden_layers': 64, 'num_attention_heads': 80, "
         "'num_key_value_heads': 8, 'head_dim': 128, 'default_rope_theta': "
         "10000.0}"},
    {.model_type = "shieldgemma2",
     .text = "gemma3_text"},
    {.model_type = "smollm3",
     .defaults =
         "{'vocab_size': 128256, 'hidden_size': 2048, 'intermediate_size': 11008, "
         "'num_hidden_layers': 36, 'num_attention_heads': 16, "
         "'num_key_value_heads': 4, 'use_sliding_window': false, "
         "'sliding_window': null, 'no_rope_layers': null, "
         "'no_rope_layer_interval': 4, 'layer_types': null, 'default_rope_theta': "
         "2000000.0}"},
    {.model_type = "smolvlm",
     .text = "llama"},
    {.model_type = "solar_open",
     .defaults =
         "{'vocab_size': 196608, 'hidden_size': 4096, 'num_hidden_layers': 48, "
         "'num_attention_heads': 64, 'num_key_value_heads': 8, 'head_dim': 128, "
         "'default_rope_theta': 1000000.0}"},
    {.model_type = "stablelm",
     .defaults =
         "{'vocab_size': 50304, 'intermediate_size': 6912, 'hidden_size': 2560, "
         "'num_hidden_layers': 32, 'num_attention_heads': 32, "
         "'num_key_value_heads': 32, 'default_rope_theta': 10000.0, "
         "'default_partial_rotary_factor': 0.25}"},
    {.model_type = "starcoder2",
     .defaults =
         "{'vocab_size': 49152, 'hidden_size': 3072, 'intermediate_size': 12288, "
         "'num_hidden_layers': 30, 'num_attention_heads': 24, "
         "'num_key_value_heads': 2, 'sliding_window': null, 'default_rope_theta': "
         "10000.0}"},
    {.model_type = "step3p5",
     .defaults =
         "{'vocab_size': 128815, 'hidden_size': 4096, 'intermediate_size': 11264, "
         "'num_hidden_layers': 45, 'num_attention_heads': 64, "
         "'num_key_value_heads': 8, 'head_dim': 128, 'layer_types': null, "
         "'sliding_window': null, 'num_sliding_attention_heads': null, "
         "'mtp_layer_types': null, 'default_rope_parameters': {'full_attention': "
         "{'rope_type': 'default', 'rope_theta': 10000.0}}}",
     .names =
         "num_key_value_heads=num_attention_groups "
         "num_nextn_predict_layers=num_mtp_layers",
     .knows =
         "per_layer_config sparse_attention_config swiglu_limits_shared"},
    {.model_type = "step3p7",
     .text = "step3p5"},
    {.model_type = "vaultgemma",
     .defaults =
         "{'vocab_size': 256000, 'hidden_size': 2304, 'intermediate_size': 9216, "
         "'num_hidden_layers': 26, 'num_attention_heads': 8, "
         "'num_key_value_heads': 4, 'head_dim': 256, 'sliding_window': 4096, "
         "'layer_types': null, 'default_rope_theta': 10000.0}"},
    {.model_type = "vibevoice",
     .text = "qwen2"},
    {.model_type = "vibevoice_asr",
     .text = "qwen2"},
    {.model_type = "video_llama_3",
     .text = "qwen2"},
    {.model_type = "video_llava",
     .text = "llama"},
    {.model_type = "vipllava",
     .text = "llama"},
    {.model_type = "voxtral",
     .text = "llama"},
    {.model_type = "xglm",
     .defaults =
         "{'vocab_size': 256008, 'ffn_dim': 4096, 'num_layers': 24, "
         "'attention_heads': 16}",
     .names =
         "d_model=hidden_size attention_heads=num_attention_heads "
         "num_layers=num_hidden_layers",
     .knows =
         "add_cross_attention"},
    {.model_type = "youtu",
     .defaults =
         "{'vocab_size': 128256, 'hidden_size': 2048, 'intermediate_size': 6144, "
         "'num_hidden_layers': 32, 'num_attention_heads': 16, "
         "'num_key_value_heads': 16, 'kv_lora_rank': 512, 'q_lora_rank': 1536, "
         "'qk_rope_head_dim': 64, 'v_head_dim': 128, 'qk_nope_head_dim': 128, "
         "'default_rope_theta': 10000.0}",
     .knows =
         "head_dim qk_head_dim"},
    {.model_type = "zamba",
     .defaults =
         "{'vocab_size': 32000, 'hidden_size': 3712, 'attention_hidden_size': "
         "null, 'intermediate_size': 14848, 'num_hidden_layers': 76, "
         "'num_attention_heads': 16, 'attention_head_dim': null, "
         "'num_key_value_heads': 16, 'n_mamba_heads': 2, 'attn_layer_period': 6, "
         "'attn_layer_offset': 4, 'mamba_d_state': 16, 'mamba_d_conv': 4, "
         "'mamba_expand': 2, 'mamba_dt_rank': 'auto', 'layers_block_type': null}",
     .names =
         "attention_head_dim=head_dim layers_block_type=layer_types",
     .knows =
         "head_dim layer_types use_mamba_kernels"},
    {.model_type = "zamba2",
     .defaults =
         "{'vocab_size': 32000, 'hidden_size': 2560, 'num_hidden_layers': 54, "
         "'layers_block_type': null, 'mamba_d_state': 64, 'mamba_d_conv': 4, "
         "'mamba_expand': 2, 'mamba_ngroups': 1, 'n_mamba_heads': 8, "
         "'chunk_size': 256, 'intermediate_size': null, 'num_attention_heads': "
         "32, 'num_key_value_heads': null, 'default_rope_theta': 10000.0}",
     .names =
         "attention_head_dim=head_dim layers_block_type=layer_types",
     .knows =
         "attention_head_dim head_dim hybrid_layer_ids kv_channels layer_types "
         "mamba_headdim use_mamba_kernels use_shared_attention_adapter"},
    {.model_type = "zaya",
     .defaults =
         "{'vocab_size': 262272, 'hidden_size': 2048, 'num_hidden_layers': 40, "
         "'num_attention_heads': 8, 'num_key_value_heads': 2, 'sliding_window': "
         "null, 'layer_types': null, 'head_dim': 128, 'default_rope_parameters': "
         "{'hybrid': {'rope_type': 'default', 'rope_theta': 5000000.0, "
         "'partial_rotary_factor': 0.5}, 'hybrid_sliding': {'rope_type': "
         "'default', 'rope_theta': 10000.0, 'partial_rotary_factor': 0.5}}}"},
};
/* clang-format on */

const size_t mls_classes_n = sizeof mls_classes / sizeof mls_classes[0];
