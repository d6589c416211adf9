/*
 * On a page a heading is its column's name, a term of the glossary and, on a phone, the
 * label of a card's line, so cells carry it; alone a table brings the few rules of
 * style that it needs.
 */
#include "reports/page/table_html.h"

#include "reports/page/html.h"
#include "reports/page/terms.h"

enum { SHORT = 16 /* rows; on a phone each is a card of its own */ };

/* Of a table by itself, without the page's style sheet. */
const char mls_table_alone[] =
    "<meta charset=\"utf-8\">\n"
    "<style>table{border-collapse:collapse}table,.note{font:14px/1.5 system-ui,"
    "sans-serif}caption{font-weight:600;text-align:left;padding:.4em .8em}th,td{"
    "padding:.25em .8em;border-bottom:1px solid #ddd;text-align:right;"
    "font-variant-numeric:tabular-nums}.text{text-align:left}.note{color:#555;"
    "max-width:70em;margin:.6em .8em}</style>\n";

static void put_head(const mls_table *t, bool in_page, mls_buf *out)
{
    mls_terms_seen seen = {0};
    char text[MLS_TABLE_TEXT];

    mls_buf_puts(out, "<thead><tr>");
    for (size_t c = 0; c < mls_table_columns(t); c++) {
        if (in_page && mls_table_is_detail(t, c))
            continue;
        mls_buf_puts(out, "<th scope=\"col\"");
        if (mls_table_is_text(t, c))
            mls_buf_puts(out, " class=\"text\"");
        if (in_page) {
            mls_buf_puts(out, " data-key=\"");
            mls_html_escape(out, mls_table_key(t, c));
            mls_buf_puts(out, "\"");
        }
        mls_buf_puts(out, ">");
        mls_table_heading(t, c, text);
        if (in_page)
            mls_terms_mark(out, text, &seen);
        else
            mls_html_escape(out, text);
        mls_buf_puts(out, "</th>");
    }
    mls_buf_puts(out, "</tr></thead>\n");
}

static void put_cell(const mls_table *t, size_t r, size_t c, bool named, mls_buf *out)
{
    char text[MLS_TABLE_TEXT];

    mls_buf_puts(out, mls_table_is_text(t, c) ? "<td class=\"text\"" : "<td");
    if (named) {
        mls_table_heading(t, c, text);
        mls_buf_puts(out, " data-head=\"");
        mls_html_escape(out, text);
        mls_buf_puts(out, "\"");
    }
    mls_buf_puts(out, ">");
    mls_html_escape(out, mls_table_shown(t, r, c, text));
    mls_buf_puts(out, "</td>");
}

void mls_table_html(const mls_table *t, bool in_page, mls_buf *out)
{
    const size_t rows = mls_table_rows(t);
    const bool cards = in_page && rows <= SHORT;

    if (!in_page)
        mls_buf_puts(out, mls_table_alone);
    mls_buf_puts(out, cards ? "<table class=\"cards\">\n" : "<table>\n");
    if (mls_table_title(t)) {
        mls_buf_puts(out, "<caption>");
        mls_html_escape(out, mls_table_title(t));
        mls_buf_puts(out, "</caption>\n");
    }
    put_head(t, in_page, out);
    mls_buf_puts(out, "<tbody>\n");
    for (size_t r = 0; r < rows; r++) {
        mls_buf_puts(out, "<tr>");
        for (size_t c = 0; c < mls_table_columns(t); c++)
            if (!in_page || !mls_table_is_detail(t, c))
                put_cell(t, r, c, cards, out);
        mls_buf_puts(out, "</tr>\n");
    }
    mls_buf_puts(out, "</tbody>\n</table>\n");
    if (!in_page)
        mls_table_notes_html(t, out);
}

void mls_table_notes_html(const mls_table *t, mls_buf *out)
{
    for (size_t i = 0; mls_table_note_at(t, i); i++) {
        mls_buf_puts(out, "<p class=\"note\">");
        mls_html_escape(out, mls_table_note_at(t, i));
        mls_buf_puts(out, "</p>\n");
    }
}
