# Parts of a comparison make its table and the file of its rows, but for seconds; so
# with --measure, where what is measured follows from what every part predicts.
sh "$ROOT/tests/support/layers.sh" "$ROOT" 1
demo=demo
mlascope capture "$demo" -f "$demo/calibration.txt" -N 4 -T 16 -o run.h5 >out 2>&1
run() { # OPTIONS...
    mlascope compare "$demo" -f "$demo/evaluation.txt" -N 3 -T 16 --capture run.h5 \
        -s "mha2mla rope=uniform chunks=4,8 rank=8,16,24" "$@" >out 2>err ||
        cat err
}
without_seconds() { sed 's/"seconds":[^,}]*//g' "$1"; }
n=3
for some in "" "--measure 5"; do
    run $some -o all.jsonl
    for what in all.jsonl all.jsonl.rows.jsonl; do
        without_seconds $what >"one-$what"
    done
    rm -f all.jsonl* part-*
    i=0
    while [ "$i" -lt "$n" ]; do
        run $some --shard "$i/$n" -o "part-$i"
        i=$((i + 1))
    done
    mlascope merge part-* -o all.jsonl >out 2>err || cat err
    for what in all.jsonl all.jsonl.rows.jsonl; do
        without_seconds $what | cmp - "one-$what" && echo "$n parts: $what of one run"
    done
    rm -f all.jsonl*
    n=2
done
