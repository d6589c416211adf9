/* The "normalizer" of tokenizer.json: text to text. */
#ifndef MLS_NORMALIZER_H
#define MLS_NORMALIZER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/status.h"
#include "datasets/base/json_members.h"

/** Longest text inside the tokenizer, in bytes: offsets fit 32 bits. */
#define MLS_TOKENIZER_TEXT_MAX ((size_t)1 << 30)

/** Steps done one after the other. Holds match scratch, so one thread at a time. */
typedef struct mls_normalizer mls_normalizer;

/**
 * NFC, NFD, NFKC, NFKD, Lowercase, Strip, Prepend, Replace and Sequence.
 *
 * @param part      the "normalizer" value; NULL or JSON null: no steps
 * @param[out] out  release with mls_normalizer_free(); NULL on error
 * @return MLS_OK, MLS_E_INPUT (another type, by name; a setting) or MLS_E_NOMEM
 */
mls_status mls_normalizer_new(mls_normalizer **out, const json_t *part, mls_err *err);
void mls_normalizer_free(mls_normalizer *n); /* NULL is accepted */

/**
 * Normalize valid UTF-8 in place of what `out` holds.
 *
 * @return MLS_OK, MLS_E_INPUT (a pattern's limits, a result that is too long) or
 *         MLS_E_NOMEM
 */
mls_status mls_normalizer_run(mls_normalizer *n, const char *text, size_t len,
                              mls_buf *out, mls_err *err);

/** Whether a step may put in characters that were not there. */
bool mls_normalizer_grows(const mls_normalizer *n);

/** A type of ours: as Precompiled, with the sequences that SentencePiece takes. */
#define MLS_NORMALIZER_LONGEST "PrecompiledLongest"

/** Whether the last run took nothing away before the first character of its result. */
bool mls_normalizer_start_kept(const mls_normalizer *n);

#endif
