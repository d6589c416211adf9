# Perplexity by word and byte, as lm-evaluation-harness has it: of all of the text, so that
# the ratio of tokens to bytes is that of wc.
head -c 3000 "$ROOT/datasets/demo/evaluation.txt" >text.txt
mlascope evaluate "$ROOT/datasets/demo" -f text.txt -T 64 -s baseline --format csv 2>/dev/null |
    head -2 | tr -d '"\r' | awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i }
        NR == 2 { printf "%.4f %.4f %.4f %.4f\n", $at["perplexity"], $at["word_perplexity"],
                  $at["byte_perplexity"], $at["bits_per_byte"] }'
wc -w -c text.txt
mlascope tokenize "$ROOT/datasets/demo" --count text.txt 2>&1 | tail -1
