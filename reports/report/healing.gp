# Held-out loss by step of healing, of every finalist. Set before: n, setting[].
data = "../data/healing.csv"
set title "Healing: error of the attention outputs on windows never trained on"
set xlabel "steps a layer"
set ylabel "|o' - o|^2 / |o|^2, mean over layers"
set yrange [0:]
set key outside bottom center
plot for [i=1:n] data using (strcol("setting") eq setting[i] ? column("step") : NaN):"loss" with linespoints linetype i title setting[i]
