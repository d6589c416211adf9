try() {
    mlascope plan $ROOT/datasets/demo -f $ROOT/datasets/demo/evaluation.txt -T 32 "$@" \
        -o plan.json 2>&1 | grep -v '%$'
}
try
try --keep 0.5 --max-kl 0.1
try --keep 25
try --keep half
try --keep 0.01 --search 2 --verify 2 --method 'mha2mla rope=uniform chunks=8'
try --keep 0.5 --search 2 --verify 2 --kernel flashmla --method 'mha2mla rope=uniform chunks=8'
try --keep 0.5 --search 100000
try --memory 0.001 --context 4096
try --keep 0.5 --bits 1
try --keep 0.5 --method 'kw'
ls
