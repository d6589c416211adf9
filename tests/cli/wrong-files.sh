# A file that is empty or of another kind, given as a model, a tokenizer or a result, is
# refused as what it is.
demo=$ROOT/datasets/demo
text="-f $demo/evaluation.txt"
for name in x.gguf x.safetensors x.h5 x.pth x.json tokenizer.json; do
    : >$name
    for line in "size $name" "check $name" "tokenize $name $name" "spectrum $name" \
        "verify $name" "capture $name $text -o run.h5" "evaluate $name $text -s baseline" \
        "plan $name $text --keep 0.5 -o plan.json" "report $name -o report" \
        "diff $name $name"; do
        mlascope $line 2>&1 >/dev/null | head -n 1
    done
done | sort | uniq -c | sed 's/^ *//'

# The same bytes that Python's writers begin with.
printf '\211HDF\r\n\032\n' >other.h5
printf 'PK\003\004' >model.pth
printf '\200\002}q' >model.bin
printf '\037\213\010\000' >model.gz
printf 'version https://git-lfs.github.com/spec/v1\n' >pointer.gguf
printf '<!DOCTYPE html>' >page.json
for name in "$demo/model.safetensors" other.h5 model.pth model.bin model.gz pointer.gguf \
    page.json; do
    mlascope size "$name"
    echo "exit $?"
done
mlascope capture "$demo/model.safetensors" $text -o run.h5
mlascope spectrum "$demo/model.safetensors"
mlascope tokenize "$demo/model.safetensors" hello
# JSON that looks a little like safetensors is still read as JSON.
printf '{"abc": {"x": 1}}' >nested.json
mlascope size nested.json
mkdir folder
: >folder/config.json
mlascope check folder
ls
