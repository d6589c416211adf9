# One predicted error against measured KL. Set before: key (its column), axis, n, line[],
# method[].
data = "../data/predictor-" . key . ".csv"
set logscale xy
set format "%g"
set xlabel axis
set ylabel "measured KL (nat per token)"
set key outside below center horizontal maxcols 3 samplen 1 font ",10"
plot for [i=1:n] data using (strcol("method") eq method[i] ? column("error") : NaN):"kl" with points linetype line[i] title method[i]
