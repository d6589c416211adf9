# One window gives no intervals: its pictures are drawn without them.
sh "$ROOT/tests/support/layers.sh" "$ROOT" 2
demo=demo
mlascope report "$demo" -f "$demo/calibration.txt" -N 1 -T 32 --no-quality -o out >/dev/null 2>&1
echo "status $?"
ls out/plots | grep -E '^(rank-|top-).*png'
