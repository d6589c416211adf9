#include "reports/page/html.h"

void mls_html_escape(mls_buf *out, const char *text)
{
    for (; *text; text++) {
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
            mls_buf_add(out, text, 1);
        }
    }
}
