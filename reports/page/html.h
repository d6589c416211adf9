/* Text inside HTML: names from files are untrusted. */
#ifndef MLS_HTML_H
#define MLS_HTML_H

#include "common/base/buf.h"

/** Append text with <, >, & and quotes escaped. */
void mls_html_escape(mls_buf *out, const char *text);

#endif
