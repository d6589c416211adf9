# A closed terminal stops the work like SIGTERM does: status 75, to go on later; names
# with escape codes never reach the terminal.
mlascope capture "$ROOT/datasets/demo" -f "$ROOT/datasets/demo/calibration.txt" -t 1 \
    --save-every 0 -o run.h5 >/dev/null 2>said &
work=$!
for i in $(seq 600); do
    [ -s run.h5.part/layer-000 ] && break
    sleep 0.1
done
kill -HUP $work
wait $work
echo "status $?"
grep -c 'stopped at' said
esc=$(printf '\033[31m\nred')
mlascope check "$esc" 2>&1 | tr '\033' '!'
mlascope "check" M --no-such"$esc" 2>&1 | tr '\033' '!'
mlascope "$esc" 2>&1 | tr '\033' '!'
