/*
 * Sentences hold names that strangers chose (tensors, keys, files), so they are made
 * printable here, where every sentence comes through, and not by whom prints them.
 */
#include "common/base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <utf8proc.h>

void mls_make_printable(char *text)
{
    unsigned char *p = (unsigned char *)text;

    while (*p) {
        utf8proc_int32_t code;
        const utf8proc_ssize_t n = utf8proc_iterate(p, -1, &code);

        if (n < 1) {
            *p++ = '?';
            continue;
        }
        if (code < 0x20 || (code >= 0x7f && code < 0xa0))
            memset(p, '?', (size_t)n);
        p += n;
    }
}

mls_status mls_fail(mls_err *err, mls_status status, const char *format, ...)
{
    if (err) {
        va_list args;

        va_start(args, format);
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
        mls_make_printable(err->text);
        err->status = status;
    }
    return status;
}

mls_status mls_fail_in(mls_err *err, mls_status status, const char *format, ...)
{
    if (err) {
        char old[sizeof err->text];
        va_list args;
        int n;

        memcpy(old, err->text, sizeof old);
        va_start(args, format);
        n = vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
        if (n >= 0 && (size_t)n < sizeof err->text)
            snprintf(err->text + n, sizeof err->text - (size_t)n, ": %s", old);
        mls_make_printable(err->text);
        err->status = status;
    }
    return status;
}

int mls_status_exit(mls_status status)
{
    switch (status) {
    case MLS_OK:
        return 0;
    case MLS_E_ARG:
        return 2;
    case MLS_E_INPUT:
        return 3;
    case MLS_E_STOPPED:
        return 75;
    default:
        return 1;
    }
}
