#!/bin/sh
# Both commands of the README on a bare Debian 12: made by debootstrap, with nothing in it
# but the smallest system, no locale, no language and no home of anybody.
#
# Usage, as root: sh tests/bare/debian.sh [demo|test]...    (without words: both)
# ROOT=FOLDER keeps the system there; MIRROR=URL is a Debian mirror [that of this machine].
set -eu
source=$(realpath "$(dirname "$0")/../..")

skip() {
    echo "SKIPPED debian.sh: $1"
    exit 77
}
[ "$(id -u)" = 0 ] || skip "only root can make a system to run in"
command -v debootstrap >/dev/null || skip "debootstrap is not installed"
mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' | head -n 1)}
[ -n "$mirror" ] || skip "this machine names no mirror of Debian 12; give MIRROR=URL"

if [ -n "${ROOT-}" ]; then
    root=$ROOT
else
    root=$(mktemp -d)
    trap 'rm -rf --one-file-system "$root"' EXIT
fi
if [ ! -f "$root/etc/debian_version" ]; then
    debootstrap --variant=minbase bookworm "$root" "$mirror" >"$root.log" 2>&1 || {
        echo "debian.sh: debootstrap failed; its last lines:" >&2
        tail -n 20 "$root.log" >&2
        exit 1
    }
    rm -f "$root.log"
fi
echo "debian.sh: Debian $(cat "$root/etc/debian_version"), $(ls "$root/var/lib/dpkg/info/"*.list | wc -l) packages"

rm -rf "$root/mlascope"
mkdir "$root/mlascope"
(cd "$source" && git ls-files -z | tar --null -T - -cf -) | tar -xf - -C "$root/mlascope"
[ $# -gt 0 ] || set -- demo test
for verb in "$@"; do
    start=$(date +%s)
    # The mount of /proc is this command's own and goes with it.
    unshare --mount sh -c 'mount -t proc proc "$1/proc" && exec chroot "$1" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -c "cd /mlascope && sh setup.sh $2"' sh "$root" "$verb" || {
        echo "debian.sh: sh setup.sh $verb ended with status $?" >&2
        exit 1
    }
    echo "debian.sh: sh setup.sh $verb, $(($(date +%s) - start)) s"
    [ "$verb" != demo ] || [ -s "$root/mlascope/out/demo/index.html" ]
done
