# One class of who serves it. Set before: name, low, high, n, line[], labels, and the 4-bit
# cache of the model itself, which every conversion has to beat: bits_kept, bits_kl.
data = "../data/" . name . ".csv"
set rmargin at screen 0.66
set xlabel "kept share of the cache (%)"
set ylabel "KL before training (nat per token)"
set logscale y
set format y "%g"
set xrange [8:54]
set yrange [low:high]
set xtics (12.5, 25, 37.5, 50)
unset key
set label 90 "4-bit cache" at bits_kept, bits_kl left point pointtype 2 pointsize 1.2 linecolor rgb "#555555" offset 0.9,0 font ",10" textcolor rgb "#555555"
plot for [i=1:n] data using (column("curve") == i ? column("kept_percent") : NaN):"kl":"kl_low":"kl_high" with yerrorbars linetype line[i] pointtype 0 linewidth 1 dashtype 1, \
     for [i=1:n] data using (column("curve") == i ? column("kept_percent") : NaN):"kl" with linespoints linetype line[i]
