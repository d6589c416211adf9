# Bits against quality. Set before: n, cache[], labels of the points that nothing beats.
data = "../data/quantizers.csv"
set xlabel "bits per number of the original cache, all counted"
set ylabel "KL (nat per token)"
set logscale xy
set format y "%g"
set xtics (0.5, 1, 2, 3, 4, 6, 8, 16)
set xrange [*:20]
set autoscale xfixmin
set offsets graph 0.05, 0, 0, 0
set key outside bottom center horizontal maxcols 2 samplen 1
set bmargin 4 + (n + 1) / 2
plot for [i=1:n] data using (strcol("cache") eq cache[i] && column("kl") > 1e-7 ? column("bits") : NaN):"kl" with points linetype line[i] pointsize 1.1 title cache[i]
