/* Text inside HTML: names from files are untrusted. */
#ifndef MLS_HTML_H
#define MLS_HTML_H

#include <stddef.h>

#include "common/base/buf.h"

/** Append text with <, >, & and quotes escaped. */
void mls_html_escape(mls_buf *out, const char *text);

/** The same of the first n bytes of text. */
void mls_html_escape_some(mls_buf *out, const char *text, size_t n);

#endif
