# Which chunks carry the keys of a layer? From a capture, with hdf5r (Debian: r-cran-hdf5r).
#
# Usage: Rscript wavelengths.R run.h5
# R counts from 1 and turns the order of dimensions round: (chunk, kv_head, sequence, layer).
suppressPackageStartupMessages(library(hdf5r))
file <- H5File$new(commandArgs(trailingOnly = TRUE)[1], mode = "r")
norms <- file[["norms/k"]][, , , ]
wavelength <- file[["axes/wavelength"]][]
cat("dims:", dim(norms), "\n")
for (layer in seq_len(dim(norms)[4])) {
  strongest <- which.max(apply(norms[, , , layer], 1, mean))
  cat(sprintf("layer %d: the strongest chunk is %d, one turn in %.0f tokens\n",
              layer - 1, strongest - 1, wavelength[strongest]))
}
invisible(file$close_all())
