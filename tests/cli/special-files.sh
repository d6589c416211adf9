# Pipes that nobody writes into, devices, folders and links that lead nowhere: no command
# waits for them or reads them to no end. How many of each status, and what was not so.
demo=$ROOT/datasets/demo
text="-f $demo/evaluation.txt -N 1 -T 16"
mkfifo pipe
mkdir folder
ln -s nowhere dangling
ln -s loop loop
tried=0
for thing in pipe folder dangling loop /dev/zero /dev/null; do
    for line in "verify $thing" "check $thing" "size $thing" "frequency $thing" \
        "quantize $thing" "spectrum $thing" "show $thing" "diff $thing $thing" \
        "tokenize $thing $demo/evaluation.txt" "spectrum $demo -w $thing" \
        "evaluate $demo $text --plan $thing" "evaluate $demo $text --capture $thing -s palu" \
        "compare $demo $text --settings $thing --rows rows" \
        "export $demo --from $thing --for deepseek -o exported"; do
        timeout 20 mlascope $line >/dev/null 2>said
        status=$?
        tried=$((tried + 1))
        [ $status = 2 ] || [ $status = 3 ] || echo "$line: exit $status"
        grep -q '^mlascope: ' said || echo "$line: not a word"
    done
done
for thing in pipe /dev/zero; do
    timeout 20 mlascope compare $demo $text -s baseline --rows $thing >/dev/null
    echo "exit $?"
done
echo "$tried tried"
