# A command does not write over what it reads, whatever name the file goes by.
demo=$ROOT/datasets/demo
cp "$demo/config.json" config.json
cp "$demo/evaluation.txt" text.txt
mlascope capture "$demo" -f text.txt -N 2 -T 16 -o run.h5 >/dev/null 2>&1
ln run.h5 other.h5
ln -s run.h5 link.h5
printf 'setting\nlorc rank=16\n' >settings.csv
sha256sum ./* >before
try() {
    mlascope "$@"
    echo "$1: exit $?"
}
try frequency run.h5 -o run.h5
try frequency run.h5 -o ./link.h5
try spectrum run.h5 --per head -o other.h5
try size config.json -o config.json
try capture "$demo" -f text.txt -o text.txt
try compare "$demo" -f text.txt --settings settings.csv -o settings.csv
try evaluate "$demo" -f text.txt -s 'palu rank=16' --capture run.h5 -o run.h5
try merge run.h5 other.h5 -o run.h5
try size ''
try evaluate "$demo" -f '' -s baseline
sha256sum --quiet -c before
