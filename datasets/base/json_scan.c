/*
 * A large header as a tree would take many times its bytes. Strings are decoded where
 * they stand, which works because no escape is shorter than what it says; they end in
 * NUL, so that \u0000 is refused. Surrogates must come in pairs, numbers are whole and
 * fit 64 bits.
 */
#include "datasets/base/json_scan.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <utf8proc.h>

#include "common/base/checked.h"

/* A sentence about the place in the file where the parser is. */
mls_status mls_json_scan_fail(const mls_json_scan *s, const char *format, ...)
{
    char what[512];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return mls_fail(s->err, MLS_E_INPUT, "%s: offset %zu: %s", s->path,
                    s->offset + (size_t)(s->p - s->start), what);
}

mls_status mls_json_scan_unexpected(const mls_json_scan *s, const char *expected)
{
    if (s->p == s->end)
        return mls_json_scan_fail(s, "the text ends, expected %s", expected);
    if ((unsigned char)*s->p < 0x20 || (unsigned char)*s->p > 0x7e)
        return mls_json_scan_fail(s, "found byte 0x%02x, expected %s",
                                  (unsigned char)*s->p, expected);
    return mls_json_scan_fail(s, "found '%c', expected %s", *s->p, expected);
}

static void skip_space(mls_json_scan *s)
{
    while (s->p < s->end &&
           (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t'))
        s->p++;
}

bool mls_json_scan_at(const mls_json_scan *s, char c)
{
    return s->p < s->end && *s->p == c;
}

bool mls_json_scan_word(mls_json_scan *s, const char *word)
{
    const size_t len = strlen(word);

    skip_space(s);
    if ((size_t)(s->end - s->p) < len || memcmp(s->p, word, len) != 0)
        return false;
    s->p += len;
    skip_space(s);
    return true;
}

mls_status mls_json_scan_char(mls_json_scan *s, char c)
{
    const char text[] = {'\'', c, '\'', '\0'};

    skip_space(s);
    if (!mls_json_scan_at(s, c))
        return mls_json_scan_unexpected(s, text);
    s->p++;
    skip_space(s);
    return MLS_OK;
}

mls_status mls_json_scan_next(mls_json_scan *s, char close, bool *more)
{
    skip_space(s);
    *more = mls_json_scan_at(s, ',');
    return mls_json_scan_char(s, *more ? ',' : close);
}

static mls_status hex4(mls_json_scan *s, unsigned *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++, s->p++) {
        const char c = s->p < s->end ? *s->p : '\0';
        unsigned digit;

        if (c >= '0' && c <= '9')
            digit = (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (unsigned)(c - 'a') + 10;
        else if (c >= 'A' && c <= 'F')
            digit = (unsigned)(c - 'A') + 10;
        else
            return mls_json_scan_unexpected(s, "four hex digits after \\u");
        *out = *out * 16 + digit;
    }
    return MLS_OK;
}

/* \uXXXX, or two of them for a code point past 0xffff; p is after the first \u. */
static mls_status unicode_escape(mls_json_scan *s, char **to)
{
    unsigned high, low;
    mls_status st = hex4(s, &high);

    if (st)
        return st;
    if (high >= 0xd800 && high < 0xdc00) {
        if (s->end - s->p < 2 || s->p[0] != '\\' || s->p[1] != 'u')
            return mls_json_scan_fail(s, "\\u%04x is half of a surrogate pair", high);
        s->p += 2;
        st = hex4(s, &low);
        if (st)
            return st;
        if (low < 0xdc00 || low > 0xdfff)
            return mls_json_scan_fail(s, "\\u%04x\\u%04x is no surrogate pair", high,
                                      low);
        high = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    } else if (high >= 0xdc00 && high < 0xe000) {
        return mls_json_scan_fail(s, "\\u%04x is half of a surrogate pair", high);
    }
    if (high == 0)
        return mls_json_scan_fail(s, "\\u0000 in a string");
    *to += utf8proc_encode_char((utf8proc_int32_t)high, (utf8proc_uint8_t *)*to);
    return MLS_OK;
}

static mls_status escape(mls_json_scan *s, char **to)
{
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    const char *at;

    s->p++;
    if (s->p < s->end && *s->p == 'u') {
        s->p++;
        return unicode_escape(s, to);
    }
    at = s->p < s->end && *s->p ? strchr(from, *s->p) : NULL;
    if (!at)
        return mls_json_scan_unexpected(s, "an escape of JSON after '\\'");
    *(*to)++ = into[at - from];
    s->p++;
    return MLS_OK;
}

mls_status mls_json_scan_string(mls_json_scan *s, const char **out)
{
    char *to;
    mls_status st;

    if (!mls_json_scan_at(s, '"'))
        return mls_json_scan_unexpected(s, "a string");
    to = ++s->p;
    *out = to;
    while (s->p < s->end && *s->p != '"') {
        const unsigned char c = (unsigned char)*s->p;

        if (c == '\\') {
            st = escape(s, &to);
            if (st)
                return st;
        } else if (c < 0x20) {
            return mls_json_scan_unexpected(s, "a character of a string");
        } else if (c < 0x80) {
            *to++ = *s->p++;
        } else {
            utf8proc_int32_t code;
            const utf8proc_ssize_t n =
                utf8proc_iterate((const utf8proc_uint8_t *)s->p, s->end - s->p, &code);

            if (n < 1)
                return mls_json_scan_fail(s, "byte 0x%02x is not UTF-8", c);
            memmove(to, s->p, (size_t)n);
            to += n;
            s->p += n;
        }
    }
    if (s->p == s->end)
        return mls_json_scan_unexpected(s, "'\"'");
    s->p++;
    *to = '\0';
    return MLS_OK;
}

mls_status mls_json_scan_u64(mls_json_scan *s, uint64_t *out)
{
    const char *first = s->p;
    uint64_t x = 0;

    while (s->p < s->end && *s->p >= '0' && *s->p <= '9') {
        if (!mls_mul_u64(&x, x, 10) || !mls_add_u64(&x, x, (uint64_t)(*s->p - '0')))
            return mls_json_scan_fail(s, "a number is larger than 2^64 - 1");
        s->p++;
    }
    if (s->p == first)
        return mls_json_scan_unexpected(s, "a whole number");
    if (*first == '0' && s->p - first > 1)
        return mls_json_scan_fail(s, "a number begins with 0");
    if (s->p < s->end && (*s->p == '.' || *s->p == 'e' || *s->p == 'E'))
        return mls_json_scan_unexpected(s,
                                        "a whole number without fraction or exponent");
    *out = x;
    return MLS_OK;
}
