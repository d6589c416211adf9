/*
 * A list of keys is one text, its order that of the columns; a key that no quantity has
 * is an error of ours, not of the user, and asserted.
 */
#include "reports/tables/quantity_columns.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "analysis/latent/size.h"
#include "common/base/words.h"

/* The next key of a list, and the sign before it; NULL: no more. */
static const mls_quantity *next(const char **keys, char *sign)
{
    const char *word = *keys + strspn(*keys, " ");
    const size_t n = strcspn(word, " "), signs = strspn(word, "-~");
    char key[64];

    *sign = *word;
    *keys = word + n;
    if (n == 0)
        return NULL;
    snprintf(key, sizeof key, "%.*s", (int)(n - signs), word + signs);
    const mls_quantity *q = mls_quantity_find(key);

    assert(q);
    return q;
}

void mls_quantity_columns(mls_table *t, const char *keys, const mls_config *config)
{
    char sign;

    for (const mls_quantity *q; (q = next(&keys, &sign));) {
        mls_table_column(t, q->key, q->heading, q->unit, q->decimals);
        if (sign == '-' || (sign == '~' && !mls_size_has_fixed(config)))
            mls_table_detail(t);
    }
}

void mls_quantity_cells(mls_table *t, const char *keys, const mls_compared *r)
{
    char sign;

    for (const mls_quantity *q; (q = next(&keys, &sign));)
        mls_table_real(t, q->get(r));
}

mls_status mls_quantity_among(const mls_quantity **out, const char *keys,
                              const char *option, const char *name, mls_err *err)
{
    const char *names[64];
    char suggestion[MLS_SUGGESTION], sign;
    size_t n = 0;

    for (const mls_quantity *q; (q = next(&keys, &sign));) {
        assert(n + 1 < sizeof names / sizeof names[0]);
        names[n++] = q->key;
        if (strcmp(q->key, name) == 0) {
            *out = q;
            return MLS_OK;
        }
    }
    names[n] = NULL;
    return mls_fail(err, MLS_E_ARG, "%s %s: no such column of numbers%s", option, name,
                    mls_suggest(name, names, suggestion));
}

void mls_window_columns(mls_table *t)
{
    mls_table_column(t, "windows_id", "windows", "", 0);
    mls_table_data(t);
    mls_table_column(t, "kl_of_windows", "KL of windows", "nat", 0);
    mls_table_data(t);
}

void mls_window_cells(mls_table *t, const mls_corpus *corpus, int scored,
                      const double *kl, size_t N)
{
    char id[32];
    mls_buf each = {0};

    if (N == 0) {
        mls_table_cells(t, "- -");
        return;
    }
    snprintf(id, sizeof id, "%016" PRIx64 "%s", mls_corpus_windows_id(corpus),
             scored == MLS_SCORE_ALL ? "" : "-second-halves");
    mls_table_text(t, id);
    for (size_t i = 0; i < N; i++)
        mls_buf_printf(&each, "%s%.9g", i ? " " : "", kl[i]);
    mls_table_buf(t, &each);
}

const char *mls_refused_reason(const char *refused, const char *setting)
{
    const size_t n = strlen(setting);

    if (!refused)
        return "";
    return strncmp(refused, setting, n) == 0 && strncmp(refused + n, ": ", 2) == 0
               ? refused + n + 2
               : refused;
}

void mls_refused_notes(mls_table *t, const mls_compared *row, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (row[i].refused)
            mls_table_note(t, row[i].refused);
}
