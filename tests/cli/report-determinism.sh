# The same report on one thread and on three: the same bytes in every file.
sh "$ROOT/tests/support/layers.sh" "$ROOT" 2
for threads in 1 3; do
    mlascope report demo -N 3 -T 32 --no-quality -t $threads -o "out$threads" \
        >/dev/null 2>notes || cat notes
    (cd "out$threads" && find . -type f | LC_ALL=C sort) >"files$threads"
done
cmp files1 files3 && echo same files
while read -r file; do
    cmp "out1/$file" "out3/$file" || exit 1
done <files1
grep -E 'run.h5|index.html|contribution' files1
