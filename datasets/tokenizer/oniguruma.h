/* Oniguruma's regular expressions, said in PCRE2's words. */
#ifndef MLS_ONIGURUMA_H
#define MLS_ONIGURUMA_H

#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/status.h"

/**
 * Rewrite a pattern of tokenizer.json, which is meant for Oniguruma 6.9 with its own
 * syntax and UTF-8, for PCRE2 10.40 or later with PCRE2_UTF | PCRE2_UCP |
 * PCRE2_MULTILINE and LF as the newline. Constructs that the two read differently and
 * that have no rewriting are refused with their offset; so is whatever is unknown.
 *
 * @param where     begins the sentence of an error
 * @param[out] out  appended to
 * @return MLS_OK, MLS_E_INPUT or MLS_E_NOMEM
 */
mls_status mls_oniguruma_to_pcre2(const char *source, size_t len, const char *where,
                                  mls_buf *out, mls_err *err);

#endif
