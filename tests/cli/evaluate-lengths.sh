# The same text in windows of several lengths, and losses by position in the window.
demo=$ROOT/datasets/demo
for how in '--lengths 16,64' '--positions -T 64'; do
    mlascope evaluate "$demo" -f "$demo/evaluation.txt" -N 4 $how \
        -s 'mha2mla rope=uniform chunks=4 rank=16' --format csv 2>/dev/null |
        cut -d, -f1-5 | sed 's/\(\.[0-9]\{2\}\)[0-9]*/\1/g'
done
mlascope evaluate "$demo" -f "$demo/evaluation.txt" -s baseline --lengths 8,16 --positions
echo $?
