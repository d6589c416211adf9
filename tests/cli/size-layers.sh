# Layers of several kinds: what grows and what does not stand apart, in every format.
cat > hybrid.json <<'J'
{"model_type": "qwen3_next", "hidden_size": 2048, "num_hidden_layers": 48,
 "num_attention_heads": 16, "num_key_value_heads": 2, "head_dim": 256,
 "full_attention_interval": 4, "linear_num_key_heads": 16, "linear_num_value_heads": 32,
 "linear_key_head_dim": 128, "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4}
J
cat > windows.json <<'J'
{"model_type": "gemma3", "text_config": {"model_type": "gemma3_text",
 "hidden_size": 5376, "num_hidden_layers": 62, "num_attention_heads": 32,
 "num_key_value_heads": 16, "head_dim": 128, "sliding_window": 1024}}
J
cat > indexed.json <<'J'
{"model_type": "deepseek_v32", "hidden_size": 7168, "num_hidden_layers": 61,
 "num_attention_heads": 128, "num_key_value_heads": 128, "kv_lora_rank": 512,
 "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
 "v_head_dim": 128, "index_head_dim": 128, "index_n_heads": 64, "index_topk": 2048}
J
for model in hybrid windows indexed; do
    mlascope size $model.json -s baseline -T 4096,32768 --formula
done
mlascope size hybrid.json -s baseline -s 'mha2mla chunks=8 rank=64' --format csv |
    cut -d, -f 1,3,10,11,14,17,18
