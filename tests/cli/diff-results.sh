# A change is more than noise where it is larger than both intervals together.
demo=$ROOT/datasets/demo
cat >a.csv <<'X'
setting,kl,kl_half,kept_percent
kq rank=64,0.50,0.03,25
kq rank=32,0.80,0.03,12.5
kq rank=16,0.90,0.03,6.25
kq rank=8,,,3.125
gone,0.1,0.01,50
X
cat >b.csv <<'X'
kept_percent,setting,kl_half,kl
25,kq rank=64,0.04,0.44
12.5,kq rank=32,0.04,0.76
6.25,kq rank=16,0.04,0.96
3.125,kq rank=8,0.04,1.5
50,new,0.01,0.1
X
mlascope diff a.csv b.csv
mlascope diff a.csv b.csv -o d.csv && cut -d, -f1,6 d.csv
mkdir -p report/data
printf 'curve,setting,kl,kl_low,kl_high\nx,kq rank=64,0.5,0.47,0.53\ny,kq rank=64,0.5,0.47,0.53\n' >report/data/quality-curves.csv
mlascope diff report b.csv --format csv
for n in 4 3; do
    mlascope capture "$demo" -f "$demo/calibration.txt" -N $n -T 16 -o $n.h5 >/dev/null 2>&1
done
mlascope capture "$demo" -f "$demo/calibration.txt" -N 4 -T 16 -t 1 -o again.h5 >/dev/null 2>&1
mlascope diff 4.h5 again.h5
mlascope diff 4.h5 3.h5 | tail -n 2
try() {
    mlascope "$@"
    echo "exit $?"
}
try diff a.csv 4.h5
try diff a.csv nowhere.csv
echo 'setting,bytes' >other.csv
try diff a.csv other.csv
