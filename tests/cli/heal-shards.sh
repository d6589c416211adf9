# Parts of the layers, healed on the original's inputs, make the forms of one run.
sh "$ROOT/tests/support/layers.sh" "$ROOT" 3
demo=demo
mlascope capture "$demo" -f "$demo/calibration.txt" -N 6 -T 16 -o run.h5 >out 2>&1
run() { # OPTIONS...
    mlascope heal "$demo" --capture run.h5 -s "kq rope=shared rope_dim=32 rank=32" \
        --held 2 --steps 2 --batch 2 "$@" 2>err || cat err
}
losses() { cut -d, -f1-8 "$1/healing.csv"; }
run --inputs original -o one >shown
for n in 1 2 3; do
    rm -rf part-* healed
    i=0
    while [ "$i" -lt "$n" ]; do
        run --inputs original --shard "$i/$n" -o "part-$i"
        i=$((i + 1))
    done
    ls part-*.* 2>out
    mlascope merge part-* -o healed >out 2>err || cat err
    cat one/layer-* | sha256sum >sum
    cat healed/layer-* | sha256sum | cmp sum - && echo "$n parts: the forms of one run"
done
mlascope verify healed part-0
run --inputs healed --shard 0/2 -o no
mlascope merge part-* -o healed
true
