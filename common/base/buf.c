/*
 * Room doubles, so that adding n bytes one by one costs O(n). A failure is remembered
 * and asked for once, at the end: text is put together in many small calls, and a check
 * behind each of them would hide what it says.
 */
#include "common/base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void mls_buf_free(mls_buf *b)
{
    free(b->data);
    *b = (mls_buf){0};
}

/* Make room for len more bytes and a NUL. */
static bool grow(mls_buf *b, size_t len)
{
    size_t cap = b->cap ? b->cap : 256;
    char *data;

    if (b->failed || len > SIZE_MAX / 4 - b->len) {
        b->failed = true;
        return false;
    }
    while (cap < b->len + len + 1)
        cap *= 2;
    if (cap == b->cap)
        return true;
    data = realloc(b->data, cap);
    if (!data) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->cap = cap;
    return true;
}

void mls_buf_add(mls_buf *b, const char *text, size_t len)
{
    if (!grow(b, len))
        return;
    if (len)
        memcpy(b->data + b->len, text, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void mls_buf_puts(mls_buf *b, const char *text)
{
    mls_buf_add(b, text, strlen(text));
}

void mls_buf_vprintf(mls_buf *b, const char *format, va_list args)
{
    va_list again;
    int n;

    va_copy(again, args);
    n = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (n < 0 || !grow(b, (size_t)n)) {
        b->failed = true;
        return;
    }
    vsnprintf(b->data + b->len, (size_t)n + 1, format, args);
    b->len += (size_t)n;
}

void mls_buf_printf(mls_buf *b, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    mls_buf_vprintf(b, format, args);
    va_end(args);
}

void mls_buf_shell(mls_buf *b, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789_-./=,:+*@%";

    if (word[0] && strspn(word, plain) == strlen(word)) {
        mls_buf_puts(b, word);
        return;
    }
    mls_buf_puts(b, "'");
    for (const char *p = word; *p; p++)
        if (*p == '\'')
            mls_buf_puts(b, "'\\''");
        else
            mls_buf_add(b, p, 1);
    mls_buf_puts(b, "'");
}
