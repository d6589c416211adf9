# Every command: 2 for a wrong command line, 3 for an input that cannot be taken, 1 for a
# disk that is full. One line of what is not so, and how many were tried.
sh "$ROOT/tests/support/layers.sh" "$ROOT" 2
demo=demo
text=$demo/evaluation.txt
mlascope capture $demo -f $demo/calibration.txt -N 12 -T 16 -t 1 -o run.h5 >/dev/null 2>&1
cp run.h5 bad.h5
printf X | dd of=bad.h5 bs=1 seek=100000 conv=notrunc 2>/dev/null
mkdir bad
cp $demo/tokenizer*.json bad
printf '{"model_type": "llama"' | tee bad/config.json >bad/tokenizer.json
echo nothing >bad.csv
tried=0
wants() {
    want=$1
    shift
    mlascope "$@" >out 2>err
    status=$?
    tried=$((tried + 1))
    [ $status = $want ] && { [ $want = 0 ] || grep -q '^mlascope: ' err; } ||
        echo "$*: exit $status instead of $want: $(head -1 err)"
}
run() {
    case $1 in
    check | size | spectrum) echo "$1 $2" ;;
    tokenize) echo "$1 $2 $text" ;;
    verify) echo "$1 $3" ;;
    merge) echo "$1 $3 $3 -o merged.h5" ;;
    capture) echo "$1 $2 -f $text -N 2 -T 16 -o captured.h5" ;;
    frequency | quantize) echo "$1 $3" ;;
    methods) echo "$1 --model $2" ;;
    evaluate | compare) echo "$1 $2 -f $text -N 1 -T 16 -s baseline" ;;
    plan) echo "$1 $2 -f $text --capture $3 --search 1 --verify 1 -T 16 --keep 50% -o plan.json" ;;
    heal) echo "$1 $2 --capture $3 -s gqa2mla --steps 0 -o healed" ;;
    export) echo "$1 $2 -s gqa2mla --for latent -o exported" ;;
    show) echo "$1 $3" ;;
    diff) echo "$1 $3 $3" ;;
    report) echo "$1 $2 -N 2 -T 16 --no-quality --no-plots -o report" ;;
    esac
}
for command in $(mlascope --help | sed -n 's/^  \([a-z]*\)  .*/\1/p'); do
    [ -n "$(run $command M run.h5)" ] || echo "$command: not in this test"
    [ $command = methods ] || wants 2 $command
    wants 2 $(run $command $demo run.h5) --no-such-option
    wants 2 $(run $command $demo run.h5) --format sheep
    wants 3 $(run $command bad bad.h5)
    wants 3 $(run $command nowhere nowhere.h5)
    case $command in
    verify | show) continue ;;
    capture | heal | export | report | merge | plan) ;;
    *) wants 1 $(run $command $demo run.h5) -o /dev/full ;;
    esac
done
wants 2 nothing
wants 2 --nothing
wants 0 --help
wants 0 --version
wants 3 compare $demo -f $text --settings bad.csv
wants 3 evaluate $demo -f nowhere.txt -s baseline
wants 3 evaluate $demo -f $text -N 1 -T 16 -s 'mha2mla rank=1000'
wants 2 evaluate $demo -f $text -N 1 -T 16 -s 'mha2mla rnak=10'
wants 2 evaluate $demo -f $text -N 1 -T 16 -s 'mha3mla'
wants 3 evaluate $demo -f $text -N 1 -T 16 --plan bad.csv
wants 3 evaluate $demo -f $text -N 1 -T 16 --capture bad.h5 -s baseline
wants 3 plan $demo -f $text --capture run.h5 --search 1 --verify 1 -T 16 --keep 0.001% -o plan.json
echo "$tried tried"
