#include "reports/tables/quantity_columns.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "analysis/latent/size.h"

static const mls_quantity *find(const char *key)
{
    const mls_quantity *q = mls_quantity_find(key + (*key == '-' || *key == '~'));

    assert(q);
    return q;
}

void mls_quantity_columns(mls_table *t, const char *const *keys,
                          const mls_config *config)
{
    for (; *keys; keys++) {
        const mls_quantity *q = find(*keys);

        mls_table_column(t, q->key, q->heading, q->unit, q->decimals);
        if (**keys == '-' || (**keys == '~' && !mls_size_has_fixed(config)))
            mls_table_detail(t);
    }
}

void mls_quantity_cells(mls_table *t, const char *const *keys, const mls_compared *r)
{
    for (; *keys; keys++)
        mls_table_real(t, find(*keys)->get(r));
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

void mls_refused_notes(mls_table *t, const mls_compared *row, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (row[i].refused)
            mls_table_note(t, row[i].refused);
}
