#!/bin/sh
# Every C file is as clang-format writes it, comments within 88 columns, too, which it does
# not look at; it opens with how and why, and is short or has a reason. Usage: format.sh SOURCE_ROOT
cd "$1" || exit 99
files() {
    find common datasets analysis bench reports tools tests library examples -name '*.[ch]' -print0
}
long=$(files | LC_ALL=C.UTF-8 xargs -0 grep -nE '^.{89}')
if [ -n "$long" ]; then
    echo "longer than 88 columns:"
    echo "$long"
    exit 1
fi
silent=$(find common datasets analysis bench reports tools -name '*.c' | LC_ALL=C sort | while read -r file; do
    head -n 1 "$file" | grep -q '^/\*' || echo "$file"
done)
if [ -n "$silent" ]; then
    echo "begins without a comment that says how it computes and why so:"
    echo "$silent"
    exit 1
fi
# A file over 500 lines has its reason in ARCHITECTURE.md.
large=$(find common datasets analysis bench reports tools -name '*.[ch]' | LC_ALL=C sort | while read -r file; do
    [ "$(wc -l <"$file")" -le 500 ] || grep -q "\`$(basename "$file")\`" docs/ARCHITECTURE.md || echo "$file"
done)
if [ -n "$large" ]; then
    echo "over 500 lines, and docs/ARCHITECTURE.md gives no reason:"
    echo "$large"
    exit 1
fi
if ! command -v clang-format >/dev/null; then
    echo "SKIPPED: clang-format is not installed"
    exit 77
fi
files | xargs -0 clang-format --dry-run -Werror
