/*
 * A self-contained HTML page that survives being mailed: sections, tables, pictures and
 * their numbers, nothing loaded from outside, no link to a file beside it.
 *
 * A section is one idea: mls_page_section(), one sentence of mls_page_lead() that says
 * what to see and what to do about it, then a figure, then a table:
 *
 *     mls_page_section(page, "healing", "What training repairs");
 *     mls_page_lead(page, "Two minutes of training bring KL from %.3f to %.3f: ...");
 *     mls_page_alt(page, "KL falls from %.2f at step 0 to %.2f at step 200.", ...);
 *     st = mls_page_figure(page, folder, "healing", "KL by training step.", err);
 *     mls_page_table(page, t);
 *
 * Its place on the page is that of its id in the list of reports/report/report.c.
 */
#ifndef MLS_PAGE_H
#define MLS_PAGE_H

#include "common/base/buf.h"
#include "common/base/status.h"
#include "reports/page/table.h"

/** A page being written. Memory failures are remembered until _write. */
typedef struct mls_page mls_page;

/** @param title  plain text, copied. NULL when memory is short. */
mls_page *mls_page_new(const char *title);
void mls_page_free(mls_page *p); /* NULL is accepted */

/**
 * What follows goes into this section: a new one comes after those that there are, one
 * of a known id goes on. Sections in which nothing is written are not on the page.
 *
 * @param id     letters and '-'
 * @param title  also in the table of contents; of a known id the first counts
 */
void mls_page_section(mls_page *p, const char *id, const char *title);
/** The same, empty: what a section wrote before is written again with more. */
void mls_page_section_anew(mls_page *p, const char *id, const char *title);
/** One sentence: what to see here, and what to do about it. */
void mls_page_lead(mls_page *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/** A smaller heading inside a section. */
void mls_page_heading(mls_page *p, const char *title);
/**
 * A paragraph of plain text; everything is escaped. The first time that a section has a
 * term of terms.h, here or in a lead, it is explained where it stands.
 */
void mls_page_text(mls_page *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/** A line of figures that matter most: value over label, side by side. */
void mls_page_tile(mls_page *p, const char *value, const char *label);
/** Preformatted text: a command, a formula. */
void mls_page_code(mls_page *p, const char *text);
/**
 * A table with its CSV, to be sorted by every column, and filtered when it is long.
 * Columns whose heading is a term are linked to its formula.
 */
void mls_page_table(mls_page *p, const mls_table *t);
/** The same folded away under a summary line, on a screen only. */
void mls_page_details(mls_page *p, const char *summary, const mls_table *t);

/** From here on, figures are not drawn: they are captions with their numbers. */
void mls_page_without_pictures(mls_page *p);

/** What the next figure shows, in words and numbers, for who cannot see it. */
void mls_page_alt(mls_page *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/**
 * The next figure is one of several of which the reader picks one: "layer", "3".
 * Without a script, and in print, all are there.
 */
void mls_page_choice(mls_page *p, const char *what, const char *value);
/**
 * Draw what mls_plot_write() has written as <name> and show it, with its numbers.
 * Figures that follow each other stand side by side where there is room.
 */
mls_status mls_page_figure(mls_page *p, const char *folder, const char *name,
                           const char *caption, mls_err *err);

/** Said above all sections, before the rest: what puts all of them in doubt. */
void mls_page_warning(mls_page *p, const char *text);
/** Said above all sections: the page is not finished. "": it is. */
void mls_page_unfinished(mls_page *p, const char *text);
/** Append the page's HTML to out. */
mls_status mls_page_print(const mls_page *p, mls_buf *out, mls_err *err);
/** Write the page to path, whole or not at all; more may be added and written again. */
mls_status mls_page_write(const mls_page *p, const char *path, mls_err *err);

#endif
