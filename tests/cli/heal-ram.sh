# Bounded memory: states on disk give the same bytes; training all layers together is
# refused before any work when it would take more.
demo=$ROOT/datasets/demo
heal()
{
    mlascope heal "$demo" -f "$demo/calibration.txt" -s 'mha2mla rope=high chunks=4 rank=16' \
        -T 32 --windows 6 --held 2 --batch 2 --steps 1 "$@" >shown 2>said.txt
}
heal -o free && heal --ram 0.00002 -o bounded
for l in 0 5; do
    cmp free/layer-0000$l.safetensors bounded/layer-0000$l.safetensors && echo same
done
heal --ram 0.00002 --distil 2 -o no
echo "exit $?"
sed 's/[0-9][0-9.]* GiB/N GiB/; s/--ram [0-9][0-9.]*/--ram N/' said.txt
ls -d no no.part 2>missing || echo "nothing was made"
# The last of the windows are the layers' own, all of them are for all layers together.
heal --distil 1 --distil-batch 1 --distil-windows 9 -o more
cmp free/layer-00000.safetensors more/layer-00000.safetensors >diff 2>&1 || echo "trained further"
