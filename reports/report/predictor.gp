# One predicted error against measured KL. Set before: key (its column), axis, n, line[],
# method[].
data = "../data/predictor-" . key . ".csv"
set logscale xy
set format "%g"
set xlabel axis
set ylabel "measured KL (nat per token)"
set key outside bottom center horizontal maxcols 2 samplen 1 font ",9"
set bmargin 4.5 + 0.95 * ((n + 1) / 2)
plot for [i=1:n] data using (strcol("method") eq method[i] ? column("error") : NaN):"kl" with points linetype line[i] title method[i]
