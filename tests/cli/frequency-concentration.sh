# What each head hears; figures of the last layer, rounded.
demo=$ROOT/datasets/demo
mlascope capture "$demo" -f "$demo/calibration.txt" -N 4 -T 64 --windows 4 -o run.h5 \
    >/dev/null 2>&1
mlascope frequency run.h5 --concentration --format csv 2>/dev/null | tail -6 |
    sed 's/\(\.[0-9]\{3\}\)[0-9]*/\1/g'
mlascope frequency run.h5 --concentration --lengths 32
