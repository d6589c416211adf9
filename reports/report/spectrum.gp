# Singular values of one layer. Set before: name, layer, width.
data = "../data/" . name . ".csv"
set logscale y
set format y "%g"
set yrange [1e-4:1.2]
set xrange [0:width]
set xlabel "direction, largest first"
set ylabel "σ / σ₁"
set key outside bottom center horizontal maxcols 2 samplen 2
set bmargin 7
matrices = "k v kv"
titles = "W_k W_v [W_k;W_v]"
plot for [m=1:3] data using (strcol("matrix") eq word(matrices, m) && strcol("kind") eq "weights" ? column("index") : NaN):"sigma_relative" with lines linetype m linewidth 1.6 dashtype 2 title word(titles, m), \
     for [m=1:3] data using (strcol("matrix") eq word(matrices, m) && strcol("kind") eq "data" ? column("index") : NaN):"sigma_relative" with lines linetype m linewidth 1.6 title word(titles, m) . ", on text"
