# Too little address space ends with a sentence, not with a wait for ever; so does a signal
# while standard input is read.
if ldd "$(command -v mlascope)" | grep -q libasan; then
    echo "SKIPPED: a sanitizer needs more address space than any limit" >&2
    exit 77
fi
(ulimit -v 150000 && timeout 20 mlascope check "$ROOT/datasets/demo") 2>&1 | sed 's/limit of [0-9]*/limit of N/'
(ulimit -v 150000 && timeout 20 mlascope check "$ROOT/datasets/demo") >/dev/null 2>&1
echo "exit $?"
mkfifo text
sleep 100 >text &
writer=$!
mlascope capture "$ROOT/datasets/demo" -f - -N 2 -T 16 -o run.h5 <text &
reader=$!
for try in $(seq 600); do # until its handler is in place: bit 15 of what it catches
    grep -q '^SigCgt:.*[4-7c-f]...$' /proc/$reader/status && break
    sleep 0.1
done
kill -TERM $reader
wait $reader
echo "exit $?"
kill $writer
ls
