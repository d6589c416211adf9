/*
 * Two results of the same windows are paired: the interval is that of the differences.
 * Otherwise those of A and B are taken as independent, which is cautious where the text
 * is the same. At 95 % one setting of twenty looks changed by chance alone; the words
 * say how many that would be.
 */
#include "reports/diff/diff.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_capture(const char *path)
{
    const size_t n = strlen(path);

    return n > 3 && strcmp(path + n - 3, ".h5") == 0;
}

mls_diff_line *mls_diff_add(mls_diff *d)
{
    mls_diff_line *more = realloc(d->line, (d->n + 1) * sizeof *more);

    if (!more)
        return NULL;
    d->line = more;
    more[d->n] = (mls_diff_line){.kept = NAN};
    return &more[d->n++];
}

void mls_diff_fact_add(mls_diff *d, const char *what, const char *a, const char *b)
{
    mls_diff_fact *f = &d->fact[d->n_facts];

    if (d->n_facts == sizeof d->fact / sizeof d->fact[0])
        return;
    d->n_facts++;
    snprintf(f->what, sizeof f->what, "%s", what);
    snprintf(f->a, sizeof f->a, "%s", a);
    snprintf(f->b, sizeof f->b, "%s", b);
}

const char *mls_diff_verdict(const mls_diff_line *l)
{
    return isnan(l->change.half) ? "unknown: no interval"
           : !l->more            ? "no more than noise"
           : l->change.mean < 0  ? "better"
                                 : "worse";
}

/* The clearest change first, then those within noise, those without interval last. */
static double clearness(const mls_diff_line *l)
{
    return isnan(l->change.half) ? -1
           : l->more             ? 1e9 + fabs(l->change.mean) / l->change.half
                                 : fabs(l->change.mean);
}

static int by_clearness(const void *a, const void *b)
{
    const mls_diff_line *x = a, *y = b;
    const double p = clearness(x), q = clearness(y);

    return p != q ? (p < q) - (p > q) : strcmp(x->what, y->what);
}

mls_status mls_diff_make(mls_diff *d, const char *a, const char *b, mls_err *err)
{
    mls_status st;

    *d = (mls_diff){.path = {a, b}, .captures = is_capture(a)};
    if (is_capture(a) != is_capture(b))
        return mls_fail(err, MLS_E_ARG,
                        "a capture is compared with a capture, a table or a report "
                        "with one of these");
    st = d->captures ? mls_diff_captures(d, err) : mls_diff_results(d, err);
    if (!st && d->words.failed)
        st = mls_fail(err, MLS_E_NOMEM, "no memory to compare results");
    if (!st && d->n > 1)
        qsort(d->line, d->n, sizeof *d->line, by_clearness);
    if (st)
        mls_diff_free(d);
    return st;
}

void mls_diff_free(mls_diff *d)
{
    for (size_t i = 0; i < d->n; i++)
        free(d->line[i].what);
    free(d->line);
    mls_table_free(d->best);
    mls_buf_free(&d->words);
    *d = (mls_diff){0};
}

mls_table *mls_diff_table(const mls_diff *d, bool words)
{
    const char *of = d->captures ? "nll" : "kl";
    mls_table *t = mls_table_new(words ? "What changed from A to B" : NULL);
    bool served = false, kept = false; /* which of these the results have */
    char key[16];

    mls_table_meta(t, "A", d->path[0]);
    mls_table_meta(t, "B", d->path[1]);
    mls_table_column(t, "what", d->captures ? "text" : "setting", "", 0);
    for (size_t i = 0; i < d->n; i++) {
        served |= *d->line[i].served_by != 0;
        kept |= !isnan(d->line[i].kept);
    }
    if (served)
        mls_table_column(t, "served_by", "served by", "", 0);
    if (kept)
        mls_table_column(t, "kept_percent", "kept", "%", 1);
    snprintf(key, sizeof key, "%s_a", of);
    mls_table_column(t, key, "A", "nat", 4);
    snprintf(key, sizeof key, "%s_b", of);
    MLS_COLUMNS(t, {key, "B", "nat", 4}, {"change", "change", "nat", 4},
                {"change_half", "±", "nat", 4}, {"paired", "paired", "", 0},
                {"verdict", "verdict", "", 0});
    for (size_t i = 0; i < d->n; i++) {
        const mls_diff_line *l = &d->line[i];

        mls_table_line(t, "%s", l->what);
        if (served)
            mls_table_text(t, *l->served_by ? l->served_by : "-");
        if (kept)
            mls_table_real(t, l->kept);
        mls_table_cells(t, "%g %g %g %g %s %s", l->a, l->b, l->change.mean,
                        l->change.half, l->paired ? "yes" : "no", mls_diff_verdict(l));
    }
    for (const char *w = d->words.data; words && w && *w;) {
        const size_t n = strcspn(w, "\n");

        mls_table_say(t, "%.*s", (int)n, w);
        w += n + (w[n] == '\n');
    }
    return t;
}
