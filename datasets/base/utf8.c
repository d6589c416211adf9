/*
 * utf8proc refuses overlong forms, surrogates and what is beyond U+10FFFF. ASCII is
 * passed without a call: most text is that.
 */
#include "datasets/base/utf8.h"

#include <utf8proc.h>

size_t mls_utf8_check(const char *text, size_t len)
{
    const utf8proc_uint8_t *p = (const utf8proc_uint8_t *)text;

    for (size_t i = 0; i < len;) {
        utf8proc_int32_t c;

        if (p[i] < 0x80) {
            i++;
            continue;
        }
        /* Four bytes at most are looked at, so the length never overflows. */
        const size_t left = len - i < 4 ? len - i : 4;
        const utf8proc_ssize_t n = utf8proc_iterate(p + i, (utf8proc_ssize_t)left, &c);
        if (n <= 0)
            return i;
        i += (size_t)n;
    }
    return len;
}

int32_t mls_utf8_next(const char *text, size_t len, size_t *i)
{
    const utf8proc_uint8_t *p = (const utf8proc_uint8_t *)text + *i;
    const size_t left = len - *i < 4 ? len - *i : 4;
    utf8proc_int32_t c;

    if (*p < 0x80) {
        ++*i;
        return *p;
    }
    *i += (size_t)utf8proc_iterate(p, (utf8proc_ssize_t)left, &c);
    return c;
}

size_t mls_utf8_before(const char *text, size_t i)
{
    do
        i--;
    while (i > 0 && ((unsigned char)text[i] & 0xC0) == 0x80);
    return i;
}

size_t mls_utf8_put(int32_t code_point, char out[4])
{
    return (size_t)utf8proc_encode_char(code_point, (utf8proc_uint8_t *)out);
}

bool mls_is_white_space(int32_t c)
{
    return (c >= 0x9 && c <= 0xD) || c == 0x20 || c == 0x85 || c == 0xA0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}
