#!/bin/sh
# Install what is missing, build, and run: sh setup.sh demo | test | build | deps
set -eu
cd "$(dirname "$0")"

usage='Usage: sh setup.sh VERB

  demo   install what is missing, build, write a report on the shipped demo model
  test   install what is missing, build, run all tests (also under sanitizers)
  build  install what is missing, build into ./build
  deps   install what is missing (apt packages of Debian 12)'

build_packages='gcc libc6-dev meson ninja-build pkg-config libopenblas-pthread-dev
liblapacke-dev libhdf5-dev gnuplot-nox fonts-dejavu-core libcsv-dev libjansson-dev
libpcre2-dev libutf8proc-dev libxxhash-dev libssl-dev libzip-dev libdnnl-dev'
test_packages='libcmocka-dev clang-format mandoc'

die() {
    printf 'setup.sh: %s\n' "$1" >&2
    exit 1
}

# deps PACKAGE...: install those that are not there yet.
deps() {
    command -v dpkg-query >/dev/null ||
        die "this system has no dpkg: mlascope is made for Debian 12; install the packages that setup.sh names and run meson by hand"
    missing=
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
            missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    echo "setup.sh: installing$missing" >&2
    as_root=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || die "neither root nor sudo: ask for$missing"
        as_root=sudo
    fi
    logged "apt-get update" $as_root apt-get update
    # shellcheck disable=SC2086 # a list of words
    logged "apt-get install$missing" $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends $missing
}

# logged NAME COMMAND...: run without a word; when it fails, say so and how it ended.
logged() {
    name=$1
    shift
    log=$(mktemp) || die "no temporary file can be made in ${TMPDIR:-/tmp}"
    if ! "$@" >"$log" 2>&1; then
        printf 'setup.sh: %s failed; its last lines:\n' "$name" >&2
        tail -n 30 "$log" | sed 's/^/    /' >&2
        rm -f "$log"
        exit 1
    fi
    rm -f "$log"
}

# build FOLDER OPTION...: a folder that was made without these options gets them.
build() {
    folder=$1
    shift
    if [ ! -f "$folder/build.ninja" ]; then
        logged "meson setup $folder" meson setup "$folder" "$@"
    elif [ $# -gt 0 ]; then
        logged "meson setup $folder" meson setup --reconfigure "$folder" "$@"
    fi
    ninja -C "$folder" --quiet >&2 || die "ninja -C $folder failed, as said above"
}

# Sum up the closing lines of cmocka and meson over all logs: every unit test counts, and
# every script, each once (meson names what failed again in its summary).
count() {
    awk '
        BEGIN { unit = " unit - |:unit / " } # as newer and older meson say it
        FNR == 1 { summary = told = 0 }
        /^Summary of Failures:/ { summary = 1 }
        summary { next }
        /^\[  PASSED  \] [0-9]+ test/ { passed += $4 }
        /^\[  SKIPPED \] [0-9]+ test/ { skipped += $4 }
        /^\[  FAILED  \] [0-9]+ test/ { failed += $4 - told; told = 0 }
        /^ *[0-9]+\/[0-9]+ / && !/ RUNNING / {
            told = 0
            if ($0 ~ / (OK|EXPECTEDFAIL) /) { if ($0 !~ unit) passed++ }
            else if ($0 ~ / SKIP /) { skipped++ }
            else if ($0 ~ / (FAIL|TIMEOUT|ERROR|UNEXPECTEDPASS) /) { failed++; told = $0 ~ unit }
        }
        END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped }
    ' "$@"
}

# failures FOLDER: every test that did not end well, how, and the last lines it wrote.
failures() {
    awk '
        function tell(   i) {
            if (result != "" && result !~ /^exit status (0|77)$/) {
                printf "FAILED: %s: %s after %s\n", test, result, duration
                for (i = n > 60 ? n - 60 : 0; i < n; i++) print "    " line[i]
            }
            n = 0; result = ""
        }
        /^=+ [0-9]+\/[0-9]+ =+$/ { tell(); next }
        /^Summary of Failures:/ { exit }
        /^test: / && !n { sub(/^test: +/, ""); test = $0; next }
        /^duration: / && !n { sub(/^duration: +/, ""); duration = $0; next }
        /^result: / && !n { sub(/^result: +/, ""); result = $0; next }
        result != "" && !/^command: / { line[n++] = $0 }
        END { tell() }
    ' "$1/meson-logs/testlog.txt"
}

# run_tests FOLDER MULTIPLIER OPTION...: the limits of time, made longer so many times, are
# for what hangs, not for machines that are slow.
run_tests() {
    folder=$1
    slower=$2
    shift 2
    meson test -C "$folder" --no-rebuild --verbose --timeout-multiplier "$slower" "$@" >"$folder/tests.log" 2>&1 ||
        status=1
    grep -h '^SKIPPED' "$folder/tests.log" || true
    failures "$folder"
}

test_all() {
    status=0
    build build -Dtests=enabled
    run_tests build 1
    build build-sanitize -Dtests=enabled -Db_sanitize=address,undefined -Db_lundef=false -Dwerror=true
    run_tests build-sanitize 4 --no-suite style
    count build/tests.log build-sanitize/tests.log
    return $status
}

case ${1-} in
demo)
    # shellcheck disable=SC2086
    deps $build_packages
    build build
    build/tools/mlascope report datasets/demo -o out/demo
    ;;
test)
    # shellcheck disable=SC2086
    deps $build_packages $test_packages
    test_all
    ;;
build)
    # shellcheck disable=SC2086
    deps $build_packages
    build build
    echo "setup.sh: build/tools/mlascope is ready; --help lists its commands" >&2
    ;;
deps)
    # shellcheck disable=SC2086
    deps $build_packages $test_packages
    ;;
*)
    printf '%s\n' "$usage"
    [ "${1-}" = --help ] || exit 2
    ;;
esac
