set style data histograms
set style fill solid 0.9 noborder
set boxwidth 0.8
set xtics rotate by -40 noenhanced
set ylabel "tokens"
set format y "%.0s %c"
set logscale y
set yrange [1000:*]
set style histogram clustered gap 1
