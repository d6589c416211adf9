/*
 * A self-contained HTML page: sections, tables, pictures, nothing loaded from outside.
 */
#ifndef MLS_PAGE_H
#define MLS_PAGE_H

#include "common/base/buf.h"
#include "common/base/status.h"
#include "reports/page/table.h"

/** A page being written, in order. Memory failures are remembered until _finish. */
typedef struct mls_page mls_page;

/** @param title  plain text, copied. NULL when memory is short. */
mls_page *mls_page_new(const char *title);
void mls_page_free(mls_page *p); /* NULL is accepted */

/** Begin a section: an entry of the table of contents. @param id  letters and '-' */
void mls_page_section(mls_page *p, const char *id, const char *title);
/** A smaller heading inside a section. */
void mls_page_heading(mls_page *p, const char *title);
/** A paragraph of plain text; everything is escaped. */
void mls_page_text(mls_page *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/** A line of figures that matter most: value over label, side by side. */
void mls_page_tile(mls_page *p, const char *value, const char *label);
/** Preformatted text: a command, a formula. */
void mls_page_code(mls_page *p, const char *text);
/** A table as it is. */
void mls_page_table(mls_page *p, const mls_table *t);
/** A table folded away under a summary line. */
void mls_page_details(mls_page *p, const char *summary, const mls_table *t);

/** From here on, figures are not drawn: their captions link numbers and script. */
void mls_page_without_pictures(mls_page *p);

/**
 * Draw what mls_plot_write() has written as <name> and show it, with links to its PNG,
 * numbers and script.
 */
mls_status mls_page_figure(mls_page *p, const char *folder, const char *name,
                           const char *caption, mls_err *err);

/** Write the page to path, whole or not at all. */
mls_status mls_page_write(const mls_page *p, const char *path, mls_err *err);

#endif
