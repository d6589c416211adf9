#!/bin/sh
# Install into an empty folder; programs compiled against it, shared and static, work.
# Usage: install.sh BUILD_ROOT SOURCE_ROOT PREFIX LIBDIR
set -eu
build=$1 source=$2 prefix=$3 libdir=$4
for tool in meson pkg-config cc; do
    command -v $tool >/dev/null || { echo "SKIPPED install.sh: no $tool"; exit 77; }
done
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

meson install -C "$build" --no-rebuild --destdir "$tmp" >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
root=$tmp$prefix
lib=$root/$libdir
for file in bin/mlascope share/man/man1/mlascope.1 include/mlascope/mlascope.h \
    "$libdir/libmlascope.so" "$libdir/libmlascope.a" "$libdir/pkgconfig/mlascope.pc"; do
    [ -f "$root/$file" ] || { echo "not installed: $file"; exit 1; }
done
[ "$(head -c 7 "$lib/libmlascope.a")" = '!<arch>' ] || { echo "the static library is thin"; exit 1; }

PKG_CONFIG_PATH=$lib/pkgconfig
export PKG_CONFIG_PATH
pc() {
    pkg-config --define-variable=prefix="$root" "$@"
}
# Away from the source: nothing but what was installed is found.
cp "$source/examples/bytes_of_setting.c" "$tmp"
cd "$tmp"
cc -std=c17 -Wall -Wextra -Werror bytes_of_setting.c -o shared $(pc --cflags --libs mlascope)
cc -std=c17 bytes_of_setting.c -o static $(pc --cflags mlascope) "$lib/libmlascope.a" \
    $(pkg-config --libs $(pc --print-requires-private mlascope | sed 's/ .*//')) \
    $(sed -n 's/^Libs\.private://p' "$lib/pkgconfig/mlascope.pc")
want='960.0 of 3072.0 bytes per token, 31.250 %'
for program in shared static; do
    got=$(LD_LIBRARY_PATH=$lib ./$program "$source/datasets/demo" "mha2mla chunks=4 rank=32" 4096)
    [ "$got" = "$want" ] || { echo "$program: '$got' instead of '$want'"; exit 1; }
done
[ -n "$(LD_LIBRARY_PATH=$lib ldd shared | grep "$lib/libmlascope")" ] || { echo "shared is not shared"; exit 1; }
[ "$(pc --modversion mlascope)" = "$("$root/bin/mlascope" --version | cut -d' ' -f2)" ]
# The shared library shows its interface alone.
! nm -D --defined-only "$lib/libmlascope.so" | grep -v ' mls_' || { echo "other symbols are shown"; exit 1; }
