# A few steps on a few windows, of layers and of all together: every loss falls, a second
# run is refused, the healed folder is measured and exported; any number of threads gives
# the same bytes.
demo=$ROOT/datasets/demo
heal()
{
    mlascope heal "$demo" -f "$demo/calibration.txt" -s 'mha2mla rope=high chunks=4 rank=16' -T 64 \
        --windows 12 --held 4 --batch 4 --steps 4 --distil 3 --distil-batch 3 --format csv "$@" >losses.csv 2>said.txt
    status=$?
    grep -v -e 'healing layer' -e 'all layers together' said.txt >&2 # shown where it takes long
    return $status
}
heal -t 1 -o healed && heal -t 2 -o again
tr -d '"' <losses.csv | awk -F, '/^[0-9]/ { print $1, $4 < $2 ? "lower" : "not lower" }'
awk '/all layers together/ { print "together", $9 < $7 ? "lower" : "not lower" }' healed/healing.csv
for l in 0 5; do
    cmp healed/layer-0000$l.safetensors again/layer-0000$l.safetensors && echo same
done
heal -o healed
echo "exit $?"
mlascope evaluate "$demo" -f "$demo/evaluation.txt" -T 64 -N 4 --against healed \
    -s 'mha2mla rope=high chunks=4 rank=16' --format csv | awk -F, 'NR > 2 && !/^#/ { kl[++n] = $8 }
    END { print n, kl[2] < kl[1] ? "closer than before" : "not closer" }'
mlascope export "$demo" --from healed --for latent -o exported
grep 'better start' exported/README.md
mlascope heal "$demo" -s baseline -o x
mlascope heal "$demo" -f "$demo/calibration.txt" -s baseline -o x --inputs both
mlascope heal "$demo" -f "$demo/calibration.txt" -s 'mha2mla rope=high chunks=4 rank=16' -o x -T 64 \
    --windows 4 --held 4
echo "exit $?"
