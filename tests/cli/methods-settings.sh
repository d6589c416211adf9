# docs/methods/settings.md holds the table of keys as the program prints it.
mlascope methods --format md | grep '^|' >table.md
grep '^|' "$ROOT/docs/methods/settings.md" | sed '1,/^| method /{/^| method /!d}' >docs.md
diff -u docs.md table.md && echo "the same"
mlascope methods kq lorc --model "$ROOT/datasets/demo" --format csv
mlascope methods qk
echo "exit $?"
mlascope methods transmla --model "$ROOT/tests/data/configs/DeepSeek-V3.json" --format md
mlascope help kqsvd
