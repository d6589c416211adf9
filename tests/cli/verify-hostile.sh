# Files that crashed, hung or bloated the program once: one sentence, status 3, little time
# and memory each.
faults=$ROOT/../shared/cases/faults
[ -d "$faults" ] || { echo "SKIPPED: ../shared/cases/faults is not here" >&2; exit 77; }
for file in "$faults"/*.h5; do
    (ulimit -t 4 && mlascope verify "$file") 2>&1 | sed "s|$faults/||"
    (ulimit -t 4 && mlascope verify "$file") >/dev/null 2>&1
    echo "exit $?"
done
