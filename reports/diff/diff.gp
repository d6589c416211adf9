# How much of A's KL each setting still loses in B. Set before: low, high (of KL in A).
data = "../data/diff.csv"
set logscale x
set format x "%g"
set xrange [low:high]
set xlabel "KL in A (nat per token)"
set ylabel "KL in B / KL in A"
set key outside bottom center horizontal maxcols 2 maxrows 2 samplen 2
set bmargin 6
of(word) = strcol("verdict") eq word ? column("kl_b") / column("kl_a") : NaN
plot 1 notitle with lines linecolor rgb "#888888" linewidth 1, \
     data using "kl_a":(of("no more than noise")) with points linetype 7 linecolor rgb "#888888" pointtype 6 title "no more than noise", \
     data using "kl_a":(of("better")) with points linetype 1 pointtype 11 pointsize 1.1 title "B is better", \
     data using "kl_a":(of("worse")) with points linetype 2 pointtype 9 pointsize 1.1 title "B is worse"
