/* Is a text foreign to the model? Then figures measured on it say little. */
#ifndef MLS_FOREIGN_H
#define MLS_FOREIGN_H

#include <stdbool.h>
#include <stddef.h>

#include "bench/evaluate/compare.h"

/** What is known of a text under a model; NaN: not known. */
typedef struct mls_foreign {
    double nll;        /* of the original, nat per token */
    size_t V;          /* vocabulary */
    double byte_share; /* mls_tokenizer_byte_share() */
    char easier[256];  /* a compressed setting that loses less; "": none */
    double easier_by;  /* nat */
} mls_foreign;

/**
 * One sentence with every sign of it: a perplexity of half the vocabulary or more,
 * where guessing among all tokens has all of it; a quarter of the tokens single bytes
 * of characters that the tokenizer has not; a loss that falls when the cache is
 * compressed. @return false: none, and out is ""
 */
bool mls_foreign_text(char *out, size_t size, const mls_foreign *f);

/**
 * Look for a setting that is better than the original by more than twice the half width
 * of the difference's interval, though it changes it (KL above 0.05 nat).
 */
void mls_foreign_compare(mls_foreign *f, const mls_comparison *c,
                         const mls_setting *setting);

#endif
