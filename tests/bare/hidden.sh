#!/bin/sh
# Building must not need what only tests need: sh setup.sh build, in a copy of the source,
# with cmocka, clang-format and mandoc hidden. Usage: hidden.sh SOURCE_ROOT
set -eu
cd "$1"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/source" "$tmp/bin"
git ls-files -z | tar --null -T - -cf - | tar -xf - -C "$tmp/source"

# A pkg-config that has never heard of cmocka, and tools that are not there.
cat >"$tmp/bin/pkg-config" <<'EOF'
#!/bin/sh
case " $* " in *cmocka*) exit 1 ;; esac
exec /usr/bin/pkg-config "$@"
EOF
printf '#!/bin/sh\nexit 127\n' >"$tmp/bin/clang-format"
cp "$tmp/bin/clang-format" "$tmp/bin/mandoc"
chmod +x "$tmp/bin/"*

cd "$tmp/source"
PATH=$tmp/bin:$PATH PKG_CONFIG=$tmp/bin/pkg-config sh setup.sh build
build/tools/mlascope --version
if ninja -C build -t targets all | grep -q '^tests/test_'; then
    echo "hidden.sh: unit tests were built, so cmocka was not hidden" >&2
    exit 1
fi
if PATH=$tmp/bin:$PATH PKG_CONFIG=$tmp/bin/pkg-config \
    meson setup build-tests -Dtests=enabled >said 2>&1; then
    echo "hidden.sh: the tests were configured without cmocka" >&2
    exit 1
fi
grep -q cmocka said
echo "hidden.sh: built without the packages that only tests need"
