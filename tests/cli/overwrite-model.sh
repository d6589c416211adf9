# No output takes the place of a part of the model, whatever name it goes by, nor hides
# one; a new name in the model's folder is fine, and so is our own file there again.
cp -r "$ROOT/datasets/demo" M
rm -rf M/making
mkdir elsewhere
cp M/tokenizer.json elsewhere/blob
ln -sf ../elsewhere/blob M/tokenizer.json
ln -s M alias
ln M/model.safetensors hard
ln -s M/config.json soft
mlascope capture M -f M/evaluation.txt -N 2 -T 16 -o run.h5 >/dev/null 2>&1
printf 'setting\nlorc rank=16\n' >settings.csv
cp run.h5 ranks.pth
mkdir M/onnx
echo precious >M/onnx/model.onnx
sha256sum M/*.* M/onnx/* hard elsewhere/* run.h5 settings.csv ranks.pth >before
text=M/evaluation.txt
try() {
    mlascope "$@" >/dev/null 2>said
    echo "$1 ... $(for last; do :; done; echo "$last"): exit $?, $(sed -n '1s/^mlascope: --output: //p' said)"
}
for output in M/model.safetensors M/../M/config.json alias/tokenizer.json ./M/tokenizer_config.json \
    hard soft elsewhere/blob M/calibration.txt M/model.safetensors.index.json alias/vocab.json; do
    try check M -o "$output"
done
try check M -o M/onnx/../onnx/model.onnx
try size M -o M/config.json
try size M/config.json -o alias/model.safetensors
try size M/config.json -o M/generation_config.json
try tokenize M/tokenizer.json $text -o M/config.json
try spectrum M -o M/model.safetensors
try tokenize M $text -o M/tokenizer.json
try capture M -f $text -N 2 -T 16 -o M/model.safetensors
try evaluate M -f $text -N 2 -T 16 -s baseline -o M/model.safetensors
try evaluate M -f $text -N 2 -T 16 -s 'mha2mla rope=file:ranks.pth chunks=4 rank=16' -o ranks.pth
try compare M -f $text -N 2 -T 16 --settings settings.csv -o M/config.json
try plan M -f $text --capture run.h5 --keep 50% -o M/model.safetensors
sha256sum --quiet -c before
mlascope size M -o M/sizes.txt && [ -s M/sizes.txt ] && echo a new name is fine
for again in 1 2; do
    mlascope capture M -f $text -N 2 -T 16 -o M/run.h5 >/dev/null 2>&1 && echo "capture: exit $?"
done
# Two parts of one GGUF model: the one that is not named is protected too.
printf 'GGUF' >m-00001-of-00002.gguf
printf 'GGUF' >m-00002-of-00002.gguf
try check m-00001-of-00002.gguf -o m-00002-of-00002.gguf
# A folder of the user's that is named as our restart folder is not touched.
mkdir mine.h5.part
echo precious >mine.h5.part/notes
mlascope capture M -f $text -N 2 -T 16 -o mine.h5 >/dev/null
echo "capture: exit $?"
ls mine.h5.part
mkdir kept
echo precious >kept/states-000
ln -s kept link.h5.part
mlascope capture M -f $text -N 2 -T 16 -o link.h5 >/dev/null
echo "capture: exit $?"
ls kept
