/* Small help with words: the nearest known one for a typing mistake. */
#ifndef MLS_WORDS_H
#define MLS_WORDS_H

#include <stdbool.h>
#include <stddef.h>

/**
 * Closest word of a NULL-terminated list by edit distance, else the shortest that it is
 * a part of ("4090" of "rtx4090"); NULL when none is near.
 */
const char *mls_nearest(const char *word, const char *const *words);

enum { MLS_SUGGESTION = 512 };

/**
 * The end of a sentence about an unknown word: "; did you mean WORD?", or all words
 * where none is near: "; known are A, B, C". Returns out.
 */
const char *mls_suggest(const char *word, const char *const *words,
                        char out[MLS_SUGGESTION]);

/** "" for one, "s" for none and for many: "%zu layer%s". */
static inline const char *mls_plural(size_t n)
{
    return n == 1 ? "" : "s";
}

/** Whole decimal number, digits only; false on anything else or overflow. */
bool mls_parse_size(const char *text, size_t *out);
/** Finite decimal number, '.' whatever the locale; false on anything else. */
bool mls_parse_real(const char *text, double *out);

/** GiB above 0: "24", "24G", "24GiB"; false on anything else, also "24GB". */
bool mls_parse_gib(const char *text, double *out);

#endif
