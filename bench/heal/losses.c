/*
 * Rows are the folder's log, read back by what shows or goes on with a healing. A row
 * that does not parse is passed over: its layer counts as not healed.
 */
#include "bench/heal/losses.h"

#include <stdio.h>
#include <string.h>

#include "common/base/checked.h"
#include "common/system/files.h"

enum { FILE_MAX = 1 << 20 };

void mls_losses_header(mls_buf *b)
{
    mls_buf_puts(b, "layer,held_before,held_closed,held_after,train_before,train_after,"
                    "best_step,steps,kept,seconds");
    for (int i = 0; i < MLS_HEAL_POINTS; i++)
        mls_buf_printf(b, ",step_%d,held_%d", i, i);
    mls_buf_puts(b, "\n");
}

void mls_losses_add(mls_buf *b, size_t layer, const mls_heal_layer_result *r)
{
    const mls_healed *h = &r->losses;

    mls_buf_printf(b, "%zu,%.9g,%.9g,%.9g,%.9g,%.9g,%zu,%zu,%d,%.2f", layer,
                   h->held_before, h->closed, h->held_after, h->train_before,
                   h->train_after, h->best, h->steps, h->kept, r->seconds);
    for (size_t i = 0; i < MLS_HEAL_POINTS; i++)
        if (i < h->n_points)
            mls_buf_printf(b, ",%zu,%.9g", h->point[i].step, h->point[i].held);
        else
            mls_buf_puts(b, ",,");
    mls_buf_puts(b, "\n");
}

static void parse_row(mls_heal_layer_result *result, size_t L, const char *row)
{
    mls_heal_layer_result r = {.converted = true};
    mls_healed *h = &r.losses;
    int kept, at = 0;
    size_t l;

    if (sscanf(row, "%zu,%lf,%lf,%lf,%lf,%lf,%zu,%zu,%d,%lf%n", &l, &h->held_before,
               &h->closed, &h->held_after, &h->train_before, &h->train_after, &h->best,
               &h->steps, &kept, &r.seconds, &at) != 10 ||
        l >= L)
        return;
    h->kept = kept != 0;
    for (row += at; h->n_points < MLS_HEAL_POINTS; row += at) {
        size_t step;
        double held;

        if (sscanf(row, ",%zu,%lf%n", &step, &held, &at) != 2)
            break;
        h->point[h->n_points].step = step;
        h->point[h->n_points++].held = held;
    }
    result[l] = r;
}

void mls_losses_parse(mls_heal_layer_result *result, size_t L, const char *text)
{
    while (text && *text) {
        parse_row(result, L, text);
        text = strchr(text, '\n');
        text = text ? text + 1 : NULL;
    }
}

mls_status mls_losses_read(mls_heal_layer_result *result, size_t L, const char *folder,
                           mls_err *err)
{
    char *path = mls_path_join(folder, "healing.csv"), *text = NULL;
    size_t len;
    mls_status st = path ? mls_file_read_regular(path, FILE_MAX, &text, &len, err)
                         : mls_fail(err, MLS_E_NOMEM, "no memory for a file name");

    memset(result, 0, L * sizeof *result);
    if (!st)
        mls_losses_parse(result, L, text);
    mls_free_all(text, path);
    return st;
}
