# How far a layer's cache lies in the next one's. Set before: last (layer), bars (0: none).
data = "../data/rank-neighbours.csv"
set title "Overlap of each layer's cache with the next one's"
set xlabel "layer, with the one after it"
set ylabel "mean squared cosine"
set xrange [-0.5:last + 0.5]
set xtics last / 8 + 1
set yrange [0:1]
set datafile missing NaN
set key outside bottom center horizontal
set bmargin 7
array matrix[3] = ["k", "k_rot", "v"]
array name[3] = ["keys", "keys after RoPE", "values"]
at(i) = strcol("matrix") eq matrix[i] ? column("layer") + 0.08 * (i - 2) : NaN
if (bars) {
    plot for [i=1:3] data using (at(i)):"overlap":"overlap_half" with yerrorlines linetype i title name[i]
} else {
    plot for [i=1:3] data using (at(i)):"overlap" with linespoints linetype i title name[i]
}
