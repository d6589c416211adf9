#!/bin/sh
# One command as an array of Slurm jobs, joined when all are done: evaluate, compare, plan,
# frequency, spectrum, or heal --inputs original. The end of RESULT says the format; for
# plan it is plan.json, for heal a folder.
#
# Usage: OUT=FOLDER [PARTS=8] [RESULT=result.html] [SBATCH_WORDS="--mem=64G"] \
#            sh split.sh compare MODEL -f TEXT -s SETTING...
# All nodes see the paths. A task that its node takes down is requeued and goes on; when a
# part failed, submit again: finished ones are taken as they are.
set -eu
: "${OUT:?an output folder}"
PARTS=${PARTS:-8} RESULT=${RESULT:-result.html} MLASCOPE=${MLASCOPE:-mlascope}
export OUT PARTS RESULT MLASCOPE
here=$(dirname "$0")
mkdir -p "$OUT"
# SBATCH_WORDS are split on purpose.
# shellcheck disable=SC2086
parts=$(sbatch --parsable --array="0-$((PARTS - 1))" --output="$OUT/part-%a.log" \
    ${SBATCH_WORDS:-} "$here/part.sbatch" "$@")
# shellcheck disable=SC2086
result=$(sbatch --parsable --dependency="afterok:$parts" --output="$OUT/join.log" \
    ${SBATCH_WORDS:-} "$here/join.sbatch")
echo "parts $parts, result $result"
