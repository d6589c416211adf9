/* What a tokenizer splits on or replaces: literal text or a regular expression. */
#ifndef MLS_PATTERN_H
#define MLS_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/status.h"
#include "datasets/base/json_members.h"

/** Holds match scratch, so one thread at a time. */
typedef struct mls_pattern mls_pattern;

typedef enum mls_dialect {
    MLS_LITERAL,   /* the text itself */
    MLS_ONIGURUMA, /* as in tokenizer.json; untrusted, rewritten for PCRE2 */
    MLS_PCRE2,     /* ours */
} mls_dialect;

/**
 * Compile a pattern of len bytes of UTF-8. Oniguruma's syntax is rewritten where PCRE2
 * means something else (white space, word characters, scripts); what could differ and
 * is not rewritten is refused by name. Matching has limits on steps and memory.
 *
 * @param where     begins the sentence of an error
 * @param[out] out  release with mls_pattern_free(); NULL on error
 * @return MLS_OK, MLS_E_INPUT or MLS_E_NOMEM
 */
mls_status mls_pattern_new(mls_pattern **out, mls_dialect dialect, const char *source,
                           size_t len, const char *where, mls_err *err);
void mls_pattern_free(mls_pattern *p); /* NULL is accepted */

/** Compile the member "pattern" of a part: {"String": ...} or {"Regex": ...}. */
mls_status mls_pattern_read(mls_pattern **out, const json_t *part, const char *where,
                            mls_err *err);

/** A walk over the matches in one text; starts as {0}. */
typedef struct mls_scan {
    size_t from;     /* where the next search begins */
    size_t last_end; /* end of the last match */
    bool any;        /* there was a match */
} mls_scan;

/**
 * The next match after the last one, which may be empty but not where the last one
 * ended. The text is valid UTF-8 of len bytes, the same in each call of a walk.
 *
 * @param[out] found  false at the end; then begin and end are left alone
 * @return MLS_OK, MLS_E_INPUT (the pattern exceeds its limits on this text),
 * MLS_E_NOMEM
 */
mls_status mls_pattern_next(mls_pattern *p, const char *text, size_t len,
                            mls_scan *scan, bool *found, size_t *begin, size_t *end,
                            mls_err *err);

#endif
