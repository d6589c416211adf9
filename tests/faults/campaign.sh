#!/bin/sh
# Faults, power losses, kills and missing memory in capture, compare, report, evaluate and
# export of the demo model at a small size (missing memory: plan, frequency, size and check
# too):
#
#     campaign.sh BUILD ROOT [FAULTS [LOSSES [KILLS [ALLOCATIONS]]]]     1000 500 200 500
#
# FAULTS writes, syncs and renames that fail (ENOSPC and EIO, one alone and all from one
# on) and reads that fail; LOSSES simulated power losses (power_loss_shim.c); KILLS by
# SIGKILL (kill.sh); ALLOCATIONS that fail, one alone and all from one on
# (alloc_fault_shim.c), each spread evenly over the commands and their calls. Asked each
# time: no crash; status 0 only with the right bytes; nothing else under the output's
# name; a sentence; the right bytes after a rerun. Not a part of the suites. The faults are
# made by the shims, so TMPDIR may be in memory, which saves the waiting for syncs. With
# DONE=FILE each try is noted there, and those that it names are not made again.
set -u
build=$(realpath "$1") root=$(realpath "$2")
mlascope=$build/tools/mlascope demo=$root/datasets/demo
faults=${3:-1000} losses=${4:-500} kills=${5:-200} allocations=${6:-500}
here=$(realpath "$(dirname "$0")")
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
done_file=${DONE:-$work/done}
touch "$done_file" && done_file=$(realpath "$done_file") && cd "$work" || exit 99
text=$demo/evaluation.txt
commands='capture compare report evaluate export' more='plan frequency size check'
failed=0
run() { # NAME: the command, into `out`
    case $1 in
    capture) "$mlascope" capture "$demo" -f "$text" -N 2 -T 16 --windows 1 --save-every 0 -t 1 -o out ;;
    compare) "$mlascope" compare "$demo" -f "$text" -N 1 -T 16 -t 1 -s 'lorc rank=16,32' --group 1 --format jsonl -o out ;;
    report) "$mlascope" report "$demo" -N 2 -T 16 -t 1 --no-quality --no-plots -o out ;;
    evaluate) "$mlascope" evaluate "$demo" -f "$text" -N 1 -T 16 -t 1 -s 'lorc rank=16' --format jsonl -o out ;;
    export) "$mlascope" export "$demo" --for latent -s gqa2mla -o out ;;
    plan) "$mlascope" plan "$demo" -f "$text" --capture calibration.h5 --keep 50% --method lorc \
        --search 1 --verify 1 -T 16 -t 1 -o out ;;
    frequency) "$mlascope" frequency calibration.h5 --chunks 2 --rules 2-norm --format csv -o out ;;
    size | check) "$mlascope" $name "$demo" --format csv -o out ;;
    esac >log 2>&1
}
clean() { rm -rf out out.part out.rows.jsonl out.tmp-*; }

# The seconds that compare writes are those of the run; a report names its command.
same() {
    for each in "$1" "$2"; do
        [ ! -f "$each" ] || sed -i 's/"seconds": *[0-9.e+-]*/"seconds": 0/g' "$each" 2>/dev/null
    done
    diff -r "$1" "$2" >/dev/null 2>&1
}
bad() {
    echo "$name, $what: $1"
    tail -n 1 log
    failed=$((failed + 1))
}

# fresh: is this try one that was not made before? tried: now it was.
fresh() { ! grep -qxF "$name, $what" "$done_file" && clean; }
tried() {
    echo "$name, $what" >>"$done_file"
    tries=$((tries + 1))
}

# After a run with status $status: is all as it should be, and after a rerun?
judge() {
    case $status in
    0) same out right-$name || bad "status 0 and other bytes" ;;
    1 | 2 | 3 | 75) grep -q '^mlascope: ' log || bad "status $status and no word" ;;
    137) [ "$what" != "${what#loss}" ] || bad "killed" ;;
    *) bad "status $status" ;;
    esac
    [ $status = 0 ] || [ $name = report ] || [ ! -e out ] || rmdir out 2>/dev/null ||
        same out right-$name || bad "something else under the output's name"
    [ $status = 0 ] || { run $name && same out right-$name; } || bad "the rerun fails or differs"
}

# each N CALLS: so many numbers from 1 to CALLS, evenly; all when there are fewer.
each() {
    awk -v n="$1" -v calls="$2" 'BEGIN {
        if (n > calls) n = calls
        for (i = 0; i < n; i++) print 1 + int(i * calls / n)
    }'
}

"$mlascope" capture "$demo" -f "$demo/calibration.txt" -N 2 -T 16 -t 1 -o calibration.h5 2>log ||
    { cat log; exit 1; }
for name in $commands $more; do
    clean
    run $name || { cat log; exit 1; }
    mv out right-$name
done

started=$(date +%s) tries=0
for name in $commands; do
    for kind in 'ENOSPC once' 'EIO kept' 'ENOSPC kept' 'EIO read'; do
        unset MLS_FAULT_KEEPS MLS_FAULT_EIO MLS_FAULT_READS
        case $kind in *kept) export MLS_FAULT_KEEPS=1 ;; esac
        case $kind in EIO*) export MLS_FAULT_EIO=1 ;; esac
        case $kind in *read) export MLS_FAULT_READS=1 ;; esac
        clean
        MLS_FAULT_COUNT=$work/count LD_PRELOAD=$build/tests/libio_fault_shim.so run $name
        for at in $(each $((faults / 20)) "$(cat count)"); do
            what="fault $at of $(cat count), $kind"
            fresh || continue
            (export MLS_FAULT_AT=$at LD_PRELOAD=$build/tests/libio_fault_shim.so && run $name)
            status=$?
            judge
            tried
        done
    done
done
unset MLS_FAULT_KEEPS MLS_FAULT_EIO MLS_FAULT_READS
echo "I/O faults: $tries in $(($(date +%s) - started)) s"

started=$(date +%s) tries=0
for name in $commands; do
    clean
    MLS_LOSS_COUNT=$work/count LD_PRELOAD=$build/tests/libpower_loss_shim.so run $name
    wanted=$((losses / 5))
    for round in $(seq $((wanted / $(cat count) + 1))); do
        for at in $(each $wanted "$(cat count)"); do
            [ $wanted -gt 0 ] || break
            wanted=$((wanted - 1))
            what="loss $at of $(cat count), seed $round"
            fresh || continue
            (export MLS_LOSS_AT=$at MLS_LOSS_SEED=$((round * 1000 + at)) \
                LD_PRELOAD=$build/tests/libpower_loss_shim.so && run $name) 2>/dev/null
            status=$?
            judge
            tried
        done
    done
done
echo "power losses: $tries in $(($(date +%s) - started)) s"

started=$(date +%s) tries=0 shim=$build/tests/liballoc_fault_shim.so
for name in $commands $more; do
    clean
    MLS_ALLOC_COUNT=$work/count LD_PRELOAD=$shim run $name
    for keeps in '' 1; do
        for at in $(each $((allocations / 18)) "$(cat count)"); do
            what="allocation $at of $(cat count)${keeps:+ and all after}"
            fresh || continue
            (export MLS_ALLOC_AT=$at ${keeps:+MLS_ALLOC_KEEPS=1} LD_PRELOAD=$shim && run $name)
            status=$?
            judge
            tried
        done
    done
done
echo "allocations: $tries in $(($(date +%s) - started)) s"

started=$(date +%s)
[ "$kills" = 0 ] || sh "$here/kill.sh" "$mlascope" "$root" $((kills / 5)) || failed=$((failed + 1))
echo "kills: $((kills / 5 * 5)) tried in $(($(date +%s) - started)) s"
echo "$failed not as they should be"
[ $failed = 0 ]
