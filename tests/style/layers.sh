#!/bin/sh
# Each room may include only itself and the rooms before it in the list.
# Usage: layers.sh SOURCE_ROOT ROOM...
cd "$1" || exit 99
shift
failed=0
allowed=
for room in "$@"; do
    allowed="$allowed${allowed:+|}$room"
    if grep -n '^#include "' "$room"/*.[ch] /dev/null | grep -Ev "#include \"($allowed)/[^/]*\""; then
        failed=1
    fi
    [ -f "$room/README.md" ] || { echo "$room has no README.md"; failed=1; }
done
# Nothing stands outside the list.
for file in $(find common datasets analysis bench reports tools -name '*.[ch]'); do
    case "$file" in tools/main.c | bench/speed/*) continue ;; esac
    case " $* " in
    *" ${file%/*} "*) ;;
    *) echo "$file is in no room of meson.build"; failed=1 ;;
    esac
done
exit $failed
