# Parts of a run, for any number of them and in any order, make the bytes of one run; a
# missing, double or foreign part is named.
sh "$ROOT/tests/support/layers.sh" "$ROOT" 2
demo=demo
part() { # OUTPUT TEXT OPTIONS...
    out=$1 text=$2
    shift 2
    mlascope capture "$demo" -f "$demo/$text.txt" -N 11 -T 16 --windows 5 -t 1 "$@" \
        -o "$out" >out 2>err || cat err
}
part run.h5 calibration
whole=$(sha256sum <run.h5)
for n in 1 2 4 8; do
    i=$n
    parts=
    while [ "$i" -gt 0 ]; do
        i=$((i - 1))
        part "$i-of-$n.h5" calibration --shard "$i/$n"
        parts="$parts $i-of-$n.h5" # the last one first
    done
    mlascope merge $parts -o merged.h5 2>err || cat err
    [ "$(sha256sum <merged.h5)" = "$whole" ] && echo "$n parts: the bytes of one run"
done
touch -d 2001-01-01 0-of-2.h5
part 0-of-2.h5 calibration --shard 0/2
find . -name 0-of-2.h5 ! -newermt 2002-01-01 # finished: it is not made again
mlascope verify 3-of-8.h5
mlascope merge 0-of-4.h5 1-of-4.h5 3-of-4.h5 -o no.h5
mlascope merge 0-of-4.h5 1-of-4.h5 2-of-4.h5 -o no.h5
cp 1-of-4.h5 again.h5
mlascope merge 0-of-4.h5 1-of-4.h5 2-of-4.h5 3-of-4.h5 again.h5 -o no.h5
part other.h5 evaluation --shard 1/2
mlascope merge 0-of-2.h5 other.h5 -o no.h5
part other.h5 calibration --shard 1/2 --windows 4
mlascope merge 0-of-2.h5 other.h5 -o no.h5
mlascope merge 0-of-2.h5 1-of-4.h5 -o no.h5
mlascope merge 0-of-2.h5 run.h5 -o no.h5
part no.h5 calibration --shard 3/12
for shard in 2/2 1 x/2 slurm; do
    mlascope capture "$demo" -f "$demo/calibration.txt" -o no.h5 --shard "$shard"
    echo "exit $?"
done
SLURM_ARRAY_TASK_ID=6 SLURM_ARRAY_TASK_MIN=5 SLURM_ARRAY_TASK_COUNT=2 \
    mlascope capture "$demo" -f "$demo/calibration.txt" -N 11 -T 16 --windows 5 \
    -o slurm.h5 --shard slurm >out 2>err
cmp slurm.h5 1-of-2.h5 && echo "task 6 of 5-6 is part 1/2"
rm -f ./*.h5 out err
