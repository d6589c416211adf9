# What a token takes, a bar for each setting. Set before: rows, parts, key[], title[], colour[].
data = "../data/size-bytes.csv"
total(k) = k < 1 ? 0 : sum [j=1:k] column(key[j])
set datafile columnheaders
set style fill solid 0.9 noborder
set xlabel "bytes per token"
set format x "%.0f"
set xrange [0:*]
set yrange [rows - 0.5:-0.5]
set lmargin at screen 0.40
set ytics font ",9" noenhanced
set key outside bottom center horizontal maxcols 2 samplen 1 font ",10"
set bmargin 4.5 + 0.95 * ((parts + 1) / 2)
plot for [i=1:parts] data using (0):0:(total(i - 1)):(total(i)):($0 - 0.36):($0 + 0.36):ytic(1) with boxxyerror linetype colour[i] title title[i]
