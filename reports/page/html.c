/*
 * Five characters mean something to HTML, in text or in attributes, and are written as
 * entities in both; control characters are no part of any page.
 */
#include "reports/page/html.h"

#include <stdbool.h>
#include <string.h>

/* A control character is no part of a page, U+FFFD stands for it. */
static bool is_control(char c)
{
    const unsigned char u = (unsigned char)c;

    return (u < 0x20 && u != '\t' && u != '\n') || u == 0x7f;
}

void mls_html_escape(mls_buf *out, const char *text)
{
    mls_html_escape_some(out, text, strlen(text));
}

void mls_html_escape_some(mls_buf *out, const char *text, size_t n)
{
    for (const char *end = text + n; text < end; text++) {
        switch (*text) {
        case '<':
            mls_buf_puts(out, "&lt;");
            break;
        case '>':
            mls_buf_puts(out, "&gt;");
            break;
        case '&':
            mls_buf_puts(out, "&amp;");
            break;
        case '"':
            mls_buf_puts(out, "&quot;");
            break;
        case '\'':
            mls_buf_puts(out, "&#39;");
            break;
        default:
            if (is_control(*text))
                mls_buf_puts(out, "\xef\xbf\xbd");
            else
                mls_buf_add(out, text, 1);
        }
    }
}
