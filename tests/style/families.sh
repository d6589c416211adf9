#!/bin/sh
# docs/FAMILIES.md says of every family what the tables in the source say.
# Usage: families.sh SOURCE_ROOT; UPDATE=1 writes the file.
cd "$1" || exit 99
tmp=$(mktemp) || exit 99
trap 'rm -f "$tmp"' EXIT
# model_types that have a row of what their class computes
# and of those what the unit test `families` found: whether a latent form can say them
forms=$(cat tests/data/forms.txt)
computed=$(sed -n 's/^.*\.model_type = "\([^"]*\)".*/\1/p;s/^    {"\([^"]*\)".*/\1/p' datasets/checkpoint/net_*.c)
compared=$(sed 's/.*"model_type":"\([^"]*\)".*/\1/' tests/data/families.jsonl)
{
    cat <<'J'
# Families

Written by `UPDATE=1 sh tests/style/families.sh .` from the tables in the source; `meson test families-table` compares.
A family is a `model_type`. **Sized**: `size` counts its cache; "compared" where a tiny model's bytes are compared with
those that transformers' own cache holds (`meson test families`), "by its class" where only the class's defaults and layer
rules are read. **Computed**: `capture` and `evaluate -s baseline` run; others are refused there by the key that is not
computed. **Methods**: "all" where every attention layer of the family's configs in `tests/data/families.jsonl` has a latent
form (`mls_latent_other`), which is what methods and quantizers make; otherwise only `baseline`, and what they refuse by name
(`meson test families` keeps this true); recurrent layers stay as they are. On families that are only sized, `size` counts the layouts of all methods for layers with keys and values
that are alike, and `baseline` and `truncate` for latents (MLA), which are
also what runs them: quantized, or with fewer numbers. A GGUF file may hold less than config.json said:
[what is dropped](format/gguf.md#what-a-file-does-not-hold).

| model_type | sized | computed | methods |
| --- | --- | --- | --- |
J
    awk -F'"' -v computed="$computed" -v compared="$compared" -v forms="$forms" '
        BEGIN {
            n = split(computed, list, "[ \n]+"); for (i = 1; i <= n; i++) runs[list[i]] = 1
            n = split(forms, list, "\n")
            for (i = 1; i <= n; i++) {
                at = index(list[i], ": ")
                form[substr(list[i], 1, at - 1)] = substr(list[i], at + 2)
            }
            n = split(compared, list, "[ \n]+"); for (i = 1; i <= n; i++) same[list[i]] = 1
        }
        function says(what) {
            return what ~ /^all/ ? what : what == "" ? "not tried" : "baseline (" what ")"
        }
        function row() {
            if (type == "") return
            if (text != "")
                print "| " type " | its text model | no | as " text " |"
            else
                print "| " type " | " (type in same ? "compared" : "by its class") " | " \
                    (type in runs ? "yes | " says(form[type]) : "no | " (mla ? "baseline" : "sizes")) " |"
        }
        /^    \{\.model_type = / { row(); type = $2; text = ""; mla = 0 }
        /^ *\.text = / { text = $2 }
        /kv_lora_rank/ { mla = 1 }
        END { row() }' datasets/family/classes.c
    printf '\nModels with programs of their own, sized as a class here (and not computed, unless the table has them): %s.\n' \
        "$(sed -n '/^} likes\[\] = {/,/^};/s/^    {"\([^"]*\)", "\([^"]*\)"},/\1 (\2)/p' datasets/family/rules.c | paste -sd, | sed 's/,/, /g')"
} >"$tmp"
if [ "${UPDATE:-0}" = 1 ]; then
    cp "$tmp" docs/FAMILIES.md
    exit 0
fi
diff -u docs/FAMILIES.md "$tmp"
