# Mean logits by distance, of one head of each kind. Set before: n, name[] (of heads).
data = "../data/hearing-curves.csv"
set title "Mean logits by distance; dashed: by the means"
set xlabel "tokens between query and key"
set ylabel "logit"
set logscale x 2
set key outside bottom center horizontal
set bmargin 4 + n
plot for [i=1:n] data using (strcol("head") eq name[i] ? column("distance") : NaN):"logit" with linespoints linetype i title name[i], \
     for [i=1:n] data using (strcol("head") eq name[i] ? column("distance") : NaN):"predicted" with lines linetype i dashtype 2 notitle
