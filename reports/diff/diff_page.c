/* A page of the words, the best of each class, a picture, and every setting. */
#include <math.h>
#include <string.h>

#include "reports/diff/diff.h"
#include "reports/diff/embedded.h"
#include "reports/page/plot.h"

/* A decade's ends around all KLs of A. */
static void find_range(const mls_diff *d, double *low, double *high)
{
    *low = HUGE_VAL;
    *high = 0;
    for (size_t i = 0; i < d->n; i++) {
        if (d->line[i].a > 0) {
            *low = fmin(*low, d->line[i].a);
            *high = fmax(*high, d->line[i].a);
        }
    }
    *low = pow(10, floor(log10(*low)));
    *high = pow(10, ceil(log10(*high)));
}

static mls_status draw(mls_page *page, const mls_diff *d, const mls_table *t,
                       const char *folder, mls_err *err)
{
    double low, high;
    mls_buf script = {0};
    mls_status st;

    find_range(d, &low, &high);
    if (!(low < high) || !folder)
        return MLS_OK;
    mls_buf_printf(&script, "low = %g\nhigh = %g\n%s", low, high, mls_diff_gp);
    st = script.failed
             ? mls_fail(err, MLS_E_NOMEM, "no memory for a plot")
             : mls_plot_write(
                   folder,
                   &(mls_plot){.name = "diff", .data = t, .script = script.data}, err);
    mls_buf_free(&script);
    mls_page_alt(page, "KL in B over KL in A, %zu settings. %.300s", d->n,
                 d->words.data ? d->words.data : "");
    return st ? st
              : mls_page_figure(page, folder, "diff",
                                "Below the line B loses less than A, above it more; "
                                "grey: no more than noise.",
                                err);
}

static void put_words(mls_page *page, const mls_diff *d)
{
    bool first = true;

    for (const char *w = d->words.data; w && *w; first = false) {
        const size_t n = strcspn(w, "\n");

        if (first)
            mls_page_lead(page, "%.*s", (int)n, w);
        else if (strncmp(w, "Served by ", 10) != 0) /* the table below says it */
            mls_page_text(page, "%.*s", (int)n, w);
        w += n + (w[n] == '\n');
    }
}

static void put_facts(mls_page *page, const mls_diff *d)
{
    mls_table *t = mls_table_new(NULL);

    MLS_COLUMNS(t, {"what", "what", "", 0}, {"a", "A", "", 0}, {"b", "B", "", 0});
    mls_table_line(t, "%s %s %s", "where", d->path[0], d->path[1]);
    for (size_t i = 0; i < d->n_facts; i++) {
        const mls_diff_fact *f = &d->fact[i];

        mls_table_line(t, "%s %s %s", f->what, f->a,
                       strcmp(f->a, f->b) == 0 ? "the same" : f->b);
    }
    mls_page_table(page, t);
    mls_table_free(t);
}

mls_status mls_diff_page(mls_page **page, const mls_diff *d, const char *folder,
                         mls_err *err)
{
    mls_page *p = mls_page_new("What changed from A to B");
    mls_table *t = mls_diff_table(d, false);
    mls_status st =
        p && t ? MLS_OK : mls_fail(err, MLS_E_NOMEM, "no memory for a page");

    if (!st) {
        mls_page_section(p, "answer", "In short");
        put_words(p, d);
        if (d->best) {
            mls_page_heading(p, "The best of each class at 25 % of the cache");
            mls_page_table(p, d->best);
        }
        mls_page_section(p, "settings",
                         d->captures ? "The text's loss" : "Setting by setting");
    }
    if (!st && !d->captures)
        st = draw(p, d, t, folder, err);
    if (!st) {
        mls_page_table(p, t);
        mls_page_section(p, "made", "What was compared");
        put_facts(p, d);
    }
    mls_table_free(t);
    if (st) {
        mls_page_free(p);
        p = NULL;
    }
    *page = p;
    return st;
}
