# The ending of an output is its format, or is refused; units and names get a suggestion.
demo=$ROOT/datasets/demo
for end in csv json jsonl md html txt; do
    mlascope size "$demo" -s kq -o kept.$end && head -c 40 kept.$end | head -n 1
done
mlascope check "$demo" -o check.csv && head -n 1 check.csv
try() {
    mlascope "$@"
    echo "exit $?"
}
try size "$demo" --format json -o kept.csv
try size "$demo" -o kept.xlsx
try report "$demo" -o page.html
try capture "$demo" -f "$demo/evaluation.txt" -o run.csv
try plan "$demo" -f "$demo/evaluation.txt" --keep 25% -o plan.csv
try size "$demo" --gpu 4090
try size "$demo" --gpu 24GB
try size "$demo" --memory 24GB
try size "$demo" --engine VLLM
try plan "$demo" --memory 24GB
try report "$demo" -o out --gpu 24GB
ls
