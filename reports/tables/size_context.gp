set ylabel "tokens"
set format y "%.0s %c"
set logscale y
set yrange [1000:*]
set style histogram clustered gap 1
