# How far rules agree, a square for every two. Set before: rules, budget, xtics and ytics,
# which are the rules' names.
data = "../data/frequency-overlap.csv"
set title sprintf("Which rules agree: shared over united chunks, %d per KV head", budget)
unset grid
unset key
set border 0
set tics scale 0
set cbrange [0:1]
set cblabel "Jaccard index"
set xrange [-0.5:rules - 0.5]
set yrange [rules - 0.5:-0.5]
text(dark) = (column("jaccard") < 0.5) == dark ? sprintf("%.2f", column("jaccard")) : ""
plot data using "column":"row":"jaccard" with image pixels, \
     data using "column":"row":(text(1)) with labels textcolor rgb "#ffffff", \
     data using "column":"row":(text(0)) with labels textcolor rgb "#000000"
