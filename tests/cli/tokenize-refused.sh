# Each one sentence and exit status 3.
printf 'abc\377' >latin1.txt
: >empty.txt
printf '{"model": {"type": "WordPiece", "vocab": {"a": 0}}}' >wordpiece.json
printf '{"model": ' >broken.json
try() {
    mlascope tokenize "$@"
    echo "exit $?" >&2
}
try "$ROOT/datasets/demo" missing.txt
try "$ROOT/datasets/demo" latin1.txt
try "$ROOT/datasets/demo" empty.txt
try "$ROOT/datasets/published" latin1.txt
try wordpiece.json latin1.txt
try broken.json latin1.txt
