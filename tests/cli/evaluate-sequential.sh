# Forms made of what converted layers make of the text; refused where it has no meaning.
demo=$ROOT/datasets/demo
mlascope capture "$demo" -f "$demo/calibration.txt" -N 4 -T 32 -o run.h5 >/dev/null 2>&1
for how in '' --sequential; do
    mlascope evaluate "$demo" -f "$demo/evaluation.txt" -N 2 -T 32 --capture run.h5 $how \
        -s 'palu rank=8' --format json 2>/dev/null | grep -o '"kl": [0-9.]\{5\}' | tail -1
done
mlascope evaluate "$demo" -f "$demo/evaluation.txt" --sequential -s 'palu rank=8'
