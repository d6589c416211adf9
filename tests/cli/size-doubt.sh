# What nobody understands is said where the figure is, and in the exit status.
shape='"hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4'
all="$shape, \"num_key_value_heads\": 2, \"head_dim\": 16"
say() {
    echo "== $1"
    printf '{%s}' "$1" > config.json
    mlascope size config.json -s baseline 2>said | sed -n '/at most/p;/# family/p;/^baseline/p'
    mlascope size config.json -s baseline >csv --format csv 2>said
    echo "status $?"
    sed 's/^mlascope: //' said
}
say "\"model_type\": \"novel\", $all"
say "\"model_type\": \"novel\", $all, \"v_head_dim\": 8, \"rope_theta\": 10"
say "\"model_type\": \"novel\", $all, \"swa_kv_period\": 3"
say "\"model_type\": \"novel\", $all, \"sliding_window\": 128"
say "\"model_type\": \"novel\", $all, \"sliding_window\": 128, \"sliding_window_pattern\": 2"
say "\"model_type\": \"novel\", $shape, \"num_key_value_heads\": 2"
say "\"model_type\": \"novel\", $shape"
say "\"model_type\": \"llama\", $all, \"mamba_layers\": [1, 2]"
say "\"model_type\": \"llama\", $all, \"rope_scaling\": {\"rope_type\": \"spiral\"}"
say "\"model_type\": \"llama\", \"n_layer\": 4, \"hidden_size\": 64"
say "\"model_type\": \"llama\", $all, \"num_hidden_layers_kept\": null"
say "\"model_type\": \"gpt2\", \"n_layer\": 4, \"n_head\": 4, \"n_embd\": 64"
# A window that the class of transformers does not read, though its cache does; and one
# that changes nothing.
window='"sliding_window": 128'
kinds='"layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]'
say "\"model_type\": \"llama\", $all, $window"
say "\"model_type\": \"llama\", $all, $window, $kinds"
say "\"model_type\": \"llama\", $all, $window, \"use_sliding_window\": false, $kinds"
say "\"model_type\": \"llama\", $all, $window, \"max_position_embeddings\": 128"
say "\"model_type\": \"mistral\", $all, $window, $kinds"
say "\"model_type\": \"mixtral\", $all, $window, $kinds"
