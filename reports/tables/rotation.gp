# Ranks before and after RoPE, by layer. Set before: last (layer), bars (0: no intervals).
data = "../data/rank-rotation.csv"
set title "Directions for 95 % of the energy, before and after RoPE"
set xlabel "layer"
set ylabel "directions"
set xrange [-0.5:last + 0.5]
set xtics last / 8 + 1
set yrange [0:*]
set datafile missing NaN
set key outside bottom center horizontal
set bmargin 7
array matrix[3] = ["k", "k_rot", "v"]
array name[3] = ["keys", "keys after RoPE", "values"]
at(i) = strcol("matrix") eq matrix[i] ? column("layer") + 0.08 * (i - 2) : NaN
if (bars) {
    plot for [i=1:3] data using (at(i)):"rank_95":"rank_95_half" with yerrorlines linetype i title name[i]
} else {
    plot for [i=1:3] data using (at(i)):"rank_95" with linespoints linetype i title name[i]
}
