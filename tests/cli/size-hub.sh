# A model in the hub's cache: by name, by revision, by its folder there; a name that is
# not in it is a path like any other. Weights are links into blobs/.
model=$PWD/hub/models--org--tiny
mkdir -p "$model/blobs" "$model/refs" "$model/snapshots/c0ffee"
for name in config.json model.safetensors; do
    cp "$ROOT/datasets/demo/$name" "$model/blobs/$name-blob"
    ln -s "../../blobs/$name-blob" "$model/snapshots/c0ffee/$name"
done
printf 'c0ffee\n' > "$model/refs/main"
export HF_HUB_CACHE="$PWD/hub"
for name in org/tiny org/tiny@c0ffee hub/models--org--tiny org/other org/tiny@none; do
    mlascope size $name -s baseline --format csv | cut -d, -f 1,2,10,11
    echo "$name: $?"
done
mlascope check org/tiny | head -3
