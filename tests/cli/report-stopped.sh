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
# A process that was killed while it wrote leaves a file that is none of the report's.
mlascope report demo -N 2 -T 16 --no-quality --no-plots -o killed 2>/dev/null >stdout
mv killed/report.json whole
{ sed '/^  },$/,$d' whole && printf '  }\n}\n'; } >killed/report.json
: >killed/report.json.tmp-999999999
mlascope report demo -N 2 -T 16 --no-quality --no-plots -o killed 2>/dev/null >stdout
mlascope verify killed | sed 's/[0-9.]* MB/N MB/'
cmp killed/report.json whole
