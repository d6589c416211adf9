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

#endif
