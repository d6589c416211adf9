# Scores of chunks, a row for each KV head. Set before: name, heading, chunks, rows, step (of
# the chunks named), dark and white (widths of a kept chunk's rings, 0: none), size (of
# these), trained (the chunk that turns once in the trained length; NaN: none), ytics and
# x2tics, which are the rows' names and wavelengths, alike (do layers turn alike?).
data = "../data/" . name . ".csv"
set title heading
set xlabel "chunk, fast to slow"
set x2label "wavelength in tokens" . (alike ? "" : " in the first layer")
set ylabel "layer, KV head"
set cblabel "share of the head's score (%)"
unset grid
set palette maxcolors 32
unset key
set border 0
set tics scale 0
set logscale cb
set cbtics (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)
set xrange [-0.5:chunks - 0.5]
set x2range [-0.5:chunks - 0.5]
set yrange [rows - 0.5:-0.5]
set xtics 0, step
if (trained == trained) set arrow 1 from trained, graph 0 to trained, graph 1 nohead front linecolor rgb "#00224e" linewidth 3
if (trained == trained) set arrow 2 from trained, graph 0 to trained, graph 1 nohead front dashtype 2 linecolor rgb "#ffffff" linewidth 1.5
kept(x) = column("selected") == 1 ? column("chunk") : NaN
plot data using "chunk":"row":"share_percent" with image, \
     data using (dark > 0 ? kept(0) : NaN):"row" with points pointtype 6 pointsize size linewidth dark linecolor rgb (white > 0 ? "#00224e" : "#000000"), \
     data using (white > 0 ? kept(0) : NaN):"row" with points pointtype 6 pointsize size linewidth white linecolor rgb "#ffffff"
