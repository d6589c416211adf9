#!/bin/sh
# What datasets/SHA256SUMS lists is there unchanged, and it lists everything that is
# shipped. Usage: datasets.sh SOURCE_ROOT
cd "$1/datasets" || exit 99
sha256sum --check --quiet SHA256SUMS || exit 1
find demo healing published -type f | LC_ALL=C sort >"${TMPDIR:-/tmp}/shipped.$$"
cut -c 67- SHA256SUMS | LC_ALL=C sort | diff -u - "${TMPDIR:-/tmp}/shipped.$$"
status=$?
rm -f "${TMPDIR:-/tmp}/shipped.$$"
exit $status
