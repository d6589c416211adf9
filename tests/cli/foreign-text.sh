# A text that the tokenizer has only bytes for: commands warn, a report ends with 3.
demo=$ROOT/datasets/demo
for i in 1 2 3 4 5 6 7 8 9; do printf '天地玄黄宇宙洪荒日月盈昃辰宿列张。寒来暑往秋收冬藏\n'; done >foreign.txt
mlascope capture "$demo" -f foreign.txt -N 4 -T 32 -o run.h5 2>&1 >/dev/null |
    grep -o 'warning.*perplexity\|[0-9]* % of its tokens.*'
mlascope evaluate "$demo" -f foreign.txt -N 4 -T 32 -s 'kq rank=32' --capture run.h5 2>&1 |
    grep -c 'warning: The text is foreign'
sh "$ROOT/tests/support/layers.sh" "$ROOT" 1
report="mlascope report demo -f foreign.txt -N 4 -T 32 --no-quality --no-plots -o out"
$report 2>&1 >/dev/null | grep -c 'foreign.*--force ends with 0'
$report >/dev/null 2>&1
echo "status $?, $(grep -o '<p role="alert"><strong>Warning: The text is foreign' out/index.html)"
$report --force >/dev/null 2>&1
echo "with --force $?"
