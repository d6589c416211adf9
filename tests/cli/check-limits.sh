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
sleep 20 >text &
writer=$!
mlascope capture "$ROOT/datasets/demo" -f - -N 2 -T 16 -o run.h5 <text &
reader=$!
for try in 1 2 3 4 5 6 7 8 9 10; do # until its handler is in place
    sleep 0.5
    kill -TERM $reader 2>/dev/null || break
done
wait $reader
echo "exit $?"
kill $writer
ls
