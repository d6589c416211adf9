# Asked to stop while it measures: status 75, one sentence, and what is finished stays.
sh "$ROOT/tests/support/layers.sh" "$ROOT" 1
mlascope report demo -N 4 -T 32 --eval-sequences 4 -t 2 -o out \
    >stdout 2>stderr &
work=$!
for i in $(seq 2000); do
    [ -s out/measured.part.jsonl ] && break
    sleep 0.1
done
kill -TERM $work
wait $work
echo "status $?"
grep -v ' %' stderr | sed 's/stopped at .*;/stopped at PLACE;/'
cat stdout
[ -f out/run.h5 ] && echo captured
grep -o 'Unfinished: . of [0-9]* parts are here, next comes: [a-z]*' out/index.html
