# A tokenizer that adds BOS: it stands before every window of capture and evaluate, which
# score the same tokens, and is recorded; --no-bos leaves it out.
mkdir model
for file in model.safetensors config.json; do
    ln -s "$ROOT/datasets/demo/$file" model/$file
done
piece='{"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}'
text='{"Sequence": {"id": "A", "type_id": 0}}'
token='{"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]}'
post='{"type": "TemplateProcessing", "single": ['$piece', '$text'], "pair": [], "special_tokens": {"<|endoftext|>": '$token'}}'
sed "s/\"post_processor\": null/\"post_processor\": $post/" \
    "$ROOT/datasets/demo/tokenizer.json" >model/tokenizer.json
text=$ROOT/datasets/demo/evaluation.txt
for bos in '' --no-bos; do
    mlascope capture model -f "$text" -N 4 -T 48 $bos -o run$bos.h5 --format csv \
        2>/dev/null | cut -d, -f1,2,5 | sed 's/\(\.[0-9]\{5\}\)[0-9]*/\1/'
    mlascope evaluate model -f "$text" -N 4 -T 48 $bos --capture run$bos.h5 \
        -s "kq rank=64" --format json 2>/dev/null | tr "," "\n" |
        grep -E "begin with| \"perplexity\":" | sed "s/\(\.[0-9]\{5\}\)[0-9]*/\1/"
done
mlascope evaluate model -f "$text" -N 4 -T 48 --no-bos --capture run.h5 -s 'kq rank=64' \
    --format csv 2>&1 >/dev/null | grep BOS
mlascope merge run.h5 run--no-bos.h5 -o all.h5 2>&1 | sed 's/^.*: //'
