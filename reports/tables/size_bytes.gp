set ylabel "bytes per token"
set format y "%.0f"
set yrange [0:*]
set style histogram rowstacked
