/* Words of the field, each with one sentence, its formula and where it is computed. */
#ifndef MLS_TERMS_H
#define MLS_TERMS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"

typedef struct mls_term {
    const char *id;    /* of its place in the glossary: "kl" */
    const char *words; /* how text calls it, split by '|': "chunk|chunks" */
    const char *title, *means;
    const char *formula; /* NULL: it is no number */
    const char *where;   /* page of docs/methods; NULL: none */
} mls_term;

/** Ends with {0}. */
extern const mls_term mls_terms[];

enum { MLS_TERMS_MAX = 64 };

/** Which terms were explained already: one place is enough. */
typedef struct mls_terms_seen {
    bool term[MLS_TERMS_MAX];
} mls_terms_seen;

/**
 * Append text as HTML; the first time that a term stands in it, it links to the
 * glossary. Words of settings ("rank=64", "--keep") are none.
 *
 * @param seen  terms that were linked before, added to
 */
void mls_terms_mark(mls_buf *out, const char *text, mls_terms_seen *seen);

/** The glossary as a list of definitions. */
void mls_terms_glossary(mls_buf *out);

#endif
