/*
 * A page that is mailed has the numbers of its figures inside, as far as it stays small
 * enough to be mailed: how many fit is known when all sections are written, so links
 * are woven in then. The shortest go first: what large models have is a long CSV for
 * each layer, and the figures that are looked at most have short ones.
 */
#include "reports/page/downloads.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "common/base/checked.h"
#include "reports/page/html.h"

void mls_base64(mls_buf *out, const char *data, size_t len)
{
    unsigned char *base64 = malloc(4 * (len / 3 + 1) + 1);

    if (!base64) {
        out->failed = true;
        return;
    }
    EVP_EncodeBlock(base64, (const unsigned char *)data, (int)len);
    mls_buf_puts(out, (const char *)base64);
    free(base64);
}

void mls_download_csv(mls_buf *out, const char *name, const char *csv, size_t len)
{
    mls_buf_puts(out, "<a class=\"get\" download=\"");
    mls_html_escape(out, name);
    mls_buf_puts(out, "\" href=\"data:text/csv;base64,");
    mls_base64(out, csv, len);
    mls_buf_puts(out, "\">CSV</a>");
}

void mls_downloads_free(mls_downloads *d)
{
    for (size_t i = 0; i < d->n; i++)
        mls_free_all(d->numbers[i].name, d->numbers[i].csv);
    free(d->numbers);
    *d = (mls_downloads){0};
}

bool mls_downloads_add(mls_downloads *d, size_t section, size_t at, char *name,
                       char *csv, size_t len)
{
    mls_numbers *more =
        name && csv ? realloc(d->numbers, (d->n + 1) * sizeof *more) : NULL;

    if (!more) {
        mls_free_all(name, csv);
        return false;
    }
    d->numbers = more;
    more[d->n++] = (mls_numbers){section, at, name, csv, len};
    return true;
}

void mls_downloads_drop(mls_downloads *d, size_t section)
{
    size_t n = 0;

    for (size_t i = 0; i < d->n; i++)
        if (d->numbers[i].section == section)
            mls_free_all(d->numbers[i].name, d->numbers[i].csv);
        else
            d->numbers[n++] = d->numbers[i];
    d->n = n;
}

static int by_length(const void *a, const void *b)
{
    const mls_numbers *x = *(const mls_numbers *const *)a;
    const mls_numbers *y = *(const mls_numbers *const *)b;

    return x->len != y->len ? (x->len > y->len) - (x->len < y->len)
                            : (x > y) - (x < y); /* of one array */
}

bool mls_downloads_choose(bool *in, const mls_downloads *d, size_t room)
{
    const mls_numbers **order = mls_calloc3(d->n + 1, 1, 1, sizeof *order);

    if (!order)
        return false;
    for (size_t i = 0; i < d->n; i++)
        order[i] = &d->numbers[i];
    qsort(order, d->n, sizeof *order, by_length);
    for (size_t i = 0; i < d->n; i++) {
        const size_t bytes = 4 * (order[i]->len / 3 + 1);

        in[order[i] - d->numbers] = bytes <= room;
        room -= bytes <= room ? bytes : room; /* all that follow are longer */
    }
    free(order);
    return true;
}

void mls_downloads_weave(mls_buf *out, const mls_downloads *d, const bool *in,
                         size_t section, const char *text, size_t len)
{
    size_t from = 0;

    for (size_t i = 0; i < d->n; i++) {
        const mls_numbers *x = &d->numbers[i];

        if (x->section != section)
            continue;
        mls_buf_add(out, text + from, x->at - from);
        from = x->at;
        if (in[i]) {
            mls_download_csv(out, x->name, x->csv, x->len);
        } else {
            mls_buf_puts(out, "Numbers: data/");
            mls_html_escape(out, x->name);
            mls_buf_puts(out, " in the report's folder.");
        }
    }
    mls_buf_add(out, text + from, len - from);
}
