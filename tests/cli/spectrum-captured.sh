# Keys before and after RoPE, what neighbours share, and tokens found by a latent.
demo=$ROOT/datasets/demo
mlascope capture "$demo" -f "$demo/calibration.txt" -N 4 -T 64 -o run.h5 >/dev/null 2>&1
short() { sed 's/\(\.[0-9]\{2\}\)[0-9]*/\1/g'; }
mlascope spectrum run.h5 --what k,k_rot,v --format csv 2>/dev/null |
    cut -d, -f1-4,11,12,17,18,21 | short | tail -3
mlascope spectrum run.h5 --what k_rot --per head --draws 0 --format csv 2>/dev/null |
    cut -d, -f1-4,11,12,17,18,21 | tail -1 | short
mlascope spectrum run.h5 --neighbours --draws 10 --format csv 2>/dev/null |
    cut -d, -f1-6,9 | tail -2 | short
mlascope spectrum run.h5 --top-tokens 16,128 --format csv 2>/dev/null |
    cut -d, -f1-3,7 | tail -2 | short
mlascope spectrum run.h5 --top-tokens 129
mlascope spectrum "$demo" --neighbours
mlascope spectrum "$demo" --what k_rot
