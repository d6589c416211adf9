/*
 * Two tables are filled and a script each reads them as CSV: bytes a token by parts,
 * and the longest context beside the weights. No bar is drawn where nothing or anything
 * fits, and gnuplot, which refuses bars without a value, gets no such memory at all.
 */
#include "reports/tables/size_plots.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analysis/latent/size.h"
#include "bench/frame/method.h"
#include "common/base/checked.h"
#include "reports/page/plot.h"
#include "reports/tables/embedded.h"
#include "reports/tables/size_table.h"

#define GIB 1073741824.0

enum { TEXT = 1024, DEVICE_KEY = 32 };

/* What most people have, where no device is asked about. */
static const mls_size_device usual[] = {
    {"24 GiB", 24 * GIB, 0}, {"80 GiB", 80 * GIB, 0}, {"141 GiB", 141 * GIB, 0}};
enum { USUAL = sizeof usual / sizeof usual[0], DEVICES_DRAWN = 8, PARTS = 6 };

static const struct {
    const char *key, *title;
    int color;
} parts[PARTS] = {{"key_codes", "keys", 1},       {"value_codes", "values", 6},
                  {"latent_codes", "latents", 3}, {"rope_key_codes", "rope keys", 5},
                  {"metadata", "metadata", 2},    {"window", "16-bit window", 7}};

/* The three tables while they are filled. */
typedef struct {
    mls_table *bytes, *context;
    mls_cache_layout *layout, *baseline;
    mls_size_request use;
    double weight_bytes; /* on one GPU; NaN: unknown */
    const mls_size_device *device;
    size_t n_devices;
    bool part[PARTS];        /* some setting has it: there is something to draw */
    bool any[DEVICES_DRAWN]; /* a context fits into this memory */
    bool draw;               /* run gnuplot */
} tables;

/* The first of every list; devices without a memory have no longest context. */
static void choose_use(tables *t, const mls_size_sweep *s)
{
    t->use = (mls_size_request){s->tokens.item[0], s->batch.item[0], s->block.item[0],
                                s->tensor_parallel.item[0], s->dtype_bits.item[0]};
    t->weight_bytes = s->weight_bytes / (double)t->use.tensor_parallel;
    t->device = s->n_devices ? s->device : usual;
    t->n_devices = s->n_devices ? s->n_devices : USUAL;
    if (t->n_devices > DEVICES_DRAWN)
        t->n_devices = DEVICES_DRAWN;
}

/* "24_gib" for "24 GiB": a column's key. */
static const char *device_key(char *out, size_t size, const char *name)
{
    size_t i = 0;

    for (; name[i] && i + 1 < size; i++)
        out[i] = isalnum((unsigned char)name[i]) ? (char)tolower((unsigned char)name[i])
                                                 : '_';
    out[i] = '\0';
    return out;
}

static void add_columns(const tables *t)
{
    char key[DEVICE_KEY];

    mls_table_column(t->bytes, "setting", "setting", "", 0);
    for (size_t i = 0; i < PARTS; i++)
        mls_table_column(t->bytes, parts[i].key, parts[i].title, "B/token", 1);
    mls_table_column(t->context, "setting", "setting", "", 0);
    for (size_t i = 0; i < t->n_devices; i++)
        mls_table_column(t->context, device_key(key, sizeof key, t->device[i].name),
                         t->device[i].name, "tokens", 0);
}

static void put_setting(tables *t, const char *text)
{
    mls_size_result r;

    mls_size(&r, t->layout, &t->use);
    const double part[PARTS] = {r.key_codes,      r.value_codes, r.latent_codes,
                                r.rope_key_codes, r.metadata,    r.window};

    mls_table_row(t->bytes);
    mls_table_text(t->bytes, text);
    for (size_t i = 0; i < PARTS; i++) {
        mls_table_real(t->bytes, part[i]);
        t->part[i] |= part[i] > 0;
    }
    if (isnan(t->weight_bytes))
        return;
    mls_table_row(t->context);
    mls_table_text(t->context, text);
    for (size_t i = 0; i < t->n_devices; i++) {
        const double memory = t->device[i].memory;
        const size_t T = memory > 0 ? mls_size_max_tokens(t->layout, &t->use,
                                                          t->weight_bytes, memory)
                                    : 0;

        if (T > 0 && T < MLS_SIZE_UNLIMITED) {
            mls_table_count(t->context, (long long)T);
            t->any[i] = true;
        } else { /* no bar: nothing fits beside the weights, or any context does */
            mls_table_empty(t->context);
        }
    }
}

static mls_status write_one(const char *folder, bool draw, const char *name,
                            const char *title, const mls_config *config,
                            const mls_table *data, const char *commands, unsigned width,
                            unsigned height, mls_err *err)
{
    mls_buf script = {0};
    char shape[192];
    mls_status st;

    mls_buf_printf(&script, "set title \"%s\\n%s\" font \",10\"\n%s", title,
                   mls_size_describe(config, shape, sizeof shape), commands);
    if (script.failed)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a plot");
    else
        st = mls_plot_write(folder,
                            &(mls_plot){.name = name,
                                        .data = data,
                                        .script = script.data,
                                        .width = width,
                                        .height = height},
                            err);
    if (!st && draw)
        st = mls_plot_draw(folder, name, err);
    mls_buf_free(&script);
    return st;
}

static mls_status write_bytes(const char *folder, const mls_config *config,
                              const tables *t, mls_err *err)
{
    mls_buf commands = {0};
    char title[TEXT];
    const size_t rows = mls_table_rows(t->bytes);
    size_t drawn = 0;
    int at = snprintf(title, sizeof title, "Cache per token, %zu tokens, true bytes",
                      t->use.tokens);
    mls_status st;

    if (t->use.dtype_bits != 16)
        snprintf(title + at, sizeof title - (size_t)at, ", %zu bits where unquantized",
                 t->use.dtype_bits);
    mls_buf_printf(&commands,
                   "rows = %zu\narray key[%d]\narray title[%d]\n"
                   "array colour[%d]\n",
                   rows, PARTS, PARTS, PARTS);
    for (size_t i = 0; i < PARTS; i++)
        if (t->part[i]) {
            drawn++;
            mls_buf_printf(
                &commands, "key[%zu] = \"%s\"\ntitle[%zu] = \"%s\"\ncolour[%zu] = %d\n",
                drawn, parts[i].key, drawn, parts[i].title, drawn, parts[i].color);
        }
    mls_buf_printf(&commands, "parts = %zu\n%s", drawn, mls_size_bytes_gp);
    st = commands.failed
             ? mls_fail(err, MLS_E_NOMEM, "no memory for a plot")
             : write_one(folder, t->draw, "size-bytes", title, config, t->bytes,
                         commands.data, 560, (unsigned)(150 + 22 * rows), err);
    mls_buf_free(&commands);
    return st;
}

/* gnuplot refuses bars without any value, so memories without one are left out. */
static mls_status write_context(const char *folder, const mls_config *config,
                                const tables *t, mls_err *err)
{
    mls_buf commands = {0};
    char title[TEXT], key[DEVICE_KEY];
    mls_status st = MLS_OK;
    size_t drawn = 0;
    int at = snprintf(title, sizeof title, "Longest context beside the weights, ");

    at += t->use.batch == 1
              ? snprintf(title + at, sizeof title - (size_t)at, "one sequence")
              : snprintf(title + at, sizeof title - (size_t)at, "%zu sequences",
                         t->use.batch);
    if (t->use.tensor_parallel > 1)
        snprintf(title + at, sizeof title - (size_t)at, ", %zu GPUs",
                 t->use.tensor_parallel);
    mls_buf_puts(&commands, mls_size_context_gp);
    for (size_t i = 0; i < t->n_devices; i++)
        if (t->any[i])
            mls_buf_printf(&commands,
                           "%s \"../data/size-context.csv\" using \"%s\":xtic(1) "
                           "title \"%s\" lt %zu",
                           drawn++ ? "," : "plot",
                           device_key(key, sizeof key, t->device[i].name),
                           t->device[i].name, i + 1);
    if (commands.failed)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a plot");
    else if (drawn)
        st = write_one(folder, t->draw, "size-context", title, config, t->context,
                       commands.data, 1100, 640, err);
    mls_buf_free(&commands);
    return st;
}

mls_status mls_size_plots(const char *folder, bool draw, const mls_config *config,
                          const mls_size_sweep *sweep, mls_err *err)
{
    tables t = {.draw = draw,
                .bytes = mls_table_new("Cache per token"),
                .context = mls_table_new("Longest context"),
                .layout = malloc(sizeof *t.layout),
                .baseline = malloc(sizeof *t.baseline)};
    char text[TEXT];
    mls_status st = MLS_OK;

    if (!t.bytes || !t.context || !t.layout || !t.baseline) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for plots of sizes");
        goto done;
    }
    choose_use(&t, sweep);
    add_columns(&t);
    mls_size_baseline(t.baseline, config);
    for (size_t i = 0; i < sweep->n_settings; i++) {
        mls_err why = {0};

        mls_setting_text(&sweep->setting[i], text, sizeof text);
        st = mls_method_layout(t.layout, config, &sweep->setting[i], &why);
        if (st && st != MLS_E_INPUT) {
            mls_fail(err, st, "setting \"%.300s\": %s", text, why.text);
            goto done;
        }
        if (!st)
            put_setting(&t, text);
    }
    st = write_bytes(folder, config, &t, err);
    if (!st)
        st = write_context(folder, config, &t, err);

done:
    mls_table_free(t.bytes);
    mls_table_free(t.context);
    mls_free_all(t.layout, t.baseline);
    return st;
}
