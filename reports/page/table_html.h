/* A table as HTML. */
#ifndef MLS_TABLE_HTML_H
#define MLS_TABLE_HTML_H

#include <stdbool.h>

#include "reports/page/table.h"

/**
 * Append <table>, and outside of a page its notes.
 *
 * @param in_page  with what the page's script and style need: keys of columns, headings
 *                 linked to the glossary, in short tables headings in every cell for
 *                 narrow screens
 */
void mls_table_html(const mls_table *t, bool in_page, mls_buf *out);

/** The notes alone: in a page they stand below the box that a long table scrolls in. */
void mls_table_notes_html(const mls_table *t, mls_buf *out);

/** What stands in front of a table that is a file by itself: encoding and style. */
extern const char mls_table_alone[];

#endif
