/*
 * Ruby's dialect, which the tokenizers library uses, and PCRE2 agree on most of a
 * pattern and differ where it is not seen: \s, \w, \d and \b of Unicode, scripts,
 * classes in classes. What is known to mean the same is passed, what differs is spelled
 * out, all else is refused.
 */
#include "datasets/tokenizer/oniguruma.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

/* Oniguruma's word characters: CR_Word of its Unicode data inside a class. Outside it
 * looks the first 256 up in a table of Latin-1, where raised digits and fractions are.
 */
#define CLASS_WORD "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
#define WORD CLASS_WORD "\\x{B2}\\x{B3}\\x{B9}\\x{BC}-\\x{BE}"

typedef struct reader {
    const char *source, *where;
    size_t len, i; /* i: next byte */
    mls_buf *out;
    mls_err *err;
} reader;

static mls_status refuse(const reader *r, size_t at, const char *what)
{
    return mls_fail(r->err, MLS_E_INPUT, "%s: pattern at byte %zu: %s", r->where, at,
                    what);
}

/* The byte k places ahead, 0 behind the end (and no pattern needs a NUL byte). */
static char ahead(const reader *r, size_t k)
{
    return k < r->len - r->i ? r->source[r->i + k] : '\0';
}

static bool is_hex(char c)
{
    return c && strchr("0123456789abcdefABCDEF", c);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool starts_with(const reader *r, const char *word)
{
    const size_t n = strlen(word);

    return n <= r->len - r->i && memcmp(r->source + r->i, word, n) == 0;
}

/* \p{...} or \P{...}; i stands on the p. General categories mean the same to both; any
 * other name is taken as a script, which PCRE2 else reads as a script extension. */
static mls_status property(reader *r)
{
    static const char *const categories[] = {
        "C",  "Cc", "Cf", "Cn", "Co", "Cs", "L",  "Ll", "Lm", "Lo", "Lt", "Lu", "M",
        "Mc", "Me", "Mn", "N",  "Nd", "Nl", "No", "P",  "Pc", "Pd", "Pe", "Pf", "Pi",
        "Po", "Ps", "S",  "Sc", "Sk", "Sm", "So", "Z",  "Zl", "Zp", "Zs", NULL,
    };
    static const char *const long_names[][2] = {
        {"Letter", "L"}, {"Mark", "M"},      {"Number", "N"}, {"Punctuation", "P"},
        {"Symbol", "S"}, {"Separator", "Z"}, {NULL, NULL},
    };
    const size_t at = r->i - 1;
    bool negated = r->source[r->i++] == 'P';
    char name[32];
    size_t n = 0;
    const char *category = NULL;

    if (ahead(r, 0) != '{')
        return refuse(r, at, "a property needs braces");
    r->i++;
    if (ahead(r, 0) == '^') {
        negated = !negated;
        r->i++;
    }
    for (; r->i < r->len && ahead(r, 0) != '}'; r->i++) {
        const char c = ahead(r, 0);

        if (n + 1 == sizeof name || !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')))
            return refuse(r, at, "this property is not known");
        name[n++] = c;
    }
    name[n] = '\0';
    if (n == 0 || ahead(r, 0) != '}')
        return refuse(r, at, "this property is not known");
    r->i++;
    for (size_t k = 0; categories[k]; k++)
        if (strcasecmp(name, categories[k]) == 0)
            category = categories[k];
    for (size_t k = 0; long_names[k][0]; k++)
        if (strcasecmp(name, long_names[k][0]) == 0)
            category = long_names[k][1];
    mls_buf_printf(r->out, "\\%c{%s%s}", negated ? 'P' : 'p',
                   category ? "" : "sc:", category ? category : name);
    return MLS_OK;
}

/* \x{H...}, \xHH or \uHHHH; i stands on the letter. */
static mls_status code_point(reader *r)
{
    const size_t at = r->i - 1;
    const bool braces = ahead(r, 0) == 'x' && ahead(r, 1) == '{';
    const size_t want = ahead(r, 0) == 'u' ? 4 : 2;
    char digits[9];
    size_t n = 0;

    r->i += braces ? 2 : 1;
    while (n < (braces ? 8 : want) && is_hex(ahead(r, 0))) {
        digits[n++] = ahead(r, 0);
        r->i++;
    }
    digits[n] = '\0';
    if (braces ? n == 0 || ahead(r, 0) != '}' : n != want)
        return refuse(r, at, "hexadecimal digits expected");
    /* \x80 and above would be a byte inside a code point. */
    if (!braces && want == 2 && digits[0] > '7')
        return refuse(r, at, "this byte is not a code point");
    r->i += braces;
    mls_buf_printf(r->out, "\\x{%s}", digits);
    return MLS_OK;
}

static mls_status escape(reader *r, bool in_class)
{
    static const struct {
        char letter;
        const char *outside, *inside; /* NULL: refused */
    } meanings[] = {
        {'s', "\\p{White_Space}", "\\p{White_Space}"},
        {'S', "\\P{White_Space}", "\\P{White_Space}"},
        {'d', "\\p{Nd}", "\\p{Nd}"},
        {'D', "\\P{Nd}", "\\P{Nd}"},
        {'w', "[" WORD "]", CLASS_WORD},
        {'W', "[^" WORD "]", NULL},
        {'b', "(?:(?<=[" WORD "])(?![" WORD "])|(?<![" WORD "])(?=[" WORD "]))", NULL},
        {'B', "(?:(?<=[" WORD "])(?=[" WORD "])|(?<![" WORD "])(?![" WORD "]))", NULL},
        {'n', "\\x{A}", "\\x{A}"},
        {'r', "\\x{D}", "\\x{D}"},
        {'t', "\\x{9}", "\\x{9}"},
        {'f', "\\x{C}", "\\x{C}"},
        {'v', "\\x{B}", "\\x{B}"},
        {'a', "\\x{7}", "\\x{7}"},
        {'e', "\\x{1B}", "\\x{1B}"},
        {'A', "\\A", NULL},
        {'z', "\\z", NULL},
        {'Z', "\\Z", NULL},
    };
    const size_t at = r->i++;
    const char c = ahead(r, 0);

    if (c == 'p' || c == 'P')
        return property(r);
    if (c == 'x' || c == 'u')
        return code_point(r);
    if (c && strchr("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ ", c)) {
        r->i++;
        mls_buf_add(r->out, "\\", 1);
        mls_buf_add(r->out, &c, 1);
        return MLS_OK;
    }
    for (size_t k = 0; k < sizeof meanings / sizeof meanings[0]; k++) {
        const char *word = in_class ? meanings[k].inside : meanings[k].outside;

        if (meanings[k].letter == c && word) {
            r->i++;
            mls_buf_puts(r->out, word);
            return MLS_OK;
        }
    }
    return refuse(r, at, "this escape is not done");
}

static mls_status class(reader *r)
{
    const size_t at = r->i++;
    bool first = true;

    mls_buf_add(r->out, "[", 1);
    if (ahead(r, 0) == '^') {
        mls_buf_add(r->out, "^", 1);
        r->i++;
    }
    for (; r->i < r->len; first = false) {
        const char c = ahead(r, 0);

        if (c == ']' && !first) {
            mls_buf_add(r->out, "]", 1);
            r->i++;
            return MLS_OK;
        }
        if (c == '[')
            return refuse(r, r->i, "a class inside a class is not done");
        if (c == '&' && ahead(r, 1) == '&')
            return refuse(r, r->i, "an intersection of classes is not done");
        if (c == '\\') {
            if (escape(r, true))
                return MLS_E_INPUT;
            continue;
        }
        if (c == ']') /* first in its class: itself */
            mls_buf_add(r->out, "\\", 1);
        mls_buf_add(r->out, &c, 1);
        r->i++;
    }
    return refuse(r, at, "the class has no end");
}

static mls_status group(reader *r)
{
    static const char *const openings[] = {
        "(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!", "(?i:", "(?-i:", NULL,
    };

    if (ahead(r, 1) != '?' && ahead(r, 1) != '*') {
        mls_buf_add(r->out, "(", 1);
        r->i++;
        return MLS_OK;
    }
    /* In the middle of a pattern the two read an option's reach differently. */
    if (r->i == 0 && starts_with(r, "(?i)")) {
        mls_buf_puts(r->out, "(?i)");
        r->i += 4;
        return MLS_OK;
    }
    for (size_t k = 0; openings[k]; k++)
        if (starts_with(r, openings[k])) {
            mls_buf_puts(r->out, openings[k]);
            r->i += strlen(openings[k]);
            return MLS_OK;
        }
    return refuse(r, r->i, "this kind of group is not done");
}

/* {n}, {n,} or {n,m}; any other brace is itself. */
static mls_status repeat(reader *r)
{
    const size_t at = r->i;
    size_t k = 1;
    bool exact = true;

    if (ahead(r, 1) == ',')
        return refuse(r, at, "a repeat needs its least number");
    while (is_digit(ahead(r, k)))
        k++;
    if (k > 1 && ahead(r, k) == ',') {
        exact = false;
        k++;
        while (is_digit(ahead(r, k)))
            k++;
    }
    if (k == 1 || ahead(r, k) != '}') {
        mls_buf_puts(r->out, "\\{");
        r->i++;
        return MLS_OK;
    }
    k++;
    if (ahead(r, k) == '+' || (exact && ahead(r, k) == '?'))
        return refuse(r, at, "this mark behind a repeat is not done");
    mls_buf_add(r->out, r->source + at, k);
    r->i += k;
    return MLS_OK;
}

mls_status mls_oniguruma_to_pcre2(const char *source, size_t len, const char *where,
                                  mls_buf *out, mls_err *err)
{
    reader r = {.source = source, .where = where, .len = len, .out = out, .err = err};

    while (r.i < r.len) {
        mls_status st = MLS_OK;

        switch (source[r.i]) {
        case '\\':
            st = escape(&r, false);
            break;
        case '[':
            st = class(&r);
            break;
        case '(':
            st = group(&r);
            break;
        case '{':
            st = repeat(&r);
            break;
        default:
            mls_buf_add(out, source + r.i++, 1);
        }
        if (st)
            return st;
    }
    if (out->failed)
        return mls_fail(err, MLS_E_NOMEM, "%s: no memory for the pattern", where);
    return MLS_OK;
}
