# The same pictures and numbers where a comma is the decimal sign.
[ -f /usr/share/i18n/locales/de_DE ] || {
    echo "SKIPPED size-german: the package locales is not installed" >&2
    exit 77
}
# glibc keeps the search path that LOCPATH gives it: 49 bytes, not ours.
ASAN_OPTIONS=detect_leaks=0
export ASAN_OPTIONS
mkdir locales
localedef -i de_DE -f UTF-8 locales/de_DE.UTF-8 2>/dev/null
config=$ROOT/tests/data/configs/Llama-3.2-1B.json
LOCPATH=$PWD/locales LC_ALL=de_DE.UTF-8 env printf 'the locale works: %.1f\n' 1,5
env -u LC_ALL -u LANG mlascope size "$config" --plots plain >plain.txt
LOCPATH=$PWD/locales LC_ALL=de_DE.UTF-8 mlascope size "$config" --plots german >german.txt
cmp plain.txt german.txt && diff -r plain german && echo the same
demo=$ROOT/datasets/demo
for locale in C de_DE.UTF-8; do
    LOCPATH=$PWD/locales LC_ALL=$locale mlascope evaluate "$demo" -N 1 -T 32 \
        -f "$demo/evaluation.txt" -s 'mha2mla rope=uniform chunks=8 rank=16' \
        --format csv >"$locale.csv" 2>/dev/null || echo "evaluate: $?"
done
cmp C.csv de_DE.UTF-8.csv && echo the same
