#!/bin/sh
# The function that a "Where" line of docs/methods names is defined in the file it names,
# and every page of formulas has such lines; the files that ARCHITECTURE.md names are there.
# Usage: where.sh SOURCE_ROOT
cd "$1" || exit 99
failed=0
grep -Hn '^Where:' docs/methods/*.md | tr -d '`,' | sed 's/()\.$//' >"${TMPDIR:-/tmp}/where.$$"
while read -r at file function; do
    # A definition begins a line, after its type, and is no declaration.
    if ! awk -v f="$function" '
        $0 ~ "^[a-z].*[ *]" f "\\(" { open = 1 }
        open && /;/ { open = 0 }
        open && /^\{/ { found = 1 }
        END { exit !found }' "$file"; then
        echo "$at no function $function in $file"
        failed=1
    fi
done <"${TMPDIR:-/tmp}/where.$$"
rm -f "${TMPDIR:-/tmp}/where.$$"
for page in conversions forward frequency latent lowrank plan quantizers size spectrum; do
    grep -q '^Where:' "docs/methods/$page.md" || { echo "$page.md says nowhere where"; failed=1; }
done
for file in $(sed -n '/^## Where is/,/^## How to add/p' docs/ARCHITECTURE.md |
    grep -o '`[a-z]*/[A-Za-z0-9_/.]*\.[a-z]*`' | tr -d '`'); do
    [ -f "$file" ] || { echo "docs/ARCHITECTURE.md: there is no $file"; failed=1; }
done
exit $failed
