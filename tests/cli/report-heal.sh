# With --heal a report says what training repairs: before, healed and forecast with their
# intervals, how far healing has come, budgets and GPU-hours; races leave a record and no forms.
sh "$ROOT/tests/support/layers.sh" "$ROOT" 1
mlascope report demo -f demo/calibration.txt -e demo/evaluation.txt -N 8 -T 16 \
    --eval-sequences 2 --heal 1 --no-plots -o out >/dev/null 2>&1
echo "status $?"
sed 's/<[^>]*>/\n/g' out/index.html >words
for said in 'What training repairs' 'healed: floor at most' 'excess of the start' \
    'still falling' 'loss at step 0' 'KL forecast' 'What whole training costs' 'GPU-hours'; do
    grep -q "$said" words && echo "$said"
done
find out/healed -name 'layer-*' | wc -l | tr -d ' '
awk '!/^#/ { n++ } END { print n, "runners" }' out/healed/race.txt
