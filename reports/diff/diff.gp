# KL of every setting in A and in B. Set before: low, high. Below the line B is better.
data = "../data/diff.csv"
set logscale xy
set format "%g"
set xrange [low:high]
set yrange [low:high]
set size square
set xlabel "KL in A (nat per token)"
set ylabel "KL in B (nat per token)"
set key outside bottom center horizontal maxcols 2 maxrows 2 samplen 2
set bmargin 6
is(word) = strcol("verdict") eq word ? column("kl_b") : NaN
plot x notitle with lines linecolor rgb "#888888" linewidth 1, \
     data using "kl_a":(is("no more than noise")) with points linetype 7 linecolor rgb "#888888" pointtype 6 title "no more than noise", \
     data using "kl_a":(is("better")) with points linetype 1 pointtype 11 pointsize 1.1 title "B is better", \
     data using "kl_a":(is("worse")) with points linetype 2 pointtype 9 pointsize 1.1 title "B is worse"
