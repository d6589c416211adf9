/*
 * A table in six formats: people get decimals, files %.17g. CSV is RFC 4180's; what a
 * spreadsheet would run as a formula gets an apostrophe, in texts only.
 */
#include <csv.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"
#include "reports/page/table_html.h"
#include "reports/page/table_inner.h"

static const char *const format_names[] = {"table", "md",   "csv", "json",
                                           "jsonl", "html", NULL};

mls_status mls_format_parse(mls_format *format, const char *text, mls_err *err)
{
    for (size_t i = 0; format_names[i]; i++)
        if (strcmp(text, format_names[i]) == 0) {
            *format = (mls_format)i;
            return MLS_OK;
        }
    return mls_fail(err, MLS_E_ARG,
                    "expected table, md, csv, json, jsonl or html, found \"%s\"", text);
}

/* What people see. */
static size_t n_shown(const mls_table *t)
{
    return t->n_columns - t->n_data;
}

static size_t rows(const mls_table *t)
{
    return t->n_columns ? (t->n_cells + t->n_columns - 1) / t->n_columns : 0;
}

static const mls_cell *at(const mls_table *t, size_t row, size_t col)
{
    static const mls_cell empty = {.type = CELL_EMPTY};
    const size_t i = row * t->n_columns + col;

    return i < t->n_cells ? &t->cells[i] : &empty;
}

/* A cell for people: its own text, or a number written into `number`. */
static const char *show(const mls_cell *c, int decimals, char number[MLS_TABLE_TEXT])
{
    switch (c->type) {
    case CELL_EMPTY:
        return "-";
    case CELL_TEXT:
        return c->text;
    case CELL_COUNT:
        snprintf(number, MLS_TABLE_TEXT, "%lld", c->count);
        break;
    case CELL_REAL:
        if (decimals < 0)
            snprintf(number, MLS_TABLE_TEXT, "%.4g", c->real);
        else
            /* Six digits are enough: a perplexity of 2497.85, not 2497.851. */
            snprintf(number, MLS_TABLE_TEXT, "%.*f",
                     decimals > 2 && fabs(c->real) >= 1000 ? 2 : decimals, c->real);
        if (number[0] == '-' && !number[1 + strspn(number + 1, "0.")])
            return number + 1; /* what rounds to nothing has no sign */
        break;
    }
    return number;
}

static void heading(const mls_table_part *c, char out[MLS_TABLE_TEXT])
{
    if (c->unit[0])
        snprintf(out, MLS_TABLE_TEXT, "%s (%s)", c->heading, c->unit);
    else
        snprintf(out, MLS_TABLE_TEXT, "%s", c->heading);
}

/* Code points that put_line() writes, so that UTF-8 text lines up. */
static size_t width_of(const char *s, bool markdown)
{
    size_t n = 0;

    for (; *s; s++)
        if (((unsigned char)*s & 0xc0) != 0x80)
            n += markdown && *s == '|' ? 2 : 1;
    return n;
}

static void pad(mls_buf *out, size_t n)
{
    while (n--)
        mls_buf_add(out, " ", 1);
}

/*
 * Text on one line, without what a terminal obeys: ESC and others below a space, and
 * U+0080 to U+009F, of which one is ESC and a bracket. A bar would end a cell of
 * Markdown.
 */
static void put_line(mls_buf *out, const char *text, bool markdown)
{
    for (const unsigned char *u = (const unsigned char *)text; *u; u++) {
        if (markdown && *u == '|')
            mls_buf_puts(out, "\\");
        if (u[0] == 0xc2 && u[1] >= 0x80 && u[1] < 0xa0) {
            mls_buf_puts(out, " ");
            u++;
        } else {
            mls_buf_add(out, *u < ' ' || *u == 0x7f ? " " : (const char *)u, 1);
        }
    }
}

static void put_aligned(mls_buf *out, const char *text, size_t width, bool left,
                        bool last, bool markdown)
{
    const size_t w = width_of(text, markdown);
    const size_t space = w < width ? width - w : 0;

    if (!left)
        pad(out, space);
    put_line(out, text, markdown);
    if (left && !last)
        pad(out, space);
}

static bool is_text_column(const mls_table *t, size_t col)
{
    for (size_t r = 0; r < rows(t); r++)
        if (at(t, r, col)->type == CELL_TEXT)
            return true;
    return false;
}

static size_t column_width(const mls_table *t, size_t col, bool markdown)
{
    char text[MLS_TABLE_TEXT], number[MLS_TABLE_TEXT];
    size_t width;

    heading(&t->columns[col], text);
    width = width_of(text, markdown);
    for (size_t r = 0; r < rows(t); r++) {
        const size_t w =
            width_of(show(at(t, r, col), t->columns[col].decimals, number), markdown);

        if (w > width)
            width = w;
    }
    return width;
}

/* What the screen leaves out, and where it is. */
static void name_details(const mls_table *t, mls_buf *out)
{
    size_t n = 0;

    for (size_t c = 0; c < n_shown(t); c++)
        if (t->columns[c].detail)
            mls_buf_printf(out, "%s%s",
                           n++ ? ", " : "also in csv and json: ", t->columns[c].key);
    if (n)
        mls_buf_puts(out, "\n");
}

/* How many of the n columns of `shown` fit in a line: at least two where there are. */
static size_t fitting(const size_t *width, const size_t *shown, size_t n, size_t line)
{
    size_t used = width[shown[0]], fit = 1;

    if (n > 1)
        used += 2 + width[shown[fit++]];

    while (fit < n && used + 2 + width[shown[fit]] <= line)
        used += 2 + width[shown[fit++]];
    return fit;
}

/* Heading and rows of the n columns of `shown`. */
static void print_columns(const mls_table *t, mls_buf *out, bool markdown,
                          const size_t *width, const size_t *shown, size_t n)
{
    const char *before = markdown ? "| " : "";
    const char *between = markdown ? " | " : "  ";
    const char *after = markdown ? " |\n" : "\n";
    char text[MLS_TABLE_TEXT], number[MLS_TABLE_TEXT];

    for (size_t k = 0; k < n; k++) {
        heading(&t->columns[shown[k]], text);
        mls_buf_puts(out, k ? between : before);
        put_aligned(out, text, width[shown[k]], is_text_column(t, shown[k]),
                    !markdown && k + 1 == n, markdown);
    }
    mls_buf_puts(out, after);
    for (size_t c = 0; markdown && c < n_shown(t); c++) {
        const bool left = is_text_column(t, c);

        mls_buf_puts(out, "|");
        mls_buf_puts(out, left ? ":" : "-");
        for (size_t i = 0; i < width[c]; i++)
            mls_buf_puts(out, "-");
        mls_buf_puts(out, left ? "-" : ":");
    }
    if (markdown)
        mls_buf_puts(out, "|\n");
    for (size_t r = 0; r < rows(t); r++) {
        for (size_t k = 0; k < n; k++) {
            const size_t c = shown[k];

            mls_buf_puts(out, k ? between : before);
            put_aligned(out, show(at(t, r, c), t->columns[c].decimals, number),
                        width[c], is_text_column(t, c), !markdown && k + 1 == n,
                        markdown);
        }
        mls_buf_puts(out, after);
    }
}

/* Columns that a line has no room for stand in further blocks, behind the first. */
static void print_text(const mls_table *t, mls_buf *out, bool markdown, size_t line)
{
    size_t *width = calloc(2 * t->n_columns + 1, sizeof *width);
    size_t *shown = width ? width + t->n_columns : NULL, n = 0; /* indices of columns */

    if (!width) {
        out->failed = true;
        return;
    }
    if (t->title) {
        mls_buf_puts(out, markdown ? "### " : "");
        put_line(out, t->title, false);
        mls_buf_puts(out, markdown ? "\n\n" : "\n");
    }
    for (size_t i = 0; i < t->n_metas; i++) {
        mls_buf_printf(out, markdown ? "- %s: `" : "# %s: ", t->metas[i].key);
        put_line(out, t->metas[i].value, false);
        mls_buf_puts(out, markdown ? "`\n" : "\n");
    }
    if (markdown && t->n_metas)
        mls_buf_puts(out, "\n");
    for (size_t c = 0; c < n_shown(t); c++)
        if (markdown || !t->columns[c].detail) {
            width[c] = column_width(t, c, markdown);
            shown[n++] = c;
        }
    for (size_t begun = 0, fit; begun < n; begun += fit) {
        if (begun) {
            mls_buf_puts(out, "\n");
            shown[--begun] = shown[0]; /* names the row in every block */
        }
        fit = fitting(width, shown + begun, n - begun, line);
        print_columns(t, out, markdown, width, shown + begun, fit);
    }
    for (size_t i = 0; i < t->n_notes; i++)
        mls_buf_printf(out, "%s%s\n", markdown ? (i ? "" : "\n") : "", t->notes[i]);
    if (!markdown)
        name_details(t, out);
    free(width);
}

/* A cell with all its digits; empty stays empty. */
static const char *full_text(const mls_cell *c, char number[MLS_TABLE_TEXT])
{
    if (c->type == CELL_EMPTY)
        return "";
    if (c->type != CELL_REAL)
        return show(c, -1, number);
    snprintf(number, MLS_TABLE_TEXT, "%.17g", c->real);
    return number;
}

/*
 * Spreadsheets run a cell that begins with = + - or @ as a formula: names, labels and
 * paths get an apostrophe in front, which they do not show and mls_csv_read() takes
 * away again. Numbers and the placeholder "-" stay.
 */
static bool is_formula(const mls_cell *c)
{
    char *end;

    if (c->type != CELL_TEXT || !strchr("=+-@'\t\r", c->text[0]) || !c->text[0] ||
        strcmp(c->text, "-") == 0)
        return false;
    strtod(c->text, &end);
    return *end != '\0';
}

static void put_csv(mls_buf *out, const char *text, bool first)
{
    const size_t size = 2 * strlen(text) + 2; /* every character a quote */
    char *quoted = malloc(size);

    if (!quoted) {
        out->failed = true;
        return;
    }
    if (!first)
        mls_buf_puts(out, ",");
    mls_buf_add(out, quoted, csv_write(quoted, size, text, strlen(text)));
    free(quoted);
}

static void print_csv(const mls_table *t, mls_buf *out)
{
    char number[MLS_TABLE_TEXT];

    for (size_t c = 0; c < t->n_columns; c++)
        put_csv(out, t->columns[c].key, c == 0);
    mls_buf_puts(out, "\r\n");
    for (size_t r = 0; r < rows(t); r++) {
        for (size_t c = 0; c < t->n_columns; c++) {
            const mls_cell *x = at(t, r, c);
            mls_buf safe = {0};

            if (is_formula(x)) {
                mls_buf_printf(&safe, "'%s", x->text);
                out->failed |= safe.failed;
            }
            put_csv(out, safe.data ? safe.data : full_text(x, number), c == 0);
            mls_buf_free(&safe);
        }
        mls_buf_puts(out, "\r\n");
    }
}

static void put_json_string(mls_buf *out, const char *s)
{
    mls_buf_puts(out, "\"");
    for (; *s; s++) {
        const unsigned char u = (unsigned char)*s;

        if (u == '"' || u == '\\')
            mls_buf_printf(out, "\\%c", u);
        else if (u < 0x20)
            mls_buf_printf(out, "\\u%04x", u);
        else
            mls_buf_add(out, s, 1);
    }
    mls_buf_puts(out, "\"");
}

static void put_json_row(const mls_table *t, size_t r, mls_buf *out)
{
    char number[MLS_TABLE_TEXT];

    mls_buf_puts(out, "{");
    for (size_t c = 0; c < t->n_columns; c++) {
        const mls_cell *x = at(t, r, c);

        if (c)
            mls_buf_puts(out, ", ");
        put_json_string(out, t->columns[c].key);
        mls_buf_puts(out, ": ");
        if (x->type == CELL_TEXT)
            put_json_string(out, x->text);
        else if (x->type == CELL_EMPTY || (x->type == CELL_REAL && !isfinite(x->real)))
            mls_buf_puts(out, "null");
        else
            mls_buf_puts(out, full_text(x, number));
    }
    mls_buf_puts(out, "}");
}

static void print_json(const mls_table *t, mls_buf *out)
{
    mls_buf_puts(out, "{\"title\": ");
    put_json_string(out, t->title ? t->title : "");
    for (size_t i = 0; i < t->n_metas; i++) {
        mls_buf_puts(out, ",\n ");
        put_json_string(out, t->metas[i].key);
        mls_buf_puts(out, ": ");
        put_json_string(out, t->metas[i].value);
    }
    mls_buf_puts(out, ",\n \"columns\": [");
    for (size_t c = 0; c < t->n_columns; c++) {
        mls_buf_puts(out, c ? ",\n  {\"key\": " : "\n  {\"key\": ");
        put_json_string(out, t->columns[c].key);
        mls_buf_puts(out, ", \"title\": ");
        put_json_string(out, t->columns[c].heading);
        mls_buf_puts(out, ", \"unit\": ");
        put_json_string(out, t->columns[c].unit);
        mls_buf_puts(out, "}");
    }
    mls_buf_puts(out, "],\n \"rows\": [");
    for (size_t r = 0; r < rows(t); r++) {
        mls_buf_puts(out, r ? ",\n  " : "\n  ");
        put_json_row(t, r, out);
    }
    mls_buf_puts(out, "],\n \"notes\": [");
    for (size_t i = 0; i < t->n_notes; i++) {
        mls_buf_puts(out, i ? ", " : "");
        put_json_string(out, t->notes[i]);
    }
    mls_buf_puts(out, "]}\n");
}

static void print_jsonl(const mls_table *t, mls_buf *out)
{
    for (size_t r = 0; r < rows(t); r++) {
        put_json_row(t, r, out);
        mls_buf_puts(out, "\n");
    }
}

mls_status mls_table_print(const mls_table *t, mls_format format, mls_buf *out,
                           mls_err *err)
{
    if (t && !t->failed) {
        switch (format) {
        case MLS_FORMAT_TABLE:
            print_text(t, out, false, SIZE_MAX);
            break;
        case MLS_FORMAT_MD:
            print_text(t, out, true, SIZE_MAX);
            break;
        case MLS_FORMAT_CSV:
            print_csv(t, out);
            break;
        case MLS_FORMAT_JSON:
            print_json(t, out);
            break;
        case MLS_FORMAT_JSONL:
            print_jsonl(t, out);
            break;
        case MLS_FORMAT_HTML:
            mls_table_html(t, false, out);
            break;
        }
    }
    if (!t || t->failed || out->failed)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a table");
    return MLS_OK;
}

mls_status mls_table_print_within(const mls_table *t, size_t width, mls_buf *out,
                                  mls_err *err)
{
    if (t && !t->failed)
        print_text(t, out, false, width);
    if (!t || t->failed || out->failed)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a table");
    return MLS_OK;
}

size_t mls_table_columns(const mls_table *t)
{
    return n_shown(t);
}

size_t mls_table_rows(const mls_table *t)
{
    return rows(t);
}

const char *mls_table_title(const mls_table *t)
{
    return t->title;
}

const char *mls_table_key(const mls_table *t, size_t col)
{
    return t->columns[col].key;
}

void mls_table_heading(const mls_table *t, size_t col, char out[MLS_TABLE_TEXT])
{
    heading(&t->columns[col], out);
}

bool mls_table_is_text(const mls_table *t, size_t col)
{
    return is_text_column(t, col);
}

bool mls_table_is_detail(const mls_table *t, size_t col)
{
    return t->columns[col].detail;
}

const char *mls_table_shown(const mls_table *t, size_t row, size_t col,
                            char number[MLS_TABLE_TEXT])
{
    return show(at(t, row, col), t->columns[col].decimals, number);
}

const char *mls_table_note_at(const mls_table *t, size_t i)
{
    return i < t->n_notes ? t->notes[i] : NULL;
}
