# Every rule on a small capture of the demo model; figures to few digits.
mlascope capture "$ROOT/datasets/demo" -f "$ROOT/datasets/demo/calibration.txt" \
    -N 4 -T 32 --windows 2 -o run.h5 >/dev/null 2>&1
mlascope frequency run.h5 --bootstrap 50 --format csv 2>/dev/null | tr -d '"' |
    awk -F, 'NR > 1 { printf "%s %s %s %.2f %.2f\n", $1, $2, $3, $4, $6 }
             NR == 1 { print $1, $2, $3, $4, $6 }'
mlascope frequency run.h5 --rules high,uniform:1,2-norm --selections 2>/dev/null |
    grep -v '^# model'
mlascope frequency run.h5 --rules high,low,high+low --chunks 8 --overlap 2>/dev/null |
    grep -v '^# model'
mlascope frequency run.h5 --rules 2-norm --chunks 2 --chunk-use 2>/dev/null |
    grep -v '^# model' | head -12
mlascope frequency run.h5 --rules uniform --chunks 4 --scope global --selections \
    --format csv 2>/dev/null | tr -d '"|\r' | awk -F, 'NR > 1 { n += split($5, a, " ") }
        END { print n, "chunks of 6 layers and 2 heads" }'
# The same for any number of threads, and whole as HDF5.
mlascope frequency run.h5 --rules all --scores --bootstrap 20 -t 1 -o one.csv \
    --format csv 2>/dev/null
mlascope frequency run.h5 --rules all --scores --bootstrap 20 -t 3 -o three.csv \
    --format csv 2>/dev/null
cmp one.csv three.csv && echo same bytes
wc -l <one.csv
mlascope frequency run.h5 --rules 2-norm,ropelite-l1 --bootstrap 20 -o all.h5 \
    --format csv 2>/dev/null | cut -d, -f1-3
mlascope verify all.h5
mlascope frequency run.h5 --rorope --format csv 2>/dev/null | tr -d '"\r' |
    awk -F, 'NR == 1 { print $1, $2, $3, $4, $5 }
             NR > 1 && $2 == 1 { printf "%s %s %s %s %.0f\n", $1, $2, $3, $4, $5 }'
# A rank file that export writes agrees with the rule it was made by.
mlascope export "$ROOT/datasets/demo" --capture run.h5 --for mha2mla -o files \
    -s "mha2mla rope=2-norm chunks=4 rank=16" >/dev/null 2>&1
mlascope frequency run.h5 --rules high,2-norm --against files/*.pth --format csv \
    2>/dev/null | tr -d '"' | cut -d, -f1,4
