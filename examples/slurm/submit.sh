#!/bin/sh
# One capture as an array of Slurm jobs, merged and analysed when all are done.
#
# Usage: MODEL=FOLDER TEXT=FILE OUT=FOLDER [PARTS=8] [OPTIONS="-N 2048 -T 128"] \
#            sh submit.sh [SBATCH_OPTION]...
# All nodes see the three paths. SBATCH_OPTIONs (--partition, --mem ...) go to every job.
# A task that its node takes down is requeued and goes on from its restart folder; a part
# that failed is named by the merge: submit again, finished parts are taken as they are.
set -eu
: "${MODEL:?a model folder}" "${TEXT:?a text file}" "${OUT:?an output folder}"
PARTS=${PARTS:-8} OPTIONS=${OPTIONS:-} MLASCOPE=${MLASCOPE:-mlascope}
export MODEL TEXT OUT PARTS OPTIONS MLASCOPE
here=$(dirname "$0")
mkdir -p "$OUT"
parts=$(sbatch --parsable --array="0-$((PARTS - 1))" --output="$OUT/part-%a.log" "$@" \
    "$here/capture.sbatch")
whole=$(sbatch --parsable --dependency="afterok:$parts" --output="$OUT/merge.log" "$@" \
    "$here/merge.sbatch")
report=$(sbatch --parsable --dependency="afterok:$whole" --output="$OUT/analyse.log" "$@" \
    "$here/analyse.sbatch")
echo "parts $parts, merge $whole, analysis $report"
