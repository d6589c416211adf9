# --heal adds what healing makes of the best of each class and size; a second run takes
# the healed forms as they are.
demo=$ROOT/datasets/demo
mlascope capture "$demo" -f "$demo/calibration.txt" -T 64 -N 12 -o run.h5 >/dev/null 2>&1
compare()
{
    mlascope compare "$demo" -f "$demo/evaluation.txt" -N 2 -T 64 --capture run.h5 \
        -s 'mha2mla rope=high chunks=4,8 rank=16' -s 'mha2mla rope=low chunks=8 rank=16' \
        --heal-steps 2 -o "$@" >/dev/null 2>times.txt
}
columns()
{
    tr -d '"\r' <"$1" | awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) c[$i] = i; next }
        $c["healed_kl"] == "" { print $c["setting"], "not healed"; next }
        $c["healed_kl"] < $c["kl"] && $c["excess"] > 0 { print $c["setting"], "closer" }'
}
compare a.csv --heal 1
columns a.csv
ls a.csv.healed | wc -l
cp a.csv first.csv
compare a.csv --heal 1 2>log
grep -c 'healing layer' log
columns first.csv >x && columns a.csv | cmp x - && echo same
mlascope compare "$demo" -f "$demo/evaluation.txt" -s baseline --heal 1
echo "exit $?"
