# The best setting of each class and size. From a CSV of compare or evaluate.
#
# Usage: Rscript tables.R settings.csv
table <- read.csv(commandArgs(trailingOnly = TRUE)[1], comment.char = "#")
table <- table[table$setting != "original", ]
table$kept <- round(table$kept_percent, 1)
for (one in split(table, list(table$served_by, table$kept), drop = TRUE)) {
  best <- one[which.min(one$kl), ]
  cat(sprintf("%s, kept %.1f %%: %s, KL %.4f\n", best$served_by, best$kept, best$setting, best$kl))
}
