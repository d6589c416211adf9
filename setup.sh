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
# every script.
count() {
    cat "$@" | awk '
        /^\[  PASSED  \] [0-9]+ test/ { passed += $4 }
        /^\[  SKIPPED \] [0-9]+ test/ { skipped += $4 }
        /^\[  FAILED  \] [0-9]+ test/ { failed += $4 }
        /^ *[0-9]+\/[0-9]+ / {
            if ($0 ~ / (OK|EXPECTEDFAIL) /) { if ($0 !~ /:unit / ) passed++ }
            else if ($0 ~ / SKIP /) { skipped++ }
            else if ($0 ~ / (FAIL|TIMEOUT|ERROR|UNEXPECTEDPASS) /) { if ($0 !~ /:unit / || $0 !~ / FAIL /) failed++; else units_failed++ }
        }
        END {
            if (units_failed && !failed) failed = units_failed
            printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
        }'
}

test_all() {
    status=0
    build build -Dtests=enabled
    meson test -C build --no-rebuild --verbose >build/tests.log 2>&1 || status=1
    build build-sanitize -Dtests=enabled -Db_sanitize=address,undefined -Db_lundef=false -Dwerror=true
    meson test -C build-sanitize --no-rebuild --verbose --no-suite style --timeout-multiplier 4 >build-sanitize/tests.log 2>&1 || status=1
    grep -h -E '^SKIPPED|^ERROR|  FAIL  ' build/tests.log build-sanitize/tests.log || true
    if [ $status -ne 0 ]; then
        grep -h -B2 -A12 -E 'FAILED|Sanitizer|runtime error|^[-+]' build/tests.log build-sanitize/tests.log | tail -n 200 || true
    fi
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
