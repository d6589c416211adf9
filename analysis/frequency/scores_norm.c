/*
 * Chunk c of KV head g gets the sum over its query heads of |q_hc| |k_gc| (2_norm.py at
 * 7a56785) or of |q_hc| + |k_gc| (v1, 94467d1). Norms are means over tokens; a rotation
 * does not change them.
 */
#include "analysis/frequency/scores_norm.h"

void mls_scores_norm(double *score, const double *q_norm, const double *k_norm,
                     size_t H, size_t G, size_t C, mls_norm_form form)
{
    const size_t group = H / G;

    for (size_t g = 0; g < G; g++)
        for (size_t c = 0; c < C; c++) {
            const double k = k_norm[g * C + c];
            double sum = 0.0;

            for (size_t h = g * group; h < (g + 1) * group; h++) {
                const double q = q_norm[h * C + c];

                sum += form == MLS_NORM_PRODUCT ? q * k : q + k;
            }
            score[g * C + c] = sum;
        }
}
