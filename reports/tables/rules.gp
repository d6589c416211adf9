# Curves of rules. Set before: name, xcol, ycol (columns), bars (0 or 1), n, rule[], line[], labels,
# axes and their titles.
data = "../data/" . name . ".csv"
low = bars ? "low" : ycol
set datafile columnheaders
high = bars ? "high" : ycol
set rmargin at screen 0.70
unset key
plot for [i=1:n] data using (strcol("rule") eq rule[i] ? column(xcol) : NaN):(column(ycol)):(column(low)):(column(high)) with yerrorbars linetype line[i] pointtype 0 linewidth 1 dashtype 1, \
     for [i=1:n] data using (strcol("rule") eq rule[i] ? column(xcol) : NaN):(column(ycol)) with linespoints linetype line[i]
