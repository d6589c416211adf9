# One window has no interval: said in words, an empty cell of a CSV, null in JSON.
sh "$ROOT/tests/support/layers.sh" "$ROOT" 2
demo=demo
text=$demo/evaluation.txt
for format in table csv json html; do
    mlascope compare $demo -f $text -N 1 -T 16 -t 1 -s 'lorc rank=16' --format $format \
        -o table >said 2>&1
    grep -i '[^a-z]nan[^a-zA-Z_]' table
    grep -o 'original: perplexity [^;]*' table
done
mlascope report $demo -N 2 -T 16 -t 1 --no-quality --no-plots -o out >said 2>&1
grep -o 'rule [a-z0-9-]*, .*most' said
grep '[^a-z]nan[^a-zA-Z_]' out/index.html out/answer.txt said
true
