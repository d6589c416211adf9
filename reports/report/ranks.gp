# Directions that hold 95 % of the energy, by layer. Set before: layers, n, line[], labels.
data = "../data/ranks.csv"
set rmargin at screen 0.68
set xlabel "layer"
set ylabel "directions for 95 % of the energy"
set xrange [-0.3:layers - 0.7]
set yrange [0:most]
set xtics 0, (layers - 1) / 8 + 1
unset key
plot for [i=1:n] data using (column("curve") == i ? column("layer") : NaN):"rank_95" with linespoints linetype line[i]
