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
# Pictures as text, of any folder that was drawn in; what a terminal obeys is left out.
mlascope size "$demo" -s "kq rank=16,32" --plots drawn >/dev/null 2>&1
mlascope show drawn --plot list
mlascope show drawn --plot size-bytes | grep -c .
mlascope show drawn --plot size-byte
mlascope show drawn --plot ../size-bytes
printf 'a\033[31m\302\233b\n' >drawn/plots/size-bytes.txt
mlascope show drawn --plot size-bytes
mlascope show out --plot list
