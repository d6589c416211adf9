# The answer is printed again as it was, as long as the report is there and finished.
sh "$ROOT/tests/support/layers.sh" "$ROOT" 1
demo=demo
mlascope report "$demo" --no-plots --no-quality -N 2 -T 16 -o out >printed 2>/dev/null
mlascope show out >again
cmp printed again
mlascope verify out | cut -d, -f1
echo 'Keeping 25 %, before training:' >out/answer.txt
mlascope show out
rm out/answer.txt
mlascope show out
mkdir empty
mlascope show empty
mlascope show
mlascope help show | head -1
mlascope -V | cut -d' ' -f1
