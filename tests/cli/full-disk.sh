# A disk too small for the output is said before the work, and nothing is left on it.
demo=$ROOT/datasets/demo
mkdir disk
mlascope capture "$demo" -f "$demo/calibration.txt" -N 12 -T 16 -t 1 -o run.h5 >/dev/null 2>&1
cat >on-disk.sh <<'END'
mount -t tmpfs -o size=$1 tmpfs disk || exit 77
shift
"$@" >out 2>err
status=$?
why=$(sed -n "1s/about [0-9.]* MB/about SIZE/; 1p" err)
[ $status != 0 ] || why=done
echo "$2: exit $status, $why"
ls -A disk
END
on() {
    unshare --user --map-root-user --mount sh on-disk.sh "$@"
}
on 3m true >/dev/null 2>&1 || {
    echo "SKIPPED: no disk of one's own can be mounted here" >&2
    exit 77
}
on 3m mlascope capture "$demo" -f "$demo/calibration.txt" -N 12 -T 16 -t 1 -o disk/run.h5
on 3m mlascope export "$demo" -s gqa2mla --for latent -o disk/forms
on 3m mlascope export "$demo" -s "kq rope=shared rope_dim=16 rank=16" --capture run.h5 --for deepseek -o disk/converted
on 3m mlascope heal "$demo" -s gqa2mla --capture run.h5 --steps 0 -o disk/healed
on 3m mlascope report "$demo" -N 4 -T 16 --no-quality --no-plots -o disk/report
on 16m mlascope capture "$demo" -f "$demo/calibration.txt" -N 2 -T 16 -t 1 -o disk/run.h5
on 40k mlascope size "$demo" --format csv -o disk/table.csv
on 1m mlascope size "$demo" --plots disk/plots
