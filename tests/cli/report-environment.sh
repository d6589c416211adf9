# The same report, pictures included, in any environment: no locale, the C locale, decimal
# commas, no home, a home that cannot be written. One layer, so that it stays quick.
demo=$ROOT/datasets/demo
mkdir model locales home
cp $demo/config.json $demo/tokenizer*.json $demo/model.safetensors model
sed -i 's/"num_hidden_layers": 6/"num_hidden_layers": 1/' model/config.json
chmod a-w home
report() {
    name=$1
    shift
    mkdir $name
    (
        cd $name && env -u LANG -u LANGUAGE -u LC_ALL "$@" mlascope report ../model -f $demo/calibration.txt \
            -N 4 -T 16 -t 1 --no-quality -o out >said 2>notes
    )
    status=$?
    [ $status = 0 ] && diff -r plain/out $name/out >difference && echo "$name: the same" ||
        echo "$name: exit $status, $(head -n 1 difference $name/notes)"
}
report plain HOME="$PWD"
report c LC_ALL=C LANG=C
report homeless -u HOME -u XDG_CACHE_HOME -u XDG_CONFIG_HOME
report unwritable HOME="$PWD/home" XDG_CACHE_HOME=/proc
if localedef -i de_DE -f UTF-8 locales/de_DE.UTF-8 2>/dev/null; then
    # glibc keeps the search path that LOCPATH gives it: 49 bytes, not ours.
    report german LOCPATH="$PWD/locales" LC_ALL=de_DE.UTF-8 ASAN_OPTIONS=detect_leaks=0
else
    echo "german: the same" # without the package locales nothing can be asked
fi
chmod u+w home
