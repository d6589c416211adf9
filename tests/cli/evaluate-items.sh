# Multiple choice on a user's own questions, and planted pairs; settings paired by item.
demo=$ROOT/datasets/demo
short() { cut -d, -f1-8 | sed 's/\(\.[0-9]\{2\}\)[0-9]*/\1/g'; }
mlascope evaluate "$demo" --choices "$ROOT/tests/data/questions.jsonl" --format csv \
    -s 'mha2mla rope=uniform chunks=4 rank=16' 2>/dev/null | short
mlascope evaluate "$demo" -f "$demo/evaluation.txt" --retrieval 8,24 -N 3 --format csv \
    -s 'mha2mla rope=uniform chunks=4,8 rank=16' 2>/dev/null | short
echo '{"context": "a", "choices": ["b"], "answer": 0}' >one.jsonl
mlascope evaluate "$demo" --choices one.jsonl -s baseline
mlascope evaluate "$demo" --choices nowhere.jsonl -s baseline
mlascope evaluate "$demo" --choices one.jsonl --retrieval 8 -s baseline
mlascope evaluate "$demo" -f "$demo/evaluation.txt" --retrieval 8,x -s baseline
