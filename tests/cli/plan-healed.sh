# By healed loss: every reference is healed before it is measured, so the plan is
# predicted to lose less; a second run takes the forms as they are and makes the same plan.
demo=$ROOT/datasets/demo
mlascope capture "$demo" -f "$demo/calibration.txt" -T 32 -N 12 -o run.h5 >/dev/null 2>&1
plan()
{
    mlascope plan "$demo" -f "$demo/evaluation.txt" -T 32 --search 2 --verify 2 \
        --method 'mha2mla rope=uniform chunks=8' --keep 0.25 --multiple 16 "$@" >table 2>said.txt
}
lost() { sed -n 's/.*"predicted_kl": \([0-9.e-]*\).*/\1/p' "$1" | head -1; }
without_command() { grep -v -e '"command"' -e '"sha256"' "$1"; }
plan -o plain.json --capture run.h5
plan --by healed --heal-steps 2 --capture run.h5 -o healed.json
grep -c 'of healed forms' table
echo "$(lost plain.json) $(lost healed.json)" | awk '{ print $2 < $1 ? "less" : "not less" }'
without_command healed.json >once.json
plan --by healed --heal-steps 2 --capture run.h5 -o healed.json
grep -c 'healing layer' said.txt
without_command healed.json | cmp - once.json && echo "the same again"
plan --by healed -o x.json
echo "exit $?"
head -1 said.txt
plan --by luck --capture run.h5 -o x.json
head -1 said.txt
