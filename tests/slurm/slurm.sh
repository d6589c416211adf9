#!/bin/sh
# A capture as an array of real Slurm jobs: slurmctld and two slurmd on this machine, no
# systemd. One node is killed while a task runs there; the task is requeued and goes on
# from its restart folder; the merged file has the SHA-256 of one run. Then an evaluation
# and a comparison as arrays on both nodes, each with a job that joins its parts.
#
# Usage, as root: SLURM=1 sh tests/slurm/slurm.sh MLASCOPE
# Debian packages: slurmctld slurmd slurm-client munge. Exits with 77 and says SKIPPED
# where it cannot run or was not asked for: it starts servers, and how fast those see a
# node come and go is theirs, not ours.
set -eu
source=$(realpath "$(dirname "$0")/../..")
MLASCOPE=$(realpath "$1")
export MLASCOPE

skip() {
    echo "SKIPPED: $1"
    exit 77
}
[ -n "${SLURM-}" ] || skip "SLURM=1 starts a real slurmctld and two slurmd"
[ "$(id -u)" = 0 ] || skip "only root can start munged and slurmd"
for tool in munged slurmctld slurmd sbatch; do
    command -v "$tool" >/dev/null || skip "$tool is not installed"
done
work=$(mktemp -d)
pids=
finish() {
    for pid in $(cat "$work"/*.stepd 2>/dev/null) $pids; do
        kill -9 "$pid" 2>/dev/null || :
    done
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM
fail() {
    echo "FAILED: $1"
    squeue || :
    tail -n 15 "$work"/*.log "$work"/out/*.log 2>/dev/null
    exit 1
}
# within SECONDS COMMAND...: until it succeeds.
within() {
    end=$(($(date +%s) + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$(date +%s)" -lt "$end" ] || return 1
        sleep 0.1
    done
}

mkdir -p "$work/ctld" "$work/n1" "$work/n2" "$work/out" "$work/munge"
chmod 755 "$work"
chmod 700 "$work/munge"
head -c 1024 /dev/urandom >"$work/munge/key"
chmod 600 "$work/munge/key"
port=$((20000 + $$ % 20000))
cat >"$work/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$work/ctld
SlurmctldPidFile=$work/ctld.pid
SlurmdPidFile=$work/%n.pid
SlurmdSpoolDir=$work/%n
SlurmctldLogFile=$work/ctld.log
SlurmdLogFile=$work/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SlurmdTimeout=5
ReturnToService=1
JobRequeue=1
SchedulerParameters=sched_interval=2,bf_interval=2
NodeName=n1 NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=2
NodeName=n2 NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=2
PartitionName=all Nodes=n1,n2 Default=YES State=UP
CONF
export SLURM_CONF="$work/slurm.conf"
munged --foreground --force --key-file="$work/munge/key" --socket="$work/munge/socket" \
    --pid-file="$work/munge/pid" --log-file="$work/munge.log" \
    --seed-file="$work/munge/seed" >"$work/munged.log" 2>&1 &
pids="$pids $!"
within 10 test -S "$work/munge/socket" || fail "munged does not start"
slurmctld -D >"$work/ctld.out.log" 2>&1 &
pids="$pids $!"
slurmd -D -N n1 >"$work/n1.out.log" 2>&1 &
pids="$pids $!"
slurmd -D -N n2 >"$work/n2.out.log" 2>&1 &
n2=$!
pids="$pids $n2"
both_idle() { [ "$(sinfo -h -N -t idle -o %N | wc -l)" = 2 ]; }
within 30 both_idle || fail "two nodes are not idle after 30 s"

MODEL=$source/datasets/demo TEXT=$source/datasets/demo/calibration.txt
export MODEL TEXT OUT="$work/out" PARTS=4
export OPTIONS="-N 32 -T 128 --windows 5 --save-every 0"
# shellcheck disable=SC2086
"$MLASCOPE" capture "$MODEL" --text "$TEXT" $OPTIONS -o "$work/run.h5" >/dev/null 2>&1

# Node n2 goes down as by a power cut while a task has saved a layer and not all.
cat >"$work/held" <<'HELD'
#!/bin/sh
# The program, but the first try of a part on n2 is stopped after a saved layer.
if [ "$1" != capture ] || [ "$SLURMD_NODENAME" != n2 ] || [ -n "${SLURM_RESTART_COUNT-}" ]; then
    exec "$PROGRAM" "$@"
fi
"$PROGRAM" "$@" &
pid=$!
echo "$pid $PPID $$" >>"$OUT/../n2.stepd"
part=$OUT/part-$SLURM_ARRAY_TASK_ID.h5.part
while kill -0 "$pid" 2>/dev/null; do
    for saved in "$part"/states-*; do
        [ -f "$saved" ] && kill -STOP "$pid" && touch "$OUT/../held-$SLURM_ARRAY_TASK_ID"
    done
    sleep 0.02
done
wait "$pid"
HELD
chmod 755 "$work/held"
export PROGRAM="$MLASCOPE"
MLASCOPE=$work/held
sh "$source/examples/slurm/submit.sh" --cpus-per-task=1 || fail "sbatch refuses the jobs"
is_held() { ls "$work"/held-*; }
within 60 is_held || fail "no task is stopped in the middle"
held=$(cd "$work" && ls -d held-* | sed -n '1s/held-//p')
kill -9 "$n2" $(cat "$work/n2.stepd") 2>/dev/null || :
echo "node n2 is killed while part $held has done $(ls "$work/out/part-$held.h5.part" | grep -c layer-) layers"
analysed() { [ -z "$(squeue -h)" ]; }
within 240 analysed || fail "the jobs do not end"
grep -h "going on after layer" "$work/out/part-$held.log" ||
    fail "the requeued task does not go on from its restart folder"
grep -h "joined" "$work/out/merge.log"
for page in frequency spectrum; do
    [ -s "$work/out/$page.html" ] || fail "no $page.html"
done
[ "$(sha256sum <"$work/run.h5")" = "$(sha256sum <"$work/out/run.h5")" ] ||
    fail "the merged file is not that of one run"
echo "the merged file is that of one run: $(sha256sum <"$work/run.h5" | cut -c1-16)"

MLASCOPE=$PROGRAM
slurmd -D -N n2 >>"$work/n2.out.log" 2>&1 &
pids="$pids $!"
within 60 both_idle || fail "node n2 does not come back"
split() { # RESULT WORDS...
    RESULT=$1 OUT=$work/${1%.*} PARTS=5 SBATCH_WORDS=--cpus-per-task=1
    export RESULT OUT PARTS SBATCH_WORDS
    shift
    "$MLASCOPE" "$@" -o "$work/$RESULT" >/dev/null 2>&1
    sh "$source/examples/slurm/split.sh" "$@" || fail "sbatch refuses the jobs"
    within 240 analysed || fail "the jobs do not end"
    for file in "$work/$RESULT" "$OUT/$RESULT"; do
        [ -s "$file" ] || fail "no $file: $(cat "$OUT/join.log")"
        sed 's/"seconds":[^,}]*//' "$file" >"$file.same"
    done
    cmp "$work/$RESULT.same" "$OUT/$RESULT.same" || fail "$RESULT is not that of one run"
    echo "$1 in $PARTS jobs: the bytes of one run"
}
split evaluate.csv evaluate "$MODEL" -f "$source/datasets/demo/evaluation.txt" -N 8 -T 64 \
    -s "mha2mla rope=uniform chunks=4,8 rank=16" --capture "$work/run.h5"
split compare.jsonl compare "$MODEL" -f "$source/datasets/demo/evaluation.txt" -N 8 -T 64 \
    -s "care rank=16-48+16" -s "kq rank=32" --capture "$work/run.h5"
