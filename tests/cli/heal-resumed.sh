# What a stopped run left is taken where everything is the same, and only there: a layer's
# file that was spoilt is met by the same command and by no other.
sh "$ROOT/tests/support/layers.sh" "$ROOT" 1
for n in 4 5; do
    mlascope capture demo -f demo/calibration.txt -T 16 -N $n -o run$n.h5 >/dev/null 2>&1
done
heal()
{
    mlascope heal demo -f demo/calibration.txt -s 'mha2mla rope=high chunks=4 rank=16' \
        -T 16 --windows 4 --held 1 --steps 0 "$@" >shown 2>said.txt
}
heal --capture run4.h5 -o whole
left() {
    rm -rf again again.part
    cp -r whole again.part
    : >again.part/layer-00000.safetensors
}
left
heal --capture run4.h5 -o again
echo "the same: exit $?"
grep -c 'layer-00000' said.txt
for other in '--capture run5.h5' '--capture run4.h5 --damping 2' '--capture run4.h5 --held 2'; do
    left
    # shellcheck disable=SC2086 # words on purpose
    heal $other -o again
    echo "${other#--capture }: exit $?"
done
