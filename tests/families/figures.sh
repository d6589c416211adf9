#!/bin/sh
# Every figure about model families, repeated: sizes, perplexities, nested models,
# quantized weights, GGUF twins, and two published models beside transformers' values.
# Usage: figures.sh MLASCOPE [PART...]    parts: cases sizes nested quantized gguf published
# Environment: MLASCOPE_CASES, the case collection (run, families/make.py);
# MLASCOPE_FAMILIES, the folder of tiny models that its make.py wrote; MLASCOPE_MODELS, a
# folder with SmolLM2-135M-Instruct.Q4_1.gguf and gemma-3-270m-q4_k_m.gguf;
# MLASCOPE_WIKITEXT, the test text of WikiText-2; MLASCOPE_PYTHON, one with torch,
# transformers and the quantizing libraries [python3].
# What is not there is skipped and said; exit status 1 when a figure differs, 77 when
# every part was skipped.
program=$1
shift
here=$(dirname "$0")
text=$here/../../datasets/demo/evaluation.txt
python=${MLASCOPE_PYTHON:-python3}
cases=${MLASCOPE_CASES:-/nonexistent}
families=${MLASCOPE_FAMILIES:-/nonexistent}
models=${MLASCOPE_MODELS:-/nonexistent}
ran=0 skipped=0 failed=0

finish() # NAME STATUS
{
    case $2 in
    0) ran=$((ran + 1)) && echo "$1: as expected" ;;
    77) skipped=$((skipped + 1)) && echo "$1: SKIPPED" ;;
    *) failed=$((failed + 1)) && echo "$1: DIFFERS (status $2)" ;;
    esac
}

# NAME FILE OPTION EXPECTED: 4 windows of 512 tokens, 511 scored in each
perplexity()
{
    if [ ! -f "$models/$2" ] || [ ! -f "${MLASCOPE_WIKITEXT:-}" ]; then
        echo "no $2 in MLASCOPE_MODELS, or no text in MLASCOPE_WIKITEXT"
        finish "$1" 77
        return
    fi
    found=$("$program" evaluate "$models/$2" -s baseline -N 4 -T 512 $3 \
        -f "$MLASCOPE_WIKITEXT" --format json | "$python" -c '
import json, sys
rows = json.load(sys.stdin)["rows"]
print("%.4f" % rows[0]["perplexity"])')
    echo "perplexity $found, transformers has $4"
    "$python" -c "import sys; sys.exit(abs($found / $4 - 1) > 1e-4)" &&
        finish "$1" 0 || finish "$1" 1
}

for part in ${*:-cases sizes nested quantized gguf published}; do
    echo "== $part"
    case $part in
    cases)
        [ -x "$cases/run" ] && said=$("$cases/run" "$program") || said=
        echo "$said" | tail -1
        case $said in
        '') finish cases 77 ;;
        *" 0 wrong"*) finish cases 0 ;;
        *) finish cases 1 ;;
        esac
        ;;
    sizes)
        table=$cases/families/truth.csv
        [ -f "$table" ] || table=$families/truth.csv
        "$python" "$here/truth.py" "$program" "$families" "$table" --text "$text"
        finish sizes $?
        ;;
    nested)
        out=$(mktemp -d)
        "$python" "$here/nested.py" "$cases/families/make.py" "$out" &&
            "$python" "$here/truth.py" "$program" "$out" --text "$text"
        finish nested $?
        rm -rf "$out"
        ;;
    quantized | gguf)
        script=quantized.py from=$families/llama
        [ "$part" = gguf ] && script=gguf_twins.py from=$families
        out=$(mktemp -d)
        [ -d "$from" ] && "$python" "$here/$script" "$program" "$from" "$out" "$text" ||
            [ -d "$from" ] || (echo "no folder $from" && exit 77)
        finish "$part" $?
        rm -rf "$out"
        ;;
    published)
        perplexity "SmolLM2-135M" SmolLM2-135M-Instruct.Q4_1.gguf "" 25.4944
        perplexity "Gemma-3-270M without BOS" gemma-3-270m-q4_k_m.gguf --no-bos 134.8055
        perplexity "Gemma-3-270M with BOS" gemma-3-270m-q4_k_m.gguf "" 54.1138
        ;;
    *) echo "no part \"$part\"" && exit 2 ;;
    esac
done
echo "figures: $ran as expected, $failed differ, $skipped skipped"
[ $failed -gt 0 ] && exit 1
[ $ran -eq 0 ] && exit 77
exit 0
