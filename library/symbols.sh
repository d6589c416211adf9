#!/bin/sh
# A version script for the linker: the shared library shows what the public headers
# declare, and nothing else. Usage: symbols.sh HEADER...
set -eu
echo '{'
echo 'global:'
# Prototypes begin their line; of data, only tables are shown.
cat "$@" | grep -E '^[a-z]' | grep -vE '^(static|typedef|struct)' | grep -oE '\bmls_[a-z0-9_]+(\(|\[\]|;)' |
    tr -d '([];' | LC_ALL=C sort -u | sed 's/.*/    &;/'
echo 'local:'
echo '    *;'
echo '};'
