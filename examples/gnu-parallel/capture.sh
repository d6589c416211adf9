#!/bin/sh
# One capture in PARTS processes by GNU parallel, on this machine or, with
# PARALLEL_OPTIONS="--sshloginfile HOSTS", on others that see the same paths.
#
# Usage: MODEL=FOLDER TEXT=FILE OUT=FOLDER [PARTS=4] [OPTIONS="-N 128 -T 256"] \
#            sh capture.sh
set -eu
: "${MODEL:?a model folder}" "${TEXT:?a text file}" "${OUT:?an output folder}"
PARTS=${PARTS:-4}
mlascope=${MLASCOPE:-mlascope}
mkdir -p "$OUT"
# Words of OPTIONS and PARALLEL_OPTIONS are split on purpose.
# shellcheck disable=SC2086
seq 0 "$((PARTS - 1))" | parallel --halt soon,fail=1 --retries 2 ${PARALLEL_OPTIONS:-} \
    "$mlascope" capture "$MODEL" --text "$TEXT" ${OPTIONS:-} --shard "{}/$PARTS" \
    -o "$OUT/part-{}.h5"
i=0
while [ "$i" -lt "$PARTS" ]; do
    set -- "$@" "$OUT/part-$i.h5"
    i=$((i + 1))
done
exec "$mlascope" merge "$@" -o "$OUT/run.h5"
