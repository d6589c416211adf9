#!/bin/sh
# run.sh [SECONDS [TARGET...]]: fuzz the targets one after the other, SECONDS each (600),
# with clang's libFuzzer, address and undefined-behaviour sanitizers. Builds in
# build-fuzz/; what was found interesting is kept there, in corpus-TARGET/. An input that
# crashes, hangs or takes over 512 MB ends the target: mend the reader, put the input
# (small) into tests/fuzz/corpus/TARGET. RUNS=N ends a target after N inputs, if that is
# sooner; PLAIN=1 builds without sanitizers, in build-plain/, several times as fast.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-600}
[ $# -gt 0 ] && shift
[ -n "${PLAIN:-}" ] && build=build-plain || build=build-fuzz
[ -d $build ] || CC=clang meson setup $build -Dfuzz=true -Db_lundef=false \
    $([ -n "${PLAIN:-}" ] || echo -Db_sanitize=address,undefined) >/dev/null
export ASAN_OPTIONS=malloc_context_size=4 # the stacks of allocations cost most of the time
[ $# -gt 0 ] || set -- config index safetensors gguf spm tokenizer rankfile capture plan settings latent jsonl
for target in "$@"; do
    ninja -C $build --quiet "tests/fuzz/fuzz_$target"
    mkdir -p "$build/corpus-$target"
    "$build/tests/fuzz/fuzz_$target" -max_total_time="$seconds" -runs="${RUNS:--1}" -rss_limit_mb=1024 \
        -malloc_limit_mb=512 -timeout=10 -print_final_stats=1 -verbosity=0 \
        -artifact_prefix="$build/$target-" \
        "$build/corpus-$target" "tests/fuzz/corpus/$target" >"$build/$target.log" 2>&1 ||
        { tail -20 "$build/$target.log"; exit 1; }
    echo "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$build/$target.log") executions"
done
