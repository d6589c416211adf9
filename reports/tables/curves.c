/*
 * A key beside sixteen lines is looked up sixteen times; a name where the line ends is
 * read once. Labels keep the order of the ends and a least distance: those that would
 * cover each other are pushed up from the lowest, then down from the top.
 */
#include "reports/tables/curves.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reports/page/plot.h"

static const double apart = 0.056; /* of the height: a line of the plot's font */

int mls_curve_line(const mls_method *method)
{
    size_t i = 0;

    while (mls_methods[i] && mls_methods[i] != method)
        i++;
    return (int)(i % MLS_PLOT_LINES) + 1;
}

int mls_curve_line_of(const char *setting)
{
    const mls_method *method;
    mls_setting s;

    if (mls_setting_parse(&s, setting, NULL) ||
        mls_method_find(&method, s.method, NULL))
        return 0;
    return mls_curve_line(method);
}

bool mls_curves_equal(const double *ax, const double *ay, const double *bx,
                      const double *by, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (isnan(ay[i]) != isnan(by[i]))
            return false;
        if (!isnan(ay[i]) &&
            (ax[i] != bx[i] || fabs(ay[i] - by[i]) > 1e-5 * fabs(ay[i])))
            return false;
    }
    return true;
}

void mls_curve_also(mls_curve *c, const char *name)
{
    const size_t at = strlen(c->name);

    snprintf(c->name + at, sizeof c->name - at, " = %s", name);
}

typedef struct {
    double at; /* share of the height */
    size_t curve;
} label;

static int by_height(const void *a, const void *b)
{
    const label *x = a, *y = b;

    return (x->at > y->at) - (x->at < y->at);
}

void mls_curves_prelude(mls_buf *script, const mls_curve *curve, size_t n, double low,
                        double high, bool logarithmic)
{
    label *l = calloc(n + 1, sizeof *l);

    if (!l) {
        script->failed = true;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const double y = fmin(fmax(curve[i].end, low), high);

        l[i].curve = i;
        l[i].at =
            logarithmic ? log(y / low) / log(high / low) : (y - low) / (high - low);
    }
    qsort(l, n, sizeof *l, by_height);
    for (size_t i = 1; i < n; i++)
        l[i].at = fmax(l[i].at, l[i - 1].at + apart);
    for (size_t i = n; i-- > 0;)
        l[i].at = fmin(l[i].at, i + 1 < n ? l[i + 1].at - apart : 1.0);
    mls_buf_printf(script, "n = %zu\narray line[%zu]\n", n, n ? n : 1);
    for (size_t i = 0; i < n; i++)
        mls_buf_printf(script,
                       "line[%zu] = %d\n"
                       "set label %zu \"%s\" at graph 1.03, graph %.4f left point "
                       "linetype %d offset 0.8,0 font \",11\"\n",
                       l[i].curve + 1, curve[l[i].curve].line, i + 1,
                       curve[l[i].curve].name, l[i].at, curve[l[i].curve].line);
    free(l);
}
