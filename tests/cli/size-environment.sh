# The same pictures in any environment: no locale, the C locale, another terminal, another
# time zone, no home or one that cannot be written, a start-up file of the user's.
config=$ROOT/tests/data/configs/Llama-3.2-1B.json
mkdir home
cat >home/.gnuplot <<'EOF'
set print "was-executed"
print "hello"
set title "of the user"
set linetype 1 linecolor rgb "red"
EOF
cp home/.gnuplot home/.gnuplotrc
picture() {
    name=$1
    shift
    env -u LANG -u LANGUAGE -u LC_ALL "$@" mlascope size "$config" --plots "$name" >"$name.txt" ||
        return
    cmp plain.txt "$name.txt" && diff -r plain "$name" && echo "$name: the same"
}
picture plain
picture c LC_ALL=C
picture posix LANG=POSIX LC_ALL=POSIX
picture unknown LC_ALL=xx_XX.UTF-8
picture term GNUTERM=qt GNUPLOT_LIB=/nowhere COLUMNS=20
picture zone TZ=Asia/Kathmandu
picture homeless -u HOME -u XDG_CACHE_HOME
picture unwritable HOME=/proc
picture user HOME="$PWD/home" XDG_CONFIG_HOME="$PWD/home"
find . -name was-executed
