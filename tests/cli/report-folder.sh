# A second report of something else into a finished folder is refused by naming what
# differs; folders of others are not touched; --replace leaves nothing of the old one.
sh "$ROOT/tests/support/layers.sh" "$ROOT" 1
demo=demo
report() {
    mlascope report "$demo" --no-plots -T 32 "$@" >/dev/null 2>said
    echo "exit $?"
    grep -v 'it was asked\|text gives\|%' said | cut -c1-330
}
report -N 2 --no-quality -o out
mlascope verify out | sed 's/[0-9.]* MB/N MB/'
report -N 2 --no-quality -o out
head -c 3000 "$demo/evaluation.txt" >other.txt
report -N 3 --no-quality -f other.txt -o out | sed 's/[0-9a-f]\{64\}/SHA/g'
echo 'setting,kl' >out/data/quality.csv
report -N 3 --no-quality -o out --replace
ls out out/data | grep 'quality\|plan'
cp out/index.html page
printf ' ' >>out/data/ranks.csv
mlascope verify out
report -N 3 --no-quality -o out
mlascope verify out | sed 's/[0-9.]* MB/N MB/'
cmp page out/index.html
rm out/plots/ranks.gp
mlascope verify out
mkdir mine
echo precious >mine/thesis.txt
echo precious >mine/index.html
for replace in '' --replace; do
    report -N 2 --no-quality -o mine $replace
done
ls mine
mkdir old
cp out/index.html out/run.h5 old
report -N 2 --no-quality -o old
report -N 2 --no-quality -o old --replace
