#!/bin/sh
# C text that holds whole files, for what is a file to its author and a constant to the
# program: page.css becomes mls_page_css. Usage: embed.sh HEADER FILE... >OUT.c
set -eu
echo "#include \"$1\""
# A file is longer than the 4095 characters that C17 asks of a compiler for one literal.
echo '#pragma GCC diagnostic ignored "-Woverlength-strings"'
shift
for file; do
    echo "const char mls_$(basename "$file" | tr -c 'a-z0-9\n' _)[] ="
    sed -e 's/[\\"]/\\&/g' -e 's/.*/    "&\\n"/' "$file"
    echo '    "";'
done
