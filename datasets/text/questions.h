/* Multiple-choice questions of a user's own, one JSON object a line. */
#ifndef MLS_QUESTIONS_H
#define MLS_QUESTIONS_H

#include <stddef.h>

#include "common/base/status.h"
#include "common/system/hash.h"

enum { MLS_CHOICES_MAX = 64 }; /* of one question */

typedef struct mls_question {
    char *context;    /* may be empty */
    char **choice;    /* (n), none empty */
    size_t n, answer; /* answer < n */
} mls_question;

typedef struct mls_questions {
    size_t n;
    mls_question *question; /* (n) */
    char sha256[MLS_SHA256_HEX];
} mls_questions;

/**
 * {"context": TEXT, "choices": [TEXT, TEXT...], "answer": N}, N counted from 0; other
 * members are passed over.
 *
 * @param[out] out  release with mls_questions_free(); {0} on error
 * @return MLS_OK, MLS_E_INPUT (file and line: not JSON, not such an object, fewer than
 *         two choices, more than MLS_CHOICES_MAX, an empty one, one twice, an answer
 *         that is none of them, a 0 in a text; no lines), MLS_E_IO or MLS_E_NOMEM
 */
mls_status mls_questions_read(mls_questions *out, const char *path, mls_err *err);
void mls_questions_free(mls_questions *q); /* {0} is accepted */

#endif
