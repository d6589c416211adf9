# A model with a layer that adds nothing, two layers in all: the report has its page.
demo=$ROOT/datasets/demo
mkdir model
cp $demo/config.json $demo/tokenizer*.json $demo/model.safetensors model
for part in self_attn.o mlp.down; do
    sh $ROOT/tests/support/zero.sh model/model.safetensors model.layers.1.${part}_proj.weight
done
sed -i 's/"num_hidden_layers": 6/"num_hidden_layers": 2/' model/config.json
mlascope report model -f $demo/calibration.txt --eval $demo/evaluation.txt -N 4 -T 16 -t 2 \
    --eval-sequences 2 --no-plots -o out --history history.csv >said 2>notes
echo "exit $?"
[ -s out/index.html ] && echo page
grep '^history' said
grep -q '[^a-z]nan[^a-zA-Z_]' out/index.html && echo "a figure that is none"
report()
{
    mlascope report model -f $demo/calibration.txt --eval $demo/evaluation.txt -N 4 -T 16 -t 2 \
        --eval-sequences 2 --no-plots -o "$@" >said 2>&1
    echo "exit $?"
    grep '^history\|^mlascope: .*history' said
}

echo '## its answer in a history'
cut -d, -f 9-11 history.csv
cp $demo/evaluation.txt other.csv
report out --history other.csv
report out --history model/config.json
report nowhere --history history.csv --no-quality
cmp other.csv $demo/evaluation.txt
[ -d nowhere ] || echo "nothing written"
