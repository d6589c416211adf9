/* The same text in windows of several lengths: does the loss depend on the length? */
#ifndef MLS_LENGTHS_H
#define MLS_LENGTHS_H

#include <stdbool.h>
#include <stddef.h>

#include "bench/evaluate/evaluate.h"

/** Evaluations of the same variants and tokens, one per length. */
typedef struct mls_lengths {
    size_t n;
    size_t *length;    /* (n) tokens of a window, rising */
    mls_evaluation *e; /* (n) */
} mls_lengths;

/**
 * Cut every window of the corpus into windows of each length and evaluate them.
 *
 * @param length    (n), in any order, none longer than the corpus' windows
 * @param[out] out  release with mls_lengths_free(); {0} on error
 * @return MLS_OK, MLS_E_INPUT (a length that no window has) or as mls_evaluate()
 */
mls_status mls_lengths_measure(mls_lengths *out, const mls_method_input *in,
                               const mls_corpus *corpus, const size_t *length, size_t n,
                               const mls_variant *variants, size_t n_variants,
                               const mls_evaluate_options *options,
                               const mls_progress *progress, mls_err *err);
void mls_lengths_free(mls_lengths *l); /* {0} is accepted */

/**
 * Two variants of which one loses less at one length and the other at another, both by
 * more than their intervals; false when there is no such pair.
 */
bool mls_lengths_turn(const mls_lengths *l, size_t *one, size_t *other);
/** The variant whose KL differs most between two lengths beyond its intervals. */
bool mls_lengths_moved(const mls_lengths *l, size_t *variant);

#endif
