# Without a usable gnuplot a report ends before the work, or goes on without pictures.
sh "$ROOT/tests/support/layers.sh" "$ROOT" 1
demo=demo
mkdir bin none
for program in sh mlascope; do
    ln -s "$(command -v $program)" bin
done
report() {
    name=$1
    shift
    PATH=$PWD/bin mlascope report "$demo" -N 2 -T 32 --no-quality -o "$name" "$@" >said 2>notes
    echo "$name: exit $?"
    grep gnuplot notes
}
report missing
ls missing 2>/dev/null
printf '#!/bin/sh\necho "cannot open display" >&2\nexit 1\n' >bin/gnuplot
chmod +x bin/gnuplot
report unusable
ls unusable 2>/dev/null
report out --no-plots
ls out out/plots | grep -c 'svg\|png'
grep -c '<figure' out/index.html
grep -c '<img' out/index.html
PATH=$PWD/bin mlascope size "$demo" --plots size-out >said
echo "size: exit $?"
[ -e size-out ] || [ -s said ] || echo 'size: nothing was done'
