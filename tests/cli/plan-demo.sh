# The plan is inside its budget, and evaluate reads it back; digits are not shown.
T="$ROOT/datasets/demo -f $ROOT/datasets/demo/evaluation.txt -T 32"
mlascope plan $T --search 2 --verify 2 --method 'mha2mla rope=uniform chunks=8' \
    --keep 0.5 --multiple 16 --format csv -o plan.json >table 2>stderr || cat stderr
grep -c '^"[0-5]","mha2mla rope=uniform chunks=8 rank=' table
awk -F'"' '/^"[0-5]",/ { sum += $6 } END { print (sum <= 1536 ? "within" : "over"), 1536 }' table
grep -v '^#' table | cut -d, -f1 | sed -n '8,$p'
grep -c '"setting"' plan.json
mlascope evaluate $T -N 2 --plan plan.json --format csv 2>stderr | cut -d, -f1 | grep -v '^"\?#'
sed 's/"model_sha256": "..../"model_sha256": "0000/' plan.json >other.json
mlascope evaluate $T -N 2 --plan other.json 2>&1 |
    sed 's/has [0-9a-f]*/has HASH/; s/0000[0-9a-f]*/OTHER/; /%$/d'
# A memory as the budget: 0.02 GiB less the weights, for 4096 tokens; then as a limit.
mlascope plan $T --search 2 --verify 2 --method 'mha2mla rope=uniform chunks=8' \
    --memory 0.02 --context 4096 --multiple 16 --format csv -o memory.json 2>stderr |
    awk -F'"' '/^"[0-5]",/ { sum += $6 }
               END { print (sum * 4096 + 2 * 5639424 <= 0.02 * 2^30 ? "fits" : "too large") }'
mlascope plan $T --search 2 --verify 2 --method 'mha2mla rope=uniform chunks=8' \
    --keep 50% --gpu H100 --batch 64 --multiple 16 -o limit.json 2>stderr |
    grep "beside the weights"
