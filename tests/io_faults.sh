# io_faults.sh MLASCOPE SHIM SOURCE_ROOT: writes that fail, one at a time and from one on
# (a full disk), in capture, merge and frequency. Never a crash; status 0 only with the
# right bytes; what was there before stays; a rerun gives the right bytes.
# MLS_FAULTS=N tries N faults a command and kind (default 3; all: 100000).
set -u
mlascope=$(realpath "$1") shim=$(realpath "$2") demo=$(realpath "$3")/datasets/demo
tmp=$(mktemp -d) || exit 99
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 99
tries=0 failed=0

run() { # NAME: the command, into out-NAME
    case $1 in
    capture) "$mlascope" capture "$demo" -f "$demo/calibration.txt" -N 2 -T 16 --windows 1 \
        --save-every 0 -t 1 -o out-capture ;;
    merge) "$mlascope" merge a.h5 b.h5 -o out-merge ;;
    frequency) "$mlascope" frequency a.h5 --chunks 2 --rules 2-norm -o out-frequency ;;
    esac >log 2>&1
}

for part in a b; do
    [ $part = a ] && text=calibration || text=evaluation
    "$mlascope" capture "$demo" -f "$demo/$text.txt" -N 2 -T 16 --windows 1 -t 1 -o $part.h5 2>/dev/null || exit 1
done
for name in capture merge frequency; do
    MLS_FAULT_COUNT=$tmp/count LD_PRELOAD=$shim run $name || { cat log; exit 1; }
    calls=$(cat count)
    mv out-$name right-$name
    step=$((calls / ${MLS_FAULTS:-3} + 1))
    for keeps in "" 1; do
        at=1
        while [ $at -le "$calls" ]; do
            rm -rf out-$name out-$name.part
            MLS_FAULT_AT=$at MLS_FAULT_KEEPS=$keeps
            export MLS_FAULT_AT
            [ -n "$keeps" ] && export MLS_FAULT_KEEPS || unset MLS_FAULT_KEEPS
            LD_PRELOAD=$shim run $name
            status=$?
            unset MLS_FAULT_AT MLS_FAULT_KEEPS
            tries=$((tries + 1))
            if [ $status -gt 3 ] || { [ $status = 0 ] && ! cmp -s out-$name right-$name; } ||
                { [ $status != 0 ] && [ -e out-$name ] && ! cmp -s out-$name right-$name; }; then
                echo "$name: fault $at of $calls${keeps:+ and all after}: status $status"
                tail -2 log
                failed=$((failed + 1))
            elif [ $status != 0 ]; then
                grep -q '^mlascope: ' log || { echo "$name: fault $at: no word"; failed=$((failed + 1)); }
                run $name && cmp -s out-$name right-$name ||
                    { echo "$name: fault $at: the rerun differs"; tail -2 log; failed=$((failed + 1)); }
            fi
            at=$((at + step))
        done
    done
done
echo "$tries faults, $failed not as they should be"
[ $failed = 0 ]
