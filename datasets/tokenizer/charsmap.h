/* SentencePiece's precompiled_charsmap: text to text by a table of sequences. */
#ifndef MLS_CHARSMAP_H
#define MLS_CHARSMAP_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/status.h"

typedef struct mls_charsmap mls_charsmap;

/**
 * @param base64    as a tokenizer.json holds it
 * @param longest   at every place the longest sequence, as SentencePiece takes it; else
 *                  as the library tokenizers does: graphemes, and of each the shortest
 * @param[out] out  release with mls_charsmap_free(); NULL on error
 * @return MLS_OK, MLS_E_INPUT (not a table; where says in what) or MLS_E_NOMEM
 */
mls_status mls_charsmap_new(mls_charsmap **out, const char *base64, size_t len,
                            bool longest, const char *where, mls_err *err);
void mls_charsmap_free(mls_charsmap *m); /* NULL is accepted */

/**
 * Append what valid UTF-8 becomes.
 * @param[out] start_kept  false when the first character became nothing; else as it was
 */
void mls_charsmap_run(const mls_charsmap *m, const char *text, size_t len, mls_buf *out,
                      bool *start_kept);

#endif
