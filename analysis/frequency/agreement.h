/* How far two choices of chunks agree. */
#ifndef MLS_AGREEMENT_H
#define MLS_AGREEMENT_H

#include <stddef.h>
#include <stdint.h>

#include "analysis/frequency/selection.h"

/** Chunks among the first a_n of a and the first b_n of b. */
size_t mls_order_common(const uint16_t *a, size_t a_n, const uint16_t *b, size_t b_n);

/**
 * Add weight * (how far two rankings of G heads agree), mean over heads: to overlap[i]
 * the share of the first chunks[i] that both have, to *correlation Spearman's.
 */
void mls_order_agreement(const uint16_t *a, const uint16_t *b, size_t G, size_t C,
                         const size_t *chunks, size_t n_chunks, double weight,
                         double *overlap, double *correlation);

/**
 * |A and B| / |A or B| of the kept chunks, mean over heads; two empty sets agree: 1.
 */
double mls_selection_jaccard(const mls_selection *a, const mls_selection *b);

#endif
