# Parts of the layers make the tables and the file of one run.
sh "$ROOT/tests/support/layers.sh" "$ROOT" 3
demo=demo
mlascope capture "$demo" -f "$demo/calibration.txt" -N 6 -T 24 -o run.h5 >out 2>&1
try() { # END_OF_PARTS END N... -- WORDS...
    end=$1
    shift
    counts=
    while [ "$1" != -- ]; do
        counts="$counts $1"
        shift
    done
    shift
    mlascope frequency run.h5 "$@" -o "all$end" >shown 2>err || cat err
    mv "all$end" one
    for n in $counts; do
        rm -f part-*
        i=0
        while [ "$i" -lt "$n" ]; do
            mlascope frequency run.h5 "$@" --shard "$i/$n" -o "part-$i${end%.json}" 2>err ||
                cat err
            i=$((i + 1))
        done
        mlascope merge part-* -o "all$end" >out 2>err || cat err
        cmp one "all$end" && cmp out shown && echo "$n parts: $* as in one run"
    done
}
few="--rules 2-norm,ropelite-l2,kl-greedy --bootstrap 50"
try .json 1 2 3 -- $few
try .json 2 -- $few --scope global --costs
try .json 2 -- $few --lengths 8,24
try .h5 3 -- $few
mlascope merge part-* -o table.csv
mlascope frequency run.h5 --concentration --shard 0/2 -o no
true
