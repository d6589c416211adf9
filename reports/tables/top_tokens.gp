# Top tokens that a latent of each rank finds. Set before: last (layer), ranks, rank[],
# bars (0: no intervals).
data = "../data/top-tokens.csv"
set title "Top tokens that a latent of the keys finds"
set xlabel "layer"
set ylabel "% of the true ones"
set xrange [-0.5:last + 0.5]
set xtics last / 8 + 1
set yrange [0:100]
set datafile missing NaN
set key outside bottom center horizontal
set bmargin 6
array found[2] = ["found_percent", "turned_found_percent"]
array kind[2] = ["not turned", "turned"]
at(r) = column("rank") == rank[r] ? column("layer") : NaN
if (bars) {
    plot for [r=1:ranks] for [k=1:2] data using (at(r)):found[k]:(column(found[k]."_half")) with yerrorlines linetype r dashtype 3 - k title sprintf("rank %d, %s", rank[r], kind[k])
} else {
    plot for [r=1:ranks] for [k=1:2] data using (at(r)):(column(found[k])) with linespoints linetype r dashtype 3 - k title sprintf("rank %d, %s", rank[r], kind[k])
}
