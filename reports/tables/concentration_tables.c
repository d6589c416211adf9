/*
 * Summaries are medians over heads, which a few odd heads do not move. Of each kind of
 * head that one is drawn whose curve the means predict best.
 */
#include "reports/tables/concentration_tables.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"
#include "reports/page/plot.h"
#include "reports/tables/embedded.h"

static bool was_heard(const mls_heard *h)
{
    return !isnan(h->r_q);
}

mls_table *mls_hearing_table(const mls_hearing *h)
{
    mls_table *t = mls_table_new(NULL);

    MLS_COLUMNS(
        t, {"layer", "layer", "", 0}, {"head", "head", "", 0}, {"r_q", "R of q", "", 3},
        {"r_k", "R of k", "", 3}, {"r_strongest", "strongest chunk", "", 3},
        {"correlation", "curve's correlation", "", 3},
        {"first_percent", "first token", "%", 1}, {"near_percent", "last 8", "%", 1},
        {"far_percent", "far", "%", 1}, {"name", "name", "", 0});
    for (size_t i = 0; i < h->L * h->H; i++) {
        const mls_heard *head = &h->head[i];

        if (!was_heard(head))
            continue;
        mls_table_line(t, "%zu %zu %g %g %g %g %g %g %g %s", i / h->H, i % h->H,
                       head->r_q, head->r_k, head->r_strongest, head->correlation,
                       100 * head->reach.first, 100 * head->reach.near,
                       100 * head->reach.far, mls_reach_name(&head->reach));
    }
    mls_table_note(t,
                   "R = |E u| / E|u| before RoPE, weighted by the chunks' 2-norms; "
                   "curve: the logits by distance that the means alone make, against "
                   "the true mean logits");
    mls_table_note(t,
                   "attention of the later half of the queries; far: a quarter of the "
                   "window or more; named where more than half lies: sink (first "
                   "token), local (last 8), long-range (far, more than even attention "
                   "has there) or diffuse (not more)");
    return t;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *x, size_t n)
{
    qsort(x, n, sizeof *x, by_value);
    return n ? (x[(n - 1) / 2] + x[n / 2]) / 2 : (double)NAN;
}

mls_status mls_hearing_summarize(mls_hearing_summary *out, const mls_hearing *h,
                                 mls_err *err)
{
    const size_t all = h->L * h->H;
    double *q = mls_calloc3(all, 3, 1, sizeof *q), *k = q + all, *curve = k + all;
    size_t n = 0, curves = 0;

    *out = (mls_hearing_summary){0};
    if (!q)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu heads", all);
    for (size_t i = 0; i < all; i++) {
        const char *name = mls_reach_name(&h->head[i].reach);

        if (!was_heard(&h->head[i]))
            continue;
        q[n] = h->head[i].r_q;
        k[n++] = h->head[i].r_k;
        if (!isnan(h->head[i].correlation))
            curve[curves++] = h->head[i].correlation;
        out->sinks += strcmp(name, "sink") == 0;
        out->local += strcmp(name, "local") == 0;
        out->far += strcmp(name, "long-range") == 0;
        out->diffuse += strcmp(name, "diffuse") == 0;
    }
    out->heads = n;
    out->r_q = median(q, n);
    out->r_k = median(k, n);
    out->correlation = median(curve, curves);
    free(q);
    return MLS_OK;
}

mls_status mls_hearing_map(const char *folder, const mls_hearing *h, mls_err *err)
{
    mls_buf script = {0};

    mls_buf_printf(&script, "heads = %zu\nlayers = %zu\n%s", h->H, h->L,
                   mls_hearing_map_gp);
    return mls_plot_take(folder, "hearing-map", mls_hearing_table(h), &script,
                         h->L > 14 ? 200 + 11 * (unsigned)h->L : 0, err);
}

/* The head of a name whose curve is followed best; SIZE_MAX: none. */
static size_t best_of(const mls_hearing *h, const char *name)
{
    size_t best = SIZE_MAX;

    for (size_t i = 0; i < h->L * h->H; i++)
        if (!isnan(h->head[i].correlation) &&
            strcmp(mls_reach_name(&h->head[i].reach), name) == 0 &&
            (best == SIZE_MAX || h->head[i].correlation > h->head[best].correlation))
            best = i;
    return best;
}

mls_status mls_hearing_curves(const char *folder, const mls_hearing *h, mls_err *err)
{
    static const char *const names[] = {"sink", "local", "long-range", "diffuse", ""};
    mls_table *t = mls_table_new(NULL);
    mls_buf script = {0};
    int n = 0;

    MLS_COLUMNS(t, {"head", "head", "", 0}, {"distance", "distance", "token", 0},
                {"logit", "mean logit", "", -1}, {"predicted", "by the means", "", -1});
    mls_buf_puts(&script, "array name[5]\n");
    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
        const size_t i = best_of(h, names[k]);
        char name[64];

        if (i == SIZE_MAX)
            continue;
        snprintf(name, sizeof name, "layer %zu head %zu%s%s%s", i / h->H, i % h->H,
                 *names[k] ? " (" : "", names[k], *names[k] ? ")" : "");
        for (size_t d = 0; d < h->n; d++) {
            mls_table_line(t, "%s %zu %g %g", name, h->distance[d],
                           h->logit[i * h->n + d], h->predicted[i * h->n + d]);
        }
        mls_buf_printf(&script, "name[%d] = \"%s\"\n", ++n, name);
    }
    mls_buf_printf(&script, "n = %d\n%s", n,
                   n ? mls_hearing_curves_gp : "plot 0 notitle\n");
    return mls_plot_take(folder, "hearing-curves", t, &script, 0, err);
}
