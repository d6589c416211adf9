# Rank of every layer; dashed: the same rank in all. Set before: layers, uniform (NaN:
# nothing to draw), cost (its title).
set xlabel "layer"
set ylabel "rank (numbers cached per token)"
set yrange [0:*]
set xrange [-0.6:layers - 0.4]
set style fill solid 0.9
set boxwidth 0.7
set xtics 0, (layers - 1) / 12 + 1
set key outside below center horizontal samplen 2
plot "../data/plan.csv" using "layer":"rank" with boxes linetype 1 title "the plan", \
     uniform with lines linetype 7 dashtype 2 title cost
