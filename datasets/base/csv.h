/* CSV tables with a header row, read whole through libcsv. */
#ifndef MLS_CSV_H
#define MLS_CSV_H

#include <stddef.h>

#include "common/base/status.h"

/** Cells are NUL-terminated text, owned by the table. */
typedef struct mls_csv {
    size_t n_rows, n_columns; /* without the header */
    char **header;            /* (n_columns) */
    char **cells;             /* (n_rows, n_columns) */
} mls_csv;

/**
 * @return MLS_OK, MLS_E_INPUT (missing, broken quoting: line; a row with another number
 *         of cells: line, found, expected; twice the same header), MLS_E_NOMEM
 */
mls_status mls_csv_read(mls_csv *csv, const char *path, mls_err *err);
void mls_csv_free(mls_csv *csv); /* {0} is accepted */

/** Index of a column; n_columns when there is none. */
size_t mls_csv_column(const mls_csv *csv, const char *name);
/** row < n_rows, column < n_columns; "" where the cell is empty. Borrowed. */
const char *mls_csv_cell(const mls_csv *csv, size_t row, size_t column);

/**
 * One row that is being read. The first problem stays in `st`, which saves a check
 * behind every cell.
 */
typedef struct mls_csv_cursor {
    const mls_csv *csv;
    const char *path;
    size_t row;
    mls_err *err;
    mls_status st;
} mls_csv_cursor;

/** A cell by its column; "" where it is empty. Problem: no such column. Borrowed. */
const char *mls_csv_text(mls_csv_cursor *c, const char *column);
/** Its number, fallback where it is empty. Problem: no number, with its line. */
double mls_csv_real(mls_csv_cursor *c, const char *column, double fallback);
/** Its whole number, 0 where it is empty. */
size_t mls_csv_whole(mls_csv_cursor *c, const char *column);

#endif
