# KL by the tokens before the predicted one. Set before: n, line[], name[] (of settings).
data = "../data/positions.csv"
set title "Where in a window a setting loses"
set xlabel "tokens before the predicted one"
set ylabel "KL from the original (nat per token)"
set logscale x 2
set logscale y
set yrange [1e-4<*:*]
set format y "%g"
set key outside bottom center horizontal
set bmargin 7
plot for [i=1:n] data using (strcol("setting") eq name[i] ? column("from") : NaN):"kl" with linespoints linetype line[i] title name[i]
