# A NaN in one weight is refused as input by every command that reads it: status 3, the
# file, the tensor and the index. Layer 3, values, row 100, column 7 (bf16 7fc0).
demo=$ROOT/datasets/demo
text=$demo/evaluation.txt
cp -r "$demo" bad
chmod u+w bad/model.safetensors
printf '\300\177' |
    dd of=bad/model.safetensors bs=1 seek=$((8 + 6528 + 6426112 + 2 * (256 * 100 + 7))) \
        conv=notrunc status=none
try() {
    mlascope "$@" >out.txt
    echo "$1: exit $?"
}
try check bad --values
try check bad
try capture bad -f "$text" -N 2 -T 16 -o run.h5
try spectrum bad
try evaluate bad -s "lorc rank=16" -f "$text" -N 2 -T 16
try report bad -f "$text" -N 2 -T 16 -o out
ls
