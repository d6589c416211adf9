# Texts with names: a capture of each and their sum; the report's matrix of both.
sh "$ROOT/tests/support/layers.sh" "$ROOT" 1
demo=demo
names="-f bible=$demo/calibration.txt -f plays=$demo/shakespeare.txt"
mlascope capture "$demo" $names -N 4 -T 32 -o run.h5 --format csv 2>/dev/null | cut -d, -f1,2
for file in run-bible.h5 run-plays.h5 run.h5; do
    mlascope verify $file >/dev/null 2>&1 && echo "$file is whole"
done
mlascope report "$demo" $names -N 4 -T 32 --no-quality --no-plots -o out 2>/dev/null |
    grep -o 'texts: captured on [a-z]* and read on [a-z]*'
ls out/texts
grep -c '<section id="texts">' out/index.html
mlascope capture "$demo" -f bible="$demo/calibration.txt" -o x.h5
mlascope capture "$demo" -f a="$demo/calibration.txt" -f "$demo/shakespeare.txt" -o x.h5
mlascope capture "$demo" $names --seed 1 -o x.h5
mlascope report "$demo" -f a="$demo/calibration.txt" -f b=nowhere.txt -o refused
ls
