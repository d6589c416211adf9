# zero.sh FILE TENSOR [FIRST_BYTE N_BYTES]: bytes of a tensor of a safetensors file become 0.
set -eu
head=$(od -An -t u8 -N 8 "$1" | tr -d ' ')
range=$(tail -c +9 "$1" | head -c "$head" | sed 's/.*"'"$2"'": *{[^}]*"data_offsets": *\[\([0-9]*\), *\([0-9]*\)\].*/\1 \2/')
from=${range% *} to=${range#* }
at=${3:-0}
n=${4:-$((to - from - at))}
head -c "$n" /dev/zero | dd of="$1" bs=64k seek=$((8 + head + from + at)) oflag=seek_bytes conv=notrunc 2>/dev/null
