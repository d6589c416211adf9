# Parts of spectra, of weights and of captured outputs, make the table of one run.
demo=$ROOT/datasets/demo
mlascope capture "$demo" -f "$demo/calibration.txt" -N 4 -T 16 -o run.h5 >out 2>&1
try() { # COUNTS WORDS...
    counts=$1
    shift
    mlascope spectrum "$@" --draws 4 --format json >one 2>err || cat err
    for n in $counts; do
        rm -f part-*
        i=0
        while [ "$i" -lt "$n" ]; do
            mlascope spectrum "$@" --draws 4 --shard "$i/$n" -o "part-$i" 2>err || cat err
            i=$((i + 1))
        done
        mlascope merge part-* --format json | cmp one - && echo "$n parts: the table of one run"
    done
}
try "1 3" "$demo" --values
try 2 "$demo" --per head --weighted run.h5
try 3 run.h5 --per head
mlascope spectrum run.h5 --neighbours --shard 0/2 -o no
rm -f ./*
