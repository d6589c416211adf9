# A plan is exported like a setting, and read back to the same KL.
T="$ROOT/datasets/demo -f $ROOT/datasets/demo/evaluation.txt -T 32"
mlascope plan $T --search 2 --verify 2 --method 'x-ecomla rope_dim=32' \
    --keep 0.5 --multiple 8 --first-last 64 --format csv -o plan.json >table 2>stderr || cat stderr
mlascope export "$ROOT/datasets/demo" --plan plan.json --for latent -o latent &&
    ls latent
mlascope export "$ROOT/datasets/demo" --plan plan.json --for x-ecomla -o x && ls x
grep -c kv_rank x/mla_layer_config.json
mlascope evaluate $T -N 2 --plan plan.json --against latent --format csv 2>stderr | tr -d '"' |
    awk -F, 'NR > 2 { kl[NR] = $7 } END { print (kl[3] + 0 > 0 && kl[3] == kl[4] ? "equal" : "differ") }'
sed 's/"model_sha256": "..../"model_sha256": "0000/' plan.json >other.json
mlascope export "$ROOT/datasets/demo" --plan other.json --for latent -o other 2>&1 |
    sed 's/has [0-9a-f]*/has HASH/; s/0000[0-9a-f]*/OTHER/; /%$/d'
ls
