# Parts of a plan's measurements make the plan of one run.
sh "$ROOT/tests/support/layers.sh" "$ROOT" 2
demo=demo
mlascope capture "$demo" -f "$demo/calibration.txt" -N 4 -T 16 -o run.h5 >out 2>&1
run() { # OPTIONS...
    mlascope plan "$demo" -f "$demo/evaluation.txt" --capture run.h5 --keep 25% \
        --search 2 --verify 2 -T 16 "$@" 2>err || cat err
}
run -o plan.json >shown
mv plan.json one.json
for n in 2 3; do
    rm -f part-*
    i=0
    while [ "$i" -lt "$n" ]; do
        run --shard "$i/$n" -o "part-$i"
        i=$((i + 1))
    done
    mlascope merge part-* -o plan.json >out 2>err || cat err
    cmp out shown && cmp plan.json one.json && echo "$n parts: the plan of one run"
done
