#!/bin/sh
# A wrong choice of OpenBLAS is mended by one restart, and only when the user did not
# choose. Usage: blas_core.sh MLASCOPE SHIM
set -u
unset OPENBLAS_CORETYPE MLASCOPE_BLAS_MENDED

has() {
    for flag in "$@"; do
        grep -qw "$flag" /proc/cpuinfo || return 1
    done
}
if has avx512f avx512dq avx512bw avx512vl; then
    better=SkylakeX
elif has avx2 fma; then
    better=Haswell
else
    better=Prescott
fi

# expect CORE: the last version line names it.
expect() {
    case $version in
    *" $1 kernels)") ;;
    *)
        echo "found: $version; expected: $1 kernels"
        exit 1
        ;;
    esac
}

version=$(LD_PRELOAD=$2 "$1" --version) || exit 1
expect "$better"
version=$(LD_PRELOAD=$2 OPENBLAS_CORETYPE=Nehalem "$1" --version) || exit 1
expect Nehalem
version=$(LD_PRELOAD=$2 MLASCOPE_BLAS_MENDED=1 "$1" --version) || exit 1
expect Prescott
