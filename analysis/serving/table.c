/*
 * The tables are data, a source and a date in each row, so that a new engine or kernel
 * takes no code. A rank or rope of 0 stands for any.
 */
#include "analysis/serving/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"
#include "common/base/words.h"
#include "datasets/base/csv.h"

enum { ROWS_MAX = 1000 };

static void get_text(mls_csv_cursor *r, const char *column, char *out, size_t size)
{
    snprintf(out, size, "%s", mls_csv_text(r, column));
}

/* A number that is there and not negative. */
static double get_real(mls_csv_cursor *r, const char *column)
{
    const double x = mls_csv_real(r, column, -1);

    if (!r->st && !(x >= 0))
        r->st = mls_fail(r->err, MLS_E_INPUT,
                         "%s: row %zu: %s is \"%s\", expected 0 or more", r->path,
                         r->row + 2, column, mls_csv_text(r, column));
    return x;
}

/* Reads the row that the cursor is at into an item. */
typedef void read_row(mls_csv_cursor *r, void *item);

/* All rows of a table; *items is released by the caller, also on error. */
static mls_status read_table(void **items, size_t *n, size_t size, read_row *read,
                             const char *path, mls_err *err)
{
    mls_csv csv = {0};
    mls_csv_cursor r = {.csv = &csv, .path = path, .err = err};

    *items = NULL;
    *n = 0;
    r.st = mls_csv_read(&csv, path, err);
    if (!r.st && csv.n_rows > ROWS_MAX)
        r.st = mls_fail(err, MLS_E_INPUT, "%s: %zu rows, at most %d", path, csv.n_rows,
                        ROWS_MAX);
    if (!r.st && !(*items = mls_calloc3(csv.n_rows, 1, 1, size)))
        r.st = mls_fail(err, MLS_E_NOMEM, "no memory for %s", path);
    for (; !r.st && r.row < csv.n_rows; r.row++)
        read(&r, (char *)*items + (*n)++ * size);
    mls_csv_free(&csv);
    return r.st;
}

/* --- Kernels --- */

static void read_kernel(mls_csv_cursor *r, void *item)
{
    mls_kernel *k = item;

    get_text(r, "kernel", k->name, sizeof k->name);
    get_text(r, "engine", k->engine, sizeof k->engine);
    get_text(r, "release", k->release, sizeof k->release);
    get_text(r, "heads", k->heads, sizeof k->heads);
    get_text(r, "page", k->page, sizeof k->page);
    get_text(r, "dtypes", k->dtypes, sizeof k->dtypes);
    get_text(r, "checked", k->checked, sizeof k->checked);
    get_text(r, "source", k->source, sizeof k->source);
    get_text(r, "note", k->note, sizeof k->note);
    k->rank = (size_t)get_real(r, "rank");
    k->rope = (size_t)get_real(r, "rope");
}

mls_status mls_kernels_read(mls_kernels *out, const char *path, mls_err *err)
{
    void *items;
    const mls_status st =
        read_table(&items, &out->n, sizeof *out->item, read_kernel, path, err);

    out->item = items;
    if (st)
        mls_kernels_free(out);
    return st;
}

void mls_kernels_free(mls_kernels *k)
{
    free(k->item);
    *k = (mls_kernels){0};
}

mls_status mls_kernels_find(const mls_kernels *k, const char *name, mls_err *err)
{
    const char *names[ROWS_MAX + 1];
    char suggestion[MLS_SUGGESTION];
    size_t n = 0;

    for (size_t i = 0; i < k->n; i++) {
        if (strcmp(k->item[i].name, name) == 0)
            return MLS_OK;
        if (n == 0 || strcmp(names[n - 1], k->item[i].name) != 0)
            names[n++] = k->item[i].name;
    }
    names[n] = NULL;
    return mls_fail(err, MLS_E_ARG, "there is no kernel \"%s\"%s", name,
                    mls_suggest(name, names, suggestion));
}

/* One latent and one rope key of a shape; 0 stands for any. */
static bool has_shape(const mls_cache_layer *layer, const mls_kernel *k)
{
    bool latent = false, rope = false;

    for (size_t i = 0; i < layer->n_parts; i++) {
        const mls_cache_part *p = &layer->part[i];

        if (p->count != 1 || p->quant.format)
            return false;
        latent |= p->kind == MLS_PART_LATENT && (!k->rank || p->n == k->rank);
        rope |= p->kind == MLS_PART_ROPE_KEY && (!k->rope || p->n == k->rope);
    }
    return layer->n_parts == 2 && latent && rope;
}

bool mls_kernels_take(const mls_kernels *k, const char *name,
                      const mls_cache_layer *layer)
{
    for (size_t i = 0; i < k->n; i++)
        if (strcmp(k->item[i].name, name) == 0 && has_shape(layer, &k->item[i]))
            return true;
    return false;
}

static bool takes(const mls_kernel *k, size_t rank, size_t rope)
{
    return (!k->rank || k->rank == rank) && (!k->rope || k->rope == rope);
}

void mls_kernels_say(mls_buf *b, const mls_kernels *k, size_t rank, size_t rope)
{
    const char *comma = "";

    for (size_t i = 0; i < k->n; i++)
        if (takes(&k->item[i], rank, rope)) {
            mls_buf_printf(b, "%s%s (%s)", comma, k->item[i].name, k->item[i].release);
            comma = ", ";
        }
    comma = comma[0] ? "; not " : "none; not ";
    for (size_t i = 0; i < k->n; i++) {
        bool any = false, before = false;

        for (size_t j = 0; j < k->n; j++)
            if (strcmp(k->item[j].name, k->item[i].name) == 0) {
                any |= takes(&k->item[j], rank, rope);
                before |= j < i;
            }
        if (any || before)
            continue;
        mls_buf_printf(b, "%s%s", comma, k->item[i].name);
        comma = ", ";
    }
}

/* --- Engines --- */

static void read_engine(mls_csv_cursor *r, void *item)
{
    mls_engine *e = item;

    get_text(r, "engine", e->name, sizeof e->name);
    get_text(r, "cache", e->cache, sizeof e->cache);
    get_text(r, "checked", e->checked, sizeof e->checked);
    get_text(r, "source", e->source, sizeof e->source);
    e->latent_bits = get_real(r, "latent_bits");
    e->rope_bits = get_real(r, "rope_bits");
    e->head_bits = get_real(r, "head_bits");
    e->scale_bytes = get_real(r, "scale_bytes");
    e->scale_group = get_real(r, "scale_group");
    e->extra_bytes = get_real(r, "extra_bytes");
    e->page = get_real(r, "page");
    e->page_align = get_real(r, "page_align");
    e->windows_full = strcmp(mls_csv_text(r, "windows"), "full") == 0;
    e->reserve = get_real(r, "reserve");
    e->reserve_of_free = strcmp(mls_csv_text(r, "reserve_of"), "free") == 0;
    if (!r->st && (e->page < 1 || e->page_align < 1 || e->scale_group < 1))
        r->st = mls_fail(r->err, MLS_E_INPUT,
                         "%s: row %zu: page, page_align and "
                         "scale_group are at least 1",
                         r->path, r->row + 2);
}

mls_status mls_engines_read(mls_engines *out, const char *path, mls_err *err)
{
    void *items;
    const mls_status st =
        read_table(&items, &out->n, sizeof *out->item, read_engine, path, err);

    out->item = items;
    if (st)
        mls_engines_free(out);
    return st;
}

void mls_engines_free(mls_engines *e)
{
    free(e->item);
    *e = (mls_engines){0};
}

mls_status mls_engines_find(const mls_engine **out, const mls_engines *e,
                            const char *name, const char *cache, mls_err *err)
{
    const char *names[ROWS_MAX + 1];
    char suggestion[MLS_SUGGESTION];
    bool known = false;
    size_t n = 0;

    for (size_t i = 0; i < e->n; i++)
        known |= strcmp(e->item[i].name, name) == 0;
    for (size_t i = 0; i < e->n; i++) {
        const mls_engine *one = &e->item[i];

        if (known && strcmp(one->name, name) == 0 && strcmp(one->cache, cache) == 0) {
            *out = one;
            return MLS_OK;
        }
        if (known ? strcmp(one->name, name) == 0
                  : n == 0 || strcmp(names[n - 1], one->name) != 0)
            names[n++] = known ? one->cache : one->name;
    }
    names[n] = NULL;
    return known ? mls_fail(err, MLS_E_ARG, "%s has no cache type \"%s\"%s", name,
                            cache, mls_suggest(cache, names, suggestion))
                 : mls_fail(err, MLS_E_ARG, "there is no engine \"%s\"%s", name,
                            mls_suggest(name, names, suggestion));
}
