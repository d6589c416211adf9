#!/bin/sh
# The rooms as ARCHITECTURE.md draws them: all of meson.build in their order, with sizes
# that are near the real ones (a fifth, or 200 lines). Lines of code are those that are
# neither blank nor comments; a mark stands for 200.
# Usage: rooms.sh SOURCE_ROOT [draw]; with draw, the drawing as it should be
cd "$1" || exit 99
real=$(sed -n "s/^ *'\(\(common\|datasets\|analysis\|bench\|reports\|tools\)\/[a-z]*\)',*$/\1/p" meson.build |
    while read -r room; do
        cat "$room"/*.[ch] | awk -v room="$room" '
            { line = $0; code = ""
              while (line != "") {
                  if (inside) {
                      end = index(line, "*/")
                      if (!end) break
                      line = substr(line, end + 2); inside = 0
                  } else {
                      begin = index(line, "/*")
                      if (!begin) { code = code line; break }
                      code = code substr(line, 1, begin - 1)
                      line = substr(line, begin + 2); inside = 1
                  }
              }
              if (code ~ /[^ \t]/) n++ }
            END { print room, n + 0 }'
    done)
if [ "$2" = draw ]; then
    echo "$real" | awk '
        { split($1, part, "/"); size[$1] = $2; order[NR] = $1; sum[part[1]] += $2 }
        END {
            for (i = 1; i <= NR; i++) {
                split(order[i], part, "/")
                if (part[1] != floor) {
                    floor = part[1]
                    printf "    %-10s %7d\n", floor "/", int(sum[floor] / 100 + 0.5) * 100
                }
                marks = ""
                for (k = 100; k <= size[order[i]]; k += 200) marks = marks "#"
                printf "        %-12s %5d  %s\n", part[2],
                    int(size[order[i]] / 100 + 0.5) * 100, marks
            }
        }'
    exit 0
fi
drawn=$(sed -n '/^### The rooms and their sizes/,/^A file has/p' docs/ARCHITECTURE.md | awk '
    $1 ~ /\/$/ { floor = $1 }
    /^        [a-z]/ { print floor $1, $2 }')
[ "$(echo "$real" | cut -d' ' -f1)" = "$(echo "$drawn" | cut -d' ' -f1)" ] || {
    echo "docs/ARCHITECTURE.md draws other rooms than meson.build has, or in another order"
    exit 1
}
far=$(printf '%s\n%s\n' "$real" "$drawn" | awk '
    $1 in real { d = $2 - real[$1]; if (d < 0) d = -d
                 if (d > 200 && d > real[$1] / 5)
                     print $1 " has " real[$1] " lines and is drawn with " $2 }
    { real[$1] = $2 }')
[ -z "$far" ] || {
    echo "$far"
    echo "docs/ARCHITECTURE.md: sh tests/style/rooms.sh . draw"
    exit 1
}
