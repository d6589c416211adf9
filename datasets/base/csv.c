/*
 * libcsv checks quotes but not shape: that every row has the header's number of cells,
 * that no name stands twice and that there is a header at all is checked here. The mark
 * of UTF-8 that spreadsheets write is passed over, and so is the apostrophe that our
 * own tables put before what would be run as a formula.
 */
#include "datasets/base/csv.h"

#include <stdlib.h>
#include <string.h>

#include <csv.h>

#include "common/base/checked.h"
#include "common/base/words.h"
#include "common/system/files.h"

/* A cell takes 40 bytes at least, of which a file of commas has one each. */
enum { CSV_BYTES_MAX = 1 << 28, COLUMNS_MAX = 4096, CELLS_MAX = 1 << 20 };

/* What libcsv's callbacks fill; the cells of the header come first. */
typedef struct builder {
    char **cells;
    size_t n, cap;
    size_t n_columns; /* 0 until the header row has ended */
    size_t row_first; /* index of the first cell of the row */
    size_t row;       /* rows that have ended, the header too */
    size_t bad_row;   /* first row with a wrong number of cells, from 1; 0: none */
    size_t bad_cells;
    bool no_memory, too_many;
} builder;

static void cell_end(void *field, size_t len, void *arg)
{
    builder *b = arg;
    const char *text = field;
    char *copy;

    /* The apostrophe that a table puts before what a spreadsheet would run. */
    if (len > 1 && text[0] == '\'' && strchr("=+-@'\t\r", text[1])) {
        text++;
        len--;
    }

    b->too_many |= b->n == CELLS_MAX;
    if (b->no_memory || b->too_many)
        return;
    if (b->n == b->cap) {
        const size_t cap = b->cap ? 2 * b->cap : 256;
        char **bigger = realloc(b->cells, cap * sizeof *bigger);

        if (!bigger) {
            b->no_memory = true;
            return;
        }
        b->cells = bigger;
        b->cap = cap;
    }
    copy = malloc(len + 1);
    if (!copy) {
        b->no_memory = true;
        return;
    }
    memcpy(copy, text, len);
    copy[len] = '\0';
    b->cells[b->n++] = copy;
}

static void row_end(int character, void *arg)
{
    builder *b = arg;
    const size_t n = b->n - b->row_first;

    (void)character;
    b->row++;
    b->row_first = b->n;
    if (b->row == 1)
        b->n_columns = n;
    else if (n != b->n_columns && !b->bad_row) {
        b->bad_row = b->row;
        b->bad_cells = n;
    }
}

/* The line, counted from 1, that byte `at` is in. */
static size_t line_of(const char *data, size_t at)
{
    size_t line = 1;

    for (size_t i = 0; i < at; i++)
        line += data[i] == '\n';
    return line;
}

/*
 * libcsv's error is seen before csv_fini(), which forgets it: strict parsing stops
 * early and csv_parse() then returns less than len.
 */
static mls_status parse(builder *b, const char *data, size_t len, const char *path,
                        mls_err *err)
{
    struct csv_parser parser;
    size_t used;
    int at_end;
    mls_status st = MLS_OK;

    if (csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI))
        return mls_fail(err, MLS_E_NOMEM, "no memory to read %s", path);
    used = csv_parse(&parser, data, len, cell_end, row_end, b);
    if (used < len && csv_error(&parser) == CSV_EPARSE) {
        st = mls_fail(err, MLS_E_INPUT, "%s: line %zu: a quote in the wrong place",
                      path, line_of(data, used));
    } else if (used < len) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory to read %s", path);
    } else {
        at_end = csv_fini(&parser, cell_end, row_end, b);
        if (at_end && csv_error(&parser) == CSV_EPARSE)
            st = mls_fail(err, MLS_E_INPUT, "%s: a quote is open at the end", path);
        else if (at_end)
            st = mls_fail(err, MLS_E_NOMEM, "no memory to read %s", path);
    }
    if (!st && b->no_memory)
        st = mls_fail(err, MLS_E_NOMEM, "no memory to read %s", path);
    csv_free(&parser);
    return st;
}

static mls_status check(const builder *b, const char *path, mls_err *err)
{
    if (b->too_many)
        return mls_fail(err, MLS_E_INPUT, "%s: has more than %d cells", path,
                        CELLS_MAX);
    if (b->row == 0)
        return mls_fail(err, MLS_E_INPUT, "%s: is empty: has no header row", path);
    if (b->n_columns > COLUMNS_MAX)
        return mls_fail(err, MLS_E_INPUT, "%s: has %zu columns, at most %d are read",
                        path, b->n_columns, COLUMNS_MAX);
    if (b->bad_row)
        return mls_fail(err, MLS_E_INPUT, "%s: row %zu has %zu cells, expected %zu",
                        path, b->bad_row, b->bad_cells, b->n_columns);
    for (size_t i = 0; i < b->n_columns; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(b->cells[i], b->cells[j]) == 0)
                return mls_fail(err, MLS_E_INPUT,
                                "%s: columns %zu and %zu are both called \"%.100s\"",
                                path, j + 1, i + 1, b->cells[i]);
    return MLS_OK;
}

mls_status mls_csv_read(mls_csv *csv, const char *path, mls_err *err)
{
    static const char mark[] = "\xef\xbb\xbf"; /* of UTF-8, which spreadsheets write */
    builder b = {0};
    char *data = NULL;
    size_t len, skip;
    mls_status st;

    memset(csv, 0, sizeof *csv);
    st = mls_file_read_regular(path, CSV_BYTES_MAX, &data, &len, err);
    if (st)
        return st;
    skip = len >= 3 && memcmp(data, mark, 3) == 0 ? 3 : 0;
    if (memchr(data, '\0', len))
        st = mls_fail(err, MLS_E_INPUT, "%s: has a NUL byte at offset %zu: not text",
                      path, (size_t)((char *)memchr(data, '\0', len) - data));
    if (!st && !(st = parse(&b, data + skip, len - skip, path, err)))
        st = check(&b, path, err);
    free(data);
    csv->header = b.cells; /* one array: the header row, then the cells */
    csv->cells = b.cells ? b.cells + b.n_columns : NULL;
    csv->n_columns = b.n_columns;
    csv->n_rows = b.row ? b.row - 1 : 0;
    if (st) {
        for (size_t i = 0; i < b.n; i++)
            free(b.cells[i]);
        free(b.cells);
        memset(csv, 0, sizeof *csv);
    }
    return st;
}

void mls_csv_free(mls_csv *csv)
{
    const size_t rows = csv->header ? csv->n_rows + 1 : 0;

    for (size_t i = 0; i < rows * csv->n_columns; i++)
        free(csv->header[i]);
    free(csv->header);
    memset(csv, 0, sizeof *csv);
}

size_t mls_csv_column(const mls_csv *csv, const char *name)
{
    size_t i = 0;

    while (i < csv->n_columns && strcmp(csv->header[i], name) != 0)
        i++;
    return i;
}

const char *mls_csv_cell(const mls_csv *csv, size_t row, size_t column)
{
    return csv->cells[row * csv->n_columns + column];
}

const char *mls_csv_text(mls_csv_cursor *c, const char *column)
{
    const size_t k = mls_csv_column(c->csv, column);

    if (k < c->csv->n_columns)
        return mls_csv_cell(c->csv, c->row, k);
    if (!c->st)
        c->st = mls_fail(c->err, MLS_E_INPUT, "%s: the column %s is missing", c->path,
                         column);
    return "";
}

/* The cell is not what was expected; line 1 is the header. */
static void refuse_cell(mls_csv_cursor *c, const char *column, const char *cell,
                        const char *expected)
{
    if (!c->st)
        c->st =
            mls_fail(c->err, MLS_E_INPUT, "%s: row %zu: %s is \"%.60s\", expected %s",
                     c->path, c->row + 2, column, cell, expected);
}

double mls_csv_real(mls_csv_cursor *c, const char *column, double fallback)
{
    const char *cell = mls_csv_text(c, column);
    double x = fallback;

    if (*cell && !mls_parse_real(cell, &x))
        refuse_cell(c, column, cell, "a number");
    return x;
}

size_t mls_csv_whole(mls_csv_cursor *c, const char *column)
{
    const char *cell = mls_csv_text(c, column);
    size_t n = 0;

    if (*cell && !mls_parse_size(cell, &n))
        refuse_cell(c, column, cell, "a whole number");
    return n;
}
