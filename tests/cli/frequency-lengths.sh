# What rules keep in the first tokens of the windows.
demo=$ROOT/datasets/demo
mlascope capture "$demo" -f "$demo/calibration.txt" -N 4 -T 64 --windows 4 -o run.h5 \
    >/dev/null 2>&1
mlascope frequency run.h5 --lengths 16,64 -r 2-norm,kl -c 2,4 2>/dev/null | tail -n +3
mlascope frequency run.h5 --lengths 64,16 -r high
mlascope frequency run.h5 --lengths 128 -r high
mlascope frequency run.h5 --lengths 16 --scores
