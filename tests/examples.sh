#!/bin/sh
# The examples say what the program says.
# Usage: examples.sh MLASCOPE SOURCE_ROOT BYTES_OF_SETTING EVALUATE_SETTING
set -eu
mlascope=$1 demo=$2/datasets/demo bytes=$3 evaluate=$4
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

equal() {
    [ "$2" = "$3" ] || { echo "$1: '$2' instead of '$3'"; exit 1; }
}
# cell FILE COLUMN LINE of a CSV whose first cells hold no comma
cell() {
    tr -d '"\r' <"$1" | awk -F, -v name="$2" -v line="$3" '
        NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) c = i }
        NR == line { print $c }'
}

# 4 chunks of 2 and a rank of 32 for each of 2 KV heads, 6 layers, 2 bytes: README.md.
equal bytes "$("$bytes" "$demo" "mha2mla chunks=4 rank=32" 4096)" \
    "960.0 of 3072.0 bytes per token, 31.250 %"
status=0
"$bytes" "$demo" "mha2mla chunks=400" 4096 2>"$tmp/message" || status=$?
equal refused "$status" 3
grep -q '^bytes_of_setting: .*chunks' "$tmp/message" || { cat "$tmp/message"; exit 1; }

"$mlascope" capture "$demo" -f "$demo/calibration.txt" -T 128 -N 8 -o "$tmp/run.h5" \
    >"$tmp/out" 2>&1 || { cat "$tmp/out"; exit 1; }
"$evaluate" "$demo" "$tmp/run.h5" "$demo/evaluation.txt" "kq rank=64" >"$tmp/example"
"$mlascope" evaluate "$demo" -f "$demo/evaluation.txt" -N 8 --capture "$tmp/run.h5" \
    -s "kq rank=64" --format csv 2>"$tmp/err" >"$tmp/csv"
want=$(printf 'perplexity %.3f, original %.3f\nKL %.5f' "$(cell "$tmp/csv" perplexity 3)" \
    "$(cell "$tmp/csv" perplexity 2)" "$(cell "$tmp/csv" kl 3)")
equal evaluate "$(sed -n '1p;2s/ +-.*//p' "$tmp/example")" "$want"
grep -qE '^predicted error of keys 0\.[0-9]+, of values 0\.[0-9]+$' "$tmp/example"
