mlascope size "$ROOT/tests/data/configs/Llama-3.2-1B.json" --plots . >/dev/null
for svg in plots/*.svg; do
    test -s "$svg" && echo "$svg"
done
tr -d '\r' <data/size-context.csv
# The devices, batch and GPUs that were asked for, not the usual ones.
mlascope size "$ROOT/tests/data/configs/Llama-3.2-1B.json" -s 'baseline bits=16,4' \
    --gpu h100,l4 --tp 2,4 -b 8,1 --plots gpu >/dev/null
tr -d '\r' <gpu/data/size-context.csv
grep -h -m 1 'set title' gpu/plots/size-context.gp
mlascope size "$ROOT/tests/data/configs/Llama-3.2-1B.json" --plots /proc/none
echo "exit $?"
