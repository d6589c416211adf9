# The demo model's weights with two layers that do not rotate:
# they keep nothing, and a budget of the model is spent on the others.
mkdir model
for file in model.safetensors tokenizer.json tokenizer_config.json; do
    ln -s "$ROOT/datasets/demo/$file" model/$file
done
sed 's/"MistralForCausalLM"/"SmolLM3ForCausalLM"/; s/"mistral"/"smollm3"/
     s/"hidden_act"/"no_rope_layers": [1, 0, 1, 1, 0, 1], "hidden_act"/' \
    "$ROOT/datasets/demo/config.json" >model/config.json
mlascope capture model -f "$ROOT/datasets/demo/calibration.txt" \
    -N 4 -T 48 --windows 4 -o run.h5 2>&1 >/dev/null | grep -v '^mlascope: '
for scope in head layer global query; do
    echo "$scope"
    mlascope frequency run.h5 --rules high,2-norm,ropelite-l1,ropelite-l2,kl \
        --chunks 3 --scope $scope --selections --format csv 2>/dev/null |
        tr -d '"\r' | awk -F, 'NR > 1 { gsub(/[|]/, "", $5); kept[$1] += split($5, a, " ")
                                        layers[$1]++ }
                               END { for (rule in kept) print rule, layers[rule], kept[rule] }' |
        LC_ALL=C sort
    mlascope frequency run.h5 --rules 2-norm --chunks 3 --scope $scope --bootstrap 20 \
        --format csv 2>/dev/null | tr -d '"\r' |
        awk -F, 'NR > 1 { print $1, $2, $3, ($4 > 0), ($6 > 0), ($8 > 0) }'
done
mlascope frequency run.h5 --rules 2-norm --chunks 0,32 --format csv 2>/dev/null |
    tr -d '"\r' | awk -F, 'NR > 1 { print $2, ($4 > 0), ($6 < 1e-9), ($8 < 1e-9) }'
