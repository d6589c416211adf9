# What is refused, each with one sentence, before any work.
demo=$ROOT/datasets/demo
: >file
: >empty.txt
mkdir model
cp "$demo"/*.json "$demo"/*.safetensors model/ 2>/dev/null
try() {
    mlascope report "$@"
    echo "exit $?"
}
try "$demo"
try -o out
try nowhere -o out
try model -o out
try "$demo" -o file
try "$demo" -o file/below
try "$demo" -o out -f nowhere.txt
try "$demo" -o out -f empty.txt
try "$demo" -o deep/er -f empty.txt
mkdir mine
try "$demo" -o mine/new -f empty.txt
try "$demo" -o out -N 0
try "$demo" -o out --quality
find . -name '*.h5*' -o -name index.html
# No folder that was made for it stays; those of others do.
ls
