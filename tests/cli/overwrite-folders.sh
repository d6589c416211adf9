# Folders that are written into hold nothing of the inputs; a file that is no file of rows
# keeps its bytes.
cp -r "$ROOT/datasets/demo" M
rm -rf M/making
ln -s M alias
mlascope capture M -f M/evaluation.txt -N 12 -T 16 -o run.h5 >/dev/null 2>&1
mkdir -p F/data F/plots G/data
ln -s ../../M/config.json F/data/size-contexts.csv
ln run.h5 F/plots/mass.svg
printf 'setting\nbaseline\n' >G/data/settings.csv
printf '{"a": 1}' >one-line
sha256sum M/* run.h5 G/data/settings.csv one-line >before
text=M/evaluation.txt
try() {
    mlascope "$@" >/dev/null 2>said
    echo "$* ... exit $?: $(sed -n '1s/^mlascope: //p' said)"
}
try size M --plots F
try frequency run.h5 --plots F
try compare M -f $text -N 2 -T 16 --settings G/data/settings.csv --rows G/data/settings.csv
try compare M -f $text -N 2 -T 16 -s baseline --rows M/config.json
try compare M -f $text -N 2 -T 16 -s baseline --rows one-line
for folder in M M/../M alias; do
    try export M -s gqa2mla --for latent -o $folder
done
try heal M --capture run.h5 -s gqa2mla -o M
try report M -N 2 -T 16 --no-quality -o M
sha256sum --quiet -c before
try export M -s gqa2mla --for latent -o M/new
sha256sum --quiet -c before
ls M/new | head -2
mlascope verify M/new
for file in layer-00003.safetensors README.md SHA256SUMS; do
    cp M/new/$file kept
    printf X | dd of=M/new/$file bs=1 seek=40 conv=notrunc 2>/dev/null
    try verify M/new
    cp kept M/new/$file
done
rm M/new/layer-00005.safetensors
try verify M/new
try verify M
