set style data histograms
set style fill solid 0.9 noborder
set boxwidth 0.8
set xtics rotate by -40 noenhanced
