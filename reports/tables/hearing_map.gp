# Concentration of every head's queries, and what it listens to. Set before: heads, layers.
data = "../data/hearing-map.csv"
set title "Concentration of queries, and what heads listen to"
set xlabel "query head"
set ylabel "layer"
set cblabel "R of q, 1: all queries point one way"
unset grid
set border 0
set tics scale 0
set cbrange [0:1]
set xrange [-0.5:heads - 0.5]
set yrange [layers - 0.5:-0.5]
set xtics 0, (heads - 1) / 16 + 1
set ytics 0, (layers - 1) / 16 + 1
set key outside bottom center horizontal
set bmargin 6
size = heads > 16 || layers > 16 ? 0.8 : 1.6
marks = "sink local long-range diffuse"
array shape[4] = [6, 8, 12, 1]
plot data using "head":"layer":"r_q" with image notitle, \
     for [i=1:4] data using (strcol("name") eq word(marks, i) ? column("head") : NaN):"layer" with points pointtype shape[i] pointsize size linewidth (size > 1 ? 2 : 1.3) linecolor rgb "#d55e00" title word(marks, i)
