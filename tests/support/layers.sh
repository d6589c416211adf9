# Make the folder demo here: the demo model with its first N layers, so that a case is quick.
# Usage: sh layers.sh ROOT N
from=$1/datasets/demo
mkdir demo
ln -s "$from"/*.txt "$from"/tokenizer* "$from/model.safetensors" demo
sed "s/\"num_hidden_layers\": 6/\"num_hidden_layers\": $2/" "$from/config.json" >demo/config.json
