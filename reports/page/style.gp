set encoding utf8
set datafile separator comma
set datafile missing ""
set border 3 linewidth 1 linecolor rgb "#555555"
set tics nomirror textcolor rgb "#333333"
set xlabel textcolor rgb "#333333"
set ylabel textcolor rgb "#333333"
set grid linewidth 0.5 linecolor rgb "#dddddd"
set key outside right top vertical Left reverse noenhanced samplen 3 spacing 1.1
set linetype 1 linewidth 2 pointtype 7 pointsize 0.7 linecolor rgb "#0072b2"
set linetype 2 linewidth 2 pointtype 5 pointsize 0.7 linecolor rgb "#d55e00"
set linetype 3 linewidth 2 pointtype 9 pointsize 0.8 linecolor rgb "#009e73"
set linetype 4 linewidth 2 pointtype 13 pointsize 0.8 linecolor rgb "#cc79a7"
set linetype 5 linewidth 2 pointtype 11 pointsize 0.8 linecolor rgb "#e69f00"
set linetype 6 linewidth 2 pointtype 6 pointsize 0.8 linecolor rgb "#56b4e9"
set linetype 7 linewidth 2 pointtype 4 pointsize 0.8 linecolor rgb "#000000"
set linetype 8 linewidth 2 pointtype 8 pointsize 0.8 linecolor rgb "#8a6d00"
set linetype 9 linewidth 2 dashtype 2 pointtype 2 pointsize 0.9 linecolor rgb "#0072b2"
set linetype 10 linewidth 2 dashtype 2 pointtype 6 pointsize 0.9 linecolor rgb "#d55e00"
set linetype 11 linewidth 2 dashtype 2 pointtype 12 pointsize 0.9 linecolor rgb "#009e73"
set linetype 12 linewidth 2 dashtype 2 pointtype 8 pointsize 0.9 linecolor rgb "#cc79a7"
set linetype 13 linewidth 2 dashtype 2 pointtype 4 pointsize 0.9 linecolor rgb "#e69f00"
set linetype 14 linewidth 2 dashtype 2 pointtype 10 pointsize 0.9 linecolor rgb "#56b4e9"
set linetype 15 linewidth 2 dashtype 2 pointtype 3 pointsize 0.9 linecolor rgb "#000000"
set linetype 16 linewidth 2 dashtype 2 pointtype 15 pointsize 0.9 linecolor rgb "#8a6d00"
set linetype 17 linewidth 2 dashtype 3 pointtype 1 pointsize 0.9 linecolor rgb "#0072b2"
set linetype 18 linewidth 2.5 pointtype 7 pointsize 0.9 linecolor rgb "#000000"
set linetype cycle 18
set palette defined (0 "#00224e", 1 "#123570", 2 "#3b496c", 3 "#575d6d", 4 "#707173", 5 "#8a8678", 6 "#a59c74", 7 "#c3b369", 8 "#e1cc55", 9 "#fee838")
