# One broken copy of the demo model each; every one is refused with status 3.
demo=$ROOT/datasets/demo

try() {
    mlascope check "$1"
    echo "$1: $?"
}

# fresh NAME: a copy of the demo's config and weights
fresh() {
    mkdir "$1"
    cp "$demo/config.json" "$demo/model.safetensors" "$1"
}

fresh truncated
truncate -s 11000000 truncated/model.safetensors
try truncated

fresh header
truncate -s 4000 header/model.safetensors
try header

fresh trailing
printf x >>trailing/model.safetensors
try trailing

# The first tensor ends where the second begins, at 1048576.
fresh overlap
sed -i 's/"data_offsets": \[1048576, 1049088\]/"data_offsets": [1048575, 1049087]/' overlap/model.safetensors
try overlap

fresh gap
sed -i 's/"data_offsets": \[1048576, 1049088\]/"data_offsets": [1048577, 1049089]/' gap/model.safetensors
try gap

fresh dtype
sed -i '1s/"dtype": "BF16"/"dtype": "BF61"/' dtype/model.safetensors
try dtype

# The weights are sound, but not those of this config.
fresh shape
sed -i 's/"intermediate_size": 768/"intermediate_size": 512/' shape/config.json
try shape

fresh missing
sed -i 's/"num_hidden_layers": 6/"num_hidden_layers": 7/' missing/config.json
try missing

fresh rope
sed -i 's/"rope_scaling": null/"rope_scaling": {"rope_type": "spiral", "factor": 2}/' rope/config.json
try rope

fresh heads
sed -i 's/"num_key_value_heads": 2/"num_key_value_heads": 4/' heads/config.json
try heads

# Two shards, one of them not there.
fresh shard
mv shard/model.safetensors shard/model-00001-of-00002.safetensors
printf '%s' '{"weight_map": {"model.norm.weight": "model-00001-of-00002.safetensors", "lm_head.weight": "model-00002-of-00002.safetensors"}}' >shard/model.safetensors.index.json
try shard

# The index may not lead out of its folder.
fresh escape
mv escape/model.safetensors escape/model-00001-of-00001.safetensors
printf '%s' '{"weight_map": {"model.norm.weight": "../escape/model-00001-of-00001.safetensors"}}' >escape/model.safetensors.index.json
try escape

mkdir empty
try empty
cp "$demo/config.json" empty
try empty
try nowhere
mlascope check
echo "no operand: $?"
mlascope check "$demo" -o nowhere/out.txt
echo "no folder: $?"

# What a clone without git-lfs, and a server's error page, leave behind.
fresh pointer
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 11286016\n' \
    >pointer/model.safetensors
try pointer
fresh page
printf '\n<!DOCTYPE html>\n<html><body>404</body></html>\n' >page/model.safetensors
try page
