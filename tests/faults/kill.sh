#!/bin/sh
# Kill a command at random moments, run it again, compare: kill.sh MLASCOPE ROOT [KILLS]
#
# capture, evaluate, compare, plan, export and report of the demo model at a small size,
# KILLS kills each [20]. Fails when a killed run left its output under the final name, when
# the rerun fails, when its bytes are not those of a run that was never killed, or when
# anything of ours is left beside the output. Not a part of the suites: it takes minutes.
set -u
mlascope=$(realpath "$1")
demo=$(realpath "$2")/datasets/demo
kills=${3:-20}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
text=$demo/evaluation.txt

# What each command is, with its output in OUT. In the place of the shell that calls it:
# what is killed is the command and not a shell that is about to start it.
start() {
    exec >/dev/null 2>>"$work/$1.log"
    case $1 in
    capture) exec "$mlascope" capture "$demo" -f "$text" -N 8 -T 64 --save-every 0 -o "$2" ;;
    evaluate) exec "$mlascope" evaluate "$demo" -f "$text" -N 4 -T 64 -s 'lorc rank=16,32' --format jsonl -o "$2" ;;
    compare) exec "$mlascope" compare "$demo" -f "$text" -N 4 -T 64 -s 'lorc rank=16,32' --format jsonl -o "$2" ;;
    export) exec "$mlascope" export "$demo" --for latent -s 'gqa2mla' -o "$2" ;;
    report) exec "$mlascope" report "$demo" -N 2 -T 32 --no-quality --no-plots -o "$2" ;;
    esac
}
run() { (start "$@"); }

# The seconds that evaluate and compare write are those of the run: 0 in both.
no_times() {
    [ ! -f "$1" ] || sed -i 's/"seconds": [0-9.e+-]*/"seconds": 0/g' "$1"
}
same() {
    no_times "$1"
    no_times "$2"
    diff -r "$1" "$2" >/dev/null
}

failed=0
for command in capture evaluate compare export report; do
    start=$(date +%s%N)
    rm -rf out
    run $command out || {
        echo "$command: failed without a kill:" && tail -n 2 "$command.log"
        failed=1
        continue
    }
    mv out whole
    took=$((($(date +%s%N) - start) / 1000000))
    killed=0
    for i in $(seq "$kills"); do
        rm -rf out out.part out.rows.jsonl ./*.tmp-*
        start $command out &
        child=$!
        # A fixed sequence of moments that covers the run, the same in every campaign.
        ms=$((i * 7919 % kills * took / kills))
        sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
        kill -9 $child 2>/dev/null
        wait $child 2>/dev/null
        [ $? != 137 ] || killed=$((killed + 1))
        # The folder that an export was to fill may be there and empty.
        [ $command = report ] || [ ! -e out ] || rmdir out 2>/dev/null || same whole out || {
            echo "$command, kill $i after $ms ms: a part under the final name"
            failed=1
        }
        # An export that was whole before the kill came is not written over.
        [ $command != export ] || rm -rf out
        run $command out || {
            echo "$command, kill $i after $ms ms: the rerun fails:" && tail -n 1 "$command.log"
            failed=1
        }
        same whole out || {
            echo "$command, kill $i after $ms ms: the rerun gives other bytes"
            failed=1
        }
        left=$(find . -name 'out*.tmp-*' -o -name 'out.part' -o -path './out/*.tmp-*' | head -n 1)
        [ -z "$left" ] || {
            echo "$command, kill $i after $ms ms: $left stays"
            failed=1
        }
    done
    echo "$command: $killed of $kills runs of about $took ms killed and run again"
    rm -rf whole
done
exit $failed
