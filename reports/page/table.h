/*
 * Tables of results: one object, printed as text, Markdown, CSV, JSON, JSON lines,
 * HTML.
 */
#ifndef MLS_TABLE_H
#define MLS_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/status.h"

typedef enum mls_format {
    MLS_FORMAT_TABLE, /* aligned text for a terminal */
    MLS_FORMAT_MD,
    MLS_FORMAT_CSV, /* RFC 4180, full precision, through libcsv */
    MLS_FORMAT_JSON,
    MLS_FORMAT_JSONL,
    MLS_FORMAT_HTML, /* a <table> for the report */
} mls_format;

/** "table", "md", "csv", "json", "jsonl" or "html"; MLS_E_ARG names these. */
mls_status mls_format_parse(mls_format *format, const char *text, mls_err *err);

/** Rows of typed cells. Memory failures are remembered and reported by the writer. */
typedef struct mls_table mls_table;

/** @param title  may be NULL; copied */
mls_table *mls_table_new(const char *title);
void mls_table_free(mls_table *t); /* NULL is accepted */

/**
 * Add a column before the first row.
 * @param key       for CSV and JSON: lower_case_with_underscores
 * @param heading   for people: "KL"
 * @param unit      "bytes", "nat", "%", "" ...; shown in the heading and column sidecar
 * @param decimals  shown in TABLE, MD, HTML; -1: %.4g. CSV and JSON keep full precision
 */
void mls_table_column(mls_table *t, const char *key, const char *heading,
                      const char *unit, int decimals);
typedef struct mls_column {
    const char *key, *heading, *unit;
    int decimals;
} mls_column;
/** Several columns, each in braces: MLS_COLUMNS(t, {"kl", "KL", "nat", 5}, ...) */
#define MLS_COLUMNS(t, ...)                                                            \
    mls_table_add_columns((t), (const mls_column[]){__VA_ARGS__},                      \
                          sizeof((const mls_column[]){__VA_ARGS__}) /                  \
                              sizeof(mls_column))
void mls_table_add_columns(mls_table *t, const mls_column *columns, size_t n);
/** The last column is a detail: TABLE, which must fit a screen, leaves it out. */
void mls_table_detail(mls_table *t);
/** The last column, and all after it, are for programs: in CSV and JSON alone. */
void mls_table_data(mls_table *t);
void mls_table_row(mls_table *t);                 /* begins a row */
void mls_table_text(mls_table *t, const char *s); /* next cell; copied */
/** The same from a buffer, which is released; the table fails where the buffer did. */
void mls_table_buf(mls_table *t, mls_buf *text);
void mls_table_real(mls_table *t, double x); /* NaN: empty cell */
void mls_table_count(mls_table *t, long long n);
void mls_table_empty(mls_table *t); /* a cell without a value */
/**
 * The next cells at once: "%s %g %zu %d - %lld", a text, a real, counts, an empty cell.
 */
void mls_table_cells(mls_table *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/** Begins a row with such cells. */
void mls_table_line(mls_table *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** A line under the table for people ("95 % intervals over sequences"); copied. */
void mls_table_note(mls_table *t, const char *note);
/** The same as printf would print it. */
void mls_table_say(mls_table *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/** Key and value that open every format ("model", "text", "command"); copied. */
void mls_table_meta(mls_table *t, const char *key, const char *value);

/**
 * Append the table to out in one format.
 * @return MLS_OK, or MLS_E_NOMEM for any memory that was short since mls_table_new()
 */
mls_status mls_table_print(const mls_table *t, mls_format format, mls_buf *out,
                           mls_err *err);

/** MLS_FORMAT_TABLE with at most so many characters a line, the rest of a row below. */
mls_status mls_table_print_within(const mls_table *t, size_t width, mls_buf *out,
                                  mls_err *err);

/* --- What people see of it, cell by cell --- */

enum { MLS_TABLE_TEXT = 400 }; /* holds DBL_MAX with 17 decimals */

size_t mls_table_rows(const mls_table *t);
size_t mls_table_columns(const mls_table *t);    /* without those for programs */
const char *mls_table_title(const mls_table *t); /* NULL: none */
const char *mls_table_key(const mls_table *t, size_t col);
/** Heading and unit, cut at the size. */
void mls_table_heading(const mls_table *t, size_t col, char out[MLS_TABLE_TEXT]);
bool mls_table_is_text(const mls_table *t, size_t col); /* of any row */
bool mls_table_is_detail(const mls_table *t, size_t col);
/** @return the cell's own text, or its number in `number`; "-": empty */
const char *mls_table_shown(const mls_table *t, size_t row, size_t col,
                            char number[MLS_TABLE_TEXT]);
const char *mls_table_note_at(const mls_table *t, size_t i); /* NULL: no more */

#endif
