/*
 * The codebooks of ggml's IQ blocks: 4 or 8 numbers are one entry (ggml-common.h). An
 * entry holds the codes of its numbers, the first in the lowest bits.
 *
 * iq2_*  8 codes of 2 bits: magnitudes 8, 25, 43
 * iq3_xxs  4 codes of 3 bits: 4, 12, 20, 28, 36, 44, 52, 62
 * iq3_s  4 codes of 3 bits: 1, 3, 5 ... 15
 * iq1  8 codes of 2 bits: -1, 0, 1
 */
#ifndef MLS_GGML_GRIDS_H
#define MLS_GGML_GRIDS_H

#include <stdint.h>

extern const uint16_t mls_ggml_grid_iq2_xxs[256], mls_ggml_grid_iq2_xs[512],
    mls_ggml_grid_iq2_s[1024], mls_ggml_grid_iq3_xxs[256], mls_ggml_grid_iq3_s[512],
    mls_ggml_grid_iq1[2048];

#endif
