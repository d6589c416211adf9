/*
 * Cells keep their type and all digits until they are printed. Memory that ran out is
 * remembered in the table and told once, by printing, so that who adds cells checks
 * nothing.
 */
#include "reports/page/table.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"
#include "reports/page/table_inner.h"

mls_table *mls_table_new(const char *title)
{
    mls_table *t = calloc(1, sizeof *t);

    if (t && title) {
        t->title = strdup(title);
        t->failed = !t->title;
    }
    return t;
}

void mls_table_free(mls_table *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n_columns; i++)
        mls_free_all(t->columns[i].key, t->columns[i].heading, t->columns[i].unit);
    for (size_t i = 0; i < t->n_cells; i++)
        free(t->cells[i].text);
    for (size_t i = 0; i < t->n_notes; i++)
        free(t->notes[i]);
    for (size_t i = 0; i < t->n_metas; i++)
        mls_free_all(t->metas[i].key, t->metas[i].value);
    mls_free_all(t->columns, t->cells, t->notes, t->metas, t->title, t);
}

/*
 * Room for one more element in a growing array; NULL (and failed) when there is none.
 */
static void *grow(mls_table *t, void *array, size_t n, size_t *cap, size_t size)
{
    void *bigger;

    if (n < *cap)
        return array;
    bigger = realloc(array, (*cap ? 2 * *cap : 16) * size);
    if (!bigger) {
        t->failed = true;
        return NULL;
    }
    *cap = *cap ? 2 * *cap : 16;
    return bigger;
}

static char *copy(mls_table *t, const char *s)
{
    char *c = strdup(s ? s : "");

    if (!c)
        t->failed = true;
    return c;
}

void mls_table_column(mls_table *t, const char *key, const char *heading,
                      const char *unit, int decimals)
{
    mls_table_part *columns;

    if (!t)
        return;
    columns = grow(t, t->columns, t->n_columns, &t->cap_columns, sizeof *columns);
    if (!columns)
        return;
    t->columns = columns;
    columns[t->n_columns++] = (mls_table_part){.key = copy(t, key),
                                               .heading = copy(t, heading),
                                               .unit = copy(t, unit),
                                               .decimals = decimals};
}

void mls_table_add_columns(mls_table *t, const mls_column *columns, size_t n)
{
    for (size_t i = 0; i < n; i++)
        mls_table_column(t, columns[i].key, columns[i].heading, columns[i].unit,
                         columns[i].decimals);
}

void mls_table_buf(mls_table *t, mls_buf *text)
{
    if (t && text->failed)
        t->failed = true;
    mls_table_text(t, text->data ? text->data : "");
    mls_buf_free(text);
}

void mls_table_detail(mls_table *t)
{
    if (t && t->n_columns)
        t->columns[t->n_columns - 1].detail = true;
}

void mls_table_data(mls_table *t)
{
    if (t && t->n_columns)
        t->n_data++;
}

void mls_table_row(mls_table *t)
{
    /* A row that ended early is filled with empty cells. */
    while (t && !t->failed && t->n_columns && t->n_cells % t->n_columns)
        mls_table_empty(t);
}

static void add(mls_table *t, mls_cell c)
{
    mls_cell *cells;

    if (!t) {
        free(c.text);
        return;
    }
    cells = grow(t, t->cells, t->n_cells, &t->cap_cells, sizeof *cells);
    if (!cells) {
        free(c.text);
        return;
    }
    t->cells = cells;
    cells[t->n_cells++] = c;
}

void mls_table_text(mls_table *t, const char *s)
{
    if (t)
        add(t, (mls_cell){.type = CELL_TEXT, .text = copy(t, s)});
}

void mls_table_real(mls_table *t, double x)
{
    add(t, (mls_cell){.type = isnan(x) ? CELL_EMPTY : CELL_REAL, .real = x});
}

void mls_table_count(mls_table *t, long long n)
{
    add(t, (mls_cell){.type = CELL_COUNT, .count = n});
}

void mls_table_empty(mls_table *t)
{
    add(t, (mls_cell){.type = CELL_EMPTY});
}

/* Arguments are passed by address: a va_list may be an array. */
static void add_cells(mls_table *t, const char *format, va_list *args)
{
    for (const char *p = format; *(p += strspn(p, " %")); p++) {
        switch (*p) {
        case 's':
            mls_table_text(t, va_arg(*args, const char *));
            break;
        case 'g':
            mls_table_real(t, va_arg(*args, double));
            break;
        case 'd':
            mls_table_count(t, va_arg(*args, int));
            break;
        case 'z':
            mls_table_count(t, (long long)va_arg(*args, size_t));
            p += strlen("u");
            break;
        case 'l':
            mls_table_count(t, va_arg(*args, long long));
            p += strlen("ld");
            break;
        default:
            assert(*p == '-');
            mls_table_empty(t);
        }
    }
}

void mls_table_cells(mls_table *t, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add_cells(t, format, &args);
    va_end(args);
}

void mls_table_line(mls_table *t, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    mls_table_row(t);
    add_cells(t, format, &args);
    va_end(args);
}

void mls_table_say(mls_table *t, const char *format, ...)
{
    mls_buf b = {0};
    va_list args;

    va_start(args, format);
    mls_buf_vprintf(&b, format, args);
    va_end(args);
    if (t && b.failed)
        t->failed = true;
    mls_table_note(t, b.data);
    mls_buf_free(&b);
}

void mls_table_note(mls_table *t, const char *note)
{
    char **notes;

    if (!t)
        return;
    notes = grow(t, t->notes, t->n_notes, &t->cap_notes, sizeof *notes);
    if (!notes)
        return;
    t->notes = notes;
    notes[t->n_notes++] = copy(t, note);
}

void mls_table_meta(mls_table *t, const char *key, const char *value)
{
    mls_table_fact *metas;

    if (!t)
        return;
    metas = grow(t, t->metas, t->n_metas, &t->cap_metas, sizeof *metas);
    if (!metas)
        return;
    t->metas = metas;
    metas[t->n_metas++] =
        (mls_table_fact){.key = copy(t, key), .value = copy(t, value)};
}
