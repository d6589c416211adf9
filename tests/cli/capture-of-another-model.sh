# A capture of another model is refused by every command that measures.
demo=$ROOT/datasets/demo
mkdir other
cp "$demo"/*.json other
cp "$demo/model.safetensors" other
printf x | dd of=other/model.safetensors bs=1 seek=4000000 conv=notrunc 2>/dev/null
mlascope capture other -f "$demo/evaluation.txt" -T 32 -N 2 --windows 1 -o other.h5 >/dev/null 2>&1
for command in "evaluate -s kq" "compare -s kq" "plan --keep 0.5 -o plan.json"; do
    set -- $command
    name=$1
    shift
    mlascope "$name" "$demo" -f "$demo/evaluation.txt" -T 32 --capture other.h5 "$@" 2>&1 |
        sed 's/SHA-256 [0-9a-f]*/SHA-256 THEIRS/; s/has [0-9a-f]*$/has OURS/; /%$/d'
done
mlascope spectrum "$demo" --weighted other.h5 --setting kq 2>&1 |
    sed 's/SHA-256 [0-9a-f]*/SHA-256 THEIRS/; s/has [0-9a-f]*$/has OURS/; /%$/d'
ls
