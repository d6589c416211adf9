# Layers of zeros and dead KV groups: what can be made is exact, what cannot is a row.
demo=$ROOT/datasets/demo
zero="sh $ROOT/tests/support/zero.sh model/model.safetensors model.layers"
mkdir model
cp $demo/config.json $demo/tokenizer*.json $demo/model.safetensors model
$zero.1.self_attn.o_proj.weight # a layer that adds nothing
$zero.2.self_attn.k_proj.weight 0 32768
$zero.2.self_attn.v_proj.weight 0 32768 # KV head 0 of 2
for part in q k v; do $zero.3.self_attn.${part}_proj.weight; done
mlascope capture model -f $demo/calibration.txt -N 6 -T 48 -t 2 -o run.h5 >capture.out 2>&1 || cat capture.out

echo "KL with layer 1 or 3 alone in few numbers:"
mlascope evaluate model -f $demo/evaluation.txt -N 1 -T 24 -t 2 --capture run.h5 --per-layer --format csv \
    -s "kq rank=2" -s "kqsvd rank=1" -s "kq rope=shared rope_dim=16 rank=2 refit=all" \
    -s "kq rope=2-norm chunks=2 rank=2 refit=all" -s "kq rank=2 weight=query" \
    -s "lillama skip=0 rank=8" -s "kqsvd rank=1000" >out.csv 2>err
awk -F'","' '$2 == 1 || $2 == 3 { print $1 ":", $2, ($11 < 1e-6 && $11 > -1e-6 ? "none" : $11) }' out.csv
cut -d, -f1-5,28- out.csv | grep "rank=1000" | head -1
grep 'not possible' err
echo "predicted errors where a layer adds nothing:"
mlascope compare model -f $demo/evaluation.txt -N 1 -T 24 -t 2 --capture run.h5 --format csv \
    -s "kq rank=256" -s "kqsvd rank=64" 2>/dev/null |
    awk -F'","' 'NR > 1 { print $2, ($12 < 1e-4 ? "small" : $12) }' | LC_ALL=C sort
echo "every method at half of the cache, on three layers:"
sed -i 's/"num_hidden_layers": 6/"num_hidden_layers": 3/' model/config.json
mlascope capture model -f $demo/calibration.txt -N 6 -T 48 -t 2 -o three.h5 >capture.out 2>&1 || cat capture.out
mlascope evaluate model -f $demo/evaluation.txt -N 1 -T 24 -t 2 --capture three.h5 --format csv \
    -s "kvsharer layers_shared=2 gate=0.999" -s "kvsharer layers_shared=1 gate=0.1" 2>err |
    awk -F'","' 'NR == 1 { for (i = 1; i <= NF; i++) if ($i ~ /^"?reason"?$/) r = i }
                 NR > 2 { print $1 ":", ($10 > 0 ? "measured" : $r) }'
grep 'not possible' err
echo "a plan says what it left out:"
mlascope plan model -f $demo/evaluation.txt -T 24 -t 2 --capture three.h5 --search 1 --verify 1 \
    --keep 60% --method kq --method "kvsharer layers_shared=2 gate=0.999" -o plan.json >/dev/null 2>&1
sed -n '/"refused"/,/]/p' plan.json
mlascope verify plan.json
echo "nothing that is possible:"
mlascope evaluate model -f $demo/evaluation.txt -N 1 -T 24 -s "kqsvd rank=1000" -s "mha2mla rank=1000"
echo "exit $?"
mlascope evaluate model -f $demo/evaluation.txt -N 1 -T 24 -s "kqsvd rank=4"
echo "exit $?"
echo "known at once, before a text is looked for:"
ranks="mha2mla rope=file:$ROOT/tests/rankfiles/both.pth chunks=4 rank=8"
bits="kq rank=20 quant=q4_0"
for setting in "$ranks" "$bits"; do
    [ "$setting" = "$ranks" ] || echo "a quantizer that does not fit:"
    for command in "evaluate $demo -f nowhere.txt -s" "compare $demo -f nowhere.txt -s" "size $demo -s" \
        "export $demo --for latent -o forms -s" "heal $demo --capture nowhere.h5 -o healed -s" \
        "plan $demo -f nowhere.txt --capture nowhere.h5 --keep 25% -o plan.json --method"; do
        mlascope $command "$setting" >said 2>&1
        echo "${command%% *}: exit $?, $(grep -m 1 -o 'has 3 layers.*\|q4_0.*multiple.*\|q4_0[^;]*fit.*\|nowhere.*' said)"
    done
done
