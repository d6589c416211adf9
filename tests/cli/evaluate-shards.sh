# The parts of an evaluation, for any number of them and in any order, make what one run
# prints; a missing, double, foreign or changed part is named and no file is harmed.
sh "$ROOT/tests/support/layers.sh" "$ROOT" 2
demo=demo
run() { # OPTIONS...
    mlascope evaluate "$demo" -f "$demo/evaluation.txt" -N 3 -T 24 \
        -s "mha2mla rope=uniform chunks=4,8 rank=16" -s gqa2mla "$@" 2>>err || cat err
}
shards() { # N OPTIONS...: the last one first
    n=$1 i=$1 parts=
    shift
    while [ "$i" -gt 0 ]; do
        i=$((i - 1))
        run "$@" --shard "$i/$n" -o "$i-of-$n"
        parts="$parts $i-of-$n"
    done
}
run --percentiles -o whole.json
for n in 1 2 3 7; do
    shards $n --percentiles
    mv whole.json one.json
    mlascope merge $parts -o whole.json
    cmp one.json whole.json && echo "$n parts: the bytes of one run"
done
run --per-layer >one
shards 2 --per-layer
mlascope merge $parts | cmp one - && echo "by layer, too"
run --lengths 8,24 --format csv >one
shards 2 --lengths 8,24
mlascope merge $parts --format csv | cmp one - && echo "by length, too"
run --positions --format md >one
shards 2 --positions
mlascope merge $parts --format md | cmp one - && echo "by position, too"

mlascope verify 0-of-3
mlascope merge 0-of-3 2-of-3
mlascope merge 0-of-3 1-of-3 2-of-3 1-of-3
mlascope merge 0-of-3 1-of-3 1-of-2
cp 1-of-3 changed
printf x | dd of=changed bs=1 seek=1500 conv=notrunc 2>out
mlascope merge 0-of-3 changed 2-of-3 2>err
echo "exit $?"
sed -E 's/[0-9a-f]{12}/.../g' err
head -c 2000 1-of-3 >cut
mlascope merge 0-of-3 cut 2-of-3
sed '1s/1/9/' 1-of-3 >future
mlascope merge 0-of-3 future 2-of-3
echo "a thesis" >thesis
mlascope merge 0-of-3 thesis 2-of-3
rm err
run --shard 0/2 -o thesis
cat thesis
rm err
run --shard 0/2
true
