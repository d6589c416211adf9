set ylabel "kept (%)"
set yrange [0:*]
set style histogram clustered gap 1
f = "../data/size-kept.csv"
plot f using "payload_kept_percent":xtic(1) title "payload, as in print" lt 6, f using "kept_percent" title "true" lt 1
