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
mlascope diff a.csv b.csv -o d.csv && sed 's|,.*,| |' d.csv
# The same windows are paired: what is alike in all windows is no noise.
head='setting,kl,kl_half,windows_id,kl_of_windows'
printf '%s\nkq rank=64,0.5,0.4,aa,0.1 0.5 0.9\n' "$head" >pa.csv
printf '%s\nkq rank=64,0.6,0.4,aa,0.21 0.59 1\n' "$head" >pb.csv
printf '%s\nkq rank=64,0.6,0.4,bb,0.21 0.59 1\n' "$head" >pc.csv
mlascope diff pa.csv pb.csv
mlascope diff pa.csv pc.csv --format csv
# Two folders of report: facts, the best of each class, every setting.
make() { # FOLDER CALIBRATION KL SETTING
    mkdir -p $1/data
    cat >$1/report.json <<X
{"format": "mlascope report", "version": 1, "about": {"program": "mlascope", "model": "m",
 "model SHA-256": "1", "calibration text SHA-256": "$2", "calibration sequences": "$2"}}
X
    cat >$1/data/answer.csv <<X
served_by,setting,kept_percent,kl,kl_half,perplexity
cache,baseline,100,0,0,1$2
mla,$4,25,$3,0.01,12
cache,baseline quant=int4/64,28,0.01,0.001,10
X
    cat >$1/data/quality.csv <<X
setting,served_by,kept_percent,kl,kl_half
$4,mla,25,$3,0.01
baseline quant=int4/64,cache,28,0.01,0.001
transmla rank=8,mla,12,2.$2,0.01
X
}
make one 1 0.3 'kq rope=shared rank=32'
make two 2 0.2 'kq rope=shared rank=40'
mlascope diff one two
mlascope diff one two -o page.html 2>/dev/null
grep -o '<h[123]>[^<]*</h[123]>' page.html
mlascope diff one pa.csv | tail -n 2
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
rm two/data/quality.csv
try diff one two
try diff one "$demo"
