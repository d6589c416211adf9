/*
 * A near word is one that a third of its letters away or less by typing mistakes, or
 * one that the word is a part of ("4090" of "rtx4090"); otherwise all known ones are
 * listed. Numbers are whole or refused: no sign, no space, no rest, no overflow.
 */
#include "common/base/words.h"

#include <ctype.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORD_MAX = 63 };

/*
 * Edit distance of words of at most WORD_MAX letters: letters added, left out,
 * replaced, or swapped with their neighbour count one each (optimal string alignment).
 */
static size_t distance(const char *a, const char *b)
{
    const size_t n = strlen(a), m = strlen(b);
    size_t row[3][WORD_MAX + 1]; /* row i % 3 is that of the first i letters of a */

    if (n > WORD_MAX || m > WORD_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= m; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        const size_t *above = row[(i - 1) % 3];
        size_t *own = row[i % 3];

        own[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);

            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (own[j - 1] + 1 < best)
                best = own[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                row[(i - 2) % 3][j - 2] + 1 < best)
                best = row[(i - 2) % 3][j - 2] + 1;
            own[j] = best;
        }
    }
    return row[n % 3][m];
}

enum { PART_MIN = 4 }; /* letters and digits that make a part of a name a hint */

/* Letters and digits alone, small: "RTX 4090" is "rtx4090". */
static void plain(const char *word, char out[WORD_MAX + 1])
{
    size_t n = 0;

    for (; *word && n < WORD_MAX; word++)
        if (isalnum((unsigned char)*word))
            out[n++] = (char)tolower((unsigned char)*word);
    out[n] = '\0';
}

/* The shortest word that this is a part of, or the same in other letters. */
static const char *containing(const char *word, const char *const *words)
{
    char part[WORD_MAX + 1], whole[WORD_MAX + 1];
    const char *best = NULL;

    plain(word, part);
    for (; *words; words++) {
        plain(*words, whole);
        if (strcmp(part, whole) == 0 && *part)
            return *words;
        if (strlen(part) >= PART_MIN && strstr(whole, part) &&
            (!best || strlen(*words) < strlen(best)))
            best = *words;
    }
    return best;
}

const char *mls_nearest(const char *word, const char *const *words)
{
    const char *const *const all = words;
    const char *best = NULL;
    size_t least = (strlen(word) + 1) / 3 + 1; /* so far is no typing mistake */

    for (; *words; words++) {
        const size_t d = distance(word, *words);

        if (d < least) {
            least = d;
            best = *words;
        }
    }
    return best ? best : containing(word, all);
}

const char *mls_suggest(const char *word, const char *const *words,
                        char out[MLS_SUGGESTION])
{
    const char *near = mls_nearest(word, words);
    size_t at = 0;

    out[0] = '\0';
    if (near)
        snprintf(out, MLS_SUGGESTION, "; did you mean %s?", near);
    for (size_t i = 0; !near && words[i] && at < MLS_SUGGESTION; i++)
        at += (size_t)snprintf(out + at, MLS_SUGGESTION - at, "%s%s",
                               i ? ", " : "; known are ", words[i]);
    return out;
}

bool mls_parse_size(const char *text, size_t *out)
{
    size_t n = 0;

    if (!*text)
        return false;
    for (; *text; text++) {
        if (!isdigit((unsigned char)*text) || __builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, (size_t)(*text - '0'), &n))
            return false;
    }
    *out = n;
    return true;
}

bool mls_parse_real(const char *text, double *out)
{
    char *end;
    const double x = strtod(text, &end); /* the program never leaves the C locale */

    if (end == text || *end || !isfinite(x) || isspace((unsigned char)*text))
        return false;
    *out = x;
    return true;
}

bool mls_parse_gib(const char *text, double *out)
{
    const size_t len = strlen(text);
    const char *const units[] = {"GiB", "G", ""};
    char number[32];

    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        const size_t n = strlen(units[i]);

        if (len <= n || len - n >= sizeof number ||
            strcmp(text + len - n, units[i]) != 0)
            continue;
        snprintf(number, sizeof number, "%.*s", (int)(len - n), text);
        return mls_parse_real(number, out) && *out > 0;
    }
    return false;
}
