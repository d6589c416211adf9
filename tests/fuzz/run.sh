#!/bin/sh
# run.sh [SECONDS [TARGET...]]: fuzz the targets one after the other, SECONDS each (600),
# with clang's libFuzzer, address and undefined-behaviour sanitizers. Builds in
# build-fuzz/; what was found interesting is kept there, in corpus-TARGET/. An input that
# crashes, hangs or takes over 512 MB ends the target: mend the reader, put the input
# (small) into tests/fuzz/corpus/TARGET.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-600}
[ $# -gt 0 ] && shift
[ -d build-fuzz ] || CC=clang meson setup build-fuzz -Dfuzz=true -Db_lundef=false \
    -Db_sanitize=address,undefined >/dev/null
[ $# -gt 0 ] || set -- config index safetensors gguf spm tokenizer rankfile capture plan settings latent jsonl
for target in "$@"; do
    ninja -C build-fuzz --quiet "tests/fuzz/fuzz_$target"
    mkdir -p "build-fuzz/corpus-$target"
    "build-fuzz/tests/fuzz/fuzz_$target" -max_total_time="$seconds" -rss_limit_mb=1024 \
        -malloc_limit_mb=512 -timeout=10 -print_final_stats=1 -verbosity=0 \
        -artifact_prefix="build-fuzz/$target-" \
        "build-fuzz/corpus-$target" "tests/fuzz/corpus/$target" >"build-fuzz/$target.log" 2>&1 ||
        { tail -20 "build-fuzz/$target.log"; exit 1; }
    echo "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "build-fuzz/$target.log") executions"
done
