/* A pull scanner for large JSON headers: no tree, strings decoded in place. */
#ifndef MLS_JSON_SCAN_H
#define MLS_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

/** start <= p <= end; what is behind p may be overwritten by decoded strings. */
typedef struct mls_json_scan {
    char *start, *p, *end;
    size_t offset; /* of start in its file, for messages */
    const char *path;
    mls_err *err;
} mls_json_scan;

/** MLS_E_INPUT with path, the offset of p in the file and a sentence. */
mls_status mls_json_scan_fail(const mls_json_scan *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/** The same: "found 'x', expected ...". */
mls_status mls_json_scan_unexpected(const mls_json_scan *s, const char *expected);

/** Step over the character c, and the space around it. */
mls_status mls_json_scan_char(mls_json_scan *s, char c);
/** After an item of {...} or [...]: *more tells a comma from the closing character. */
mls_status mls_json_scan_next(mls_json_scan *s, char close, bool *more);
/** Is the next character c? Nothing is consumed. */
bool mls_json_scan_at(const mls_json_scan *s, char c);
/** Step over a word and the space around it when it comes next: true, null. */
bool mls_json_scan_word(mls_json_scan *s, const char *word);

/**
 * A string: UTF-8 and escapes are checked; NUL and half surrogate pairs are refused.
 * @param[out] out  ends in NUL, lies in the scanned text
 */
mls_status mls_json_scan_string(mls_json_scan *s, const char **out);
/** A whole number of 0 .. 2^64 - 1, without sign, fraction or exponent. */
mls_status mls_json_scan_u64(mls_json_scan *s, uint64_t *out);

#endif
