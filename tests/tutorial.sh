#!/bin/sh
# The commands of docs/TUTORIAL.md, QUESTIONS.md and READING.md print what the pages say.
# Usage: tutorial.sh MLASCOPE SOURCE_ROOT [PAGE]...; UPDATE=1 writes all that was printed.
set -eu
program=$(realpath "$1") root=$(realpath "$2")
shift 2
[ $# -gt 0 ] || set -- TUTORIAL QUESTIONS READING
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/bin"
ln -s "$program" "$tmp/bin/mlascope"
export PATH="$tmp/bin:$PATH"
failed=0
for page in "$@"; do
    mkdir "$tmp/$page"
    ln -s "$root/datasets" "$root/examples" "$tmp/$page"
    (cd "$tmp/$page" && perl "$root/tests/tutorial.pl" "$root/docs/$page.md" ${UPDATE:-}) || failed=1
done
exit $failed
