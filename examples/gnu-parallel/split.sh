#!/bin/sh
# One command in PARTS processes by GNU parallel, on this machine or, with
# PARALLEL_OPTIONS="--sshloginfile HOSTS", on others that see the same paths; then joined.
#
# Usage: OUT=FOLDER [PARTS=4] [RESULT=result.html] \
#            sh split.sh compare MODEL -f TEXT -s SETTING...
set -eu
: "${OUT:?an output folder}"
PARTS=${PARTS:-4} RESULT=${RESULT:-result.html}
mlascope=${MLASCOPE:-mlascope}
mkdir -p "$OUT"
# Words of PARALLEL_OPTIONS are split on purpose; --quote keeps those of the command.
# shellcheck disable=SC2086
seq 0 "$((PARTS - 1))" | parallel --quote --halt soon,fail=1 --retries 2 \
    ${PARALLEL_OPTIONS:-} "$mlascope" "$@" --shard "{}/$PARTS" -o "$OUT/part-{}"
i=0
set --
while [ "$i" -lt "$PARTS" ]; do
    set -- "$@" "$OUT/part-$i"
    i=$((i + 1))
done
exec "$mlascope" merge "$@" -o "$OUT/$RESULT"
