/*
 * Spearman's correlation of a predicted error with measured KL, over all settings and,
 * weighted by their numbers, within sizes that have four or more: over all sizes every
 * predictor looks good, because a smaller cache loses more by any of them, so the
 * second decides where it is there.
 */
#include "reports/report/predictors.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/numeric/interval.h"
#include "common/base/buf.h"
#include "common/base/checked.h"
#include "reports/page/plot.h"
#include "reports/report/embedded.h"
#include "reports/tables/curves.h"

enum { EQUAL_MIN = 4, ATTENTION = MLS_PREDICTORS - 1 };

static const double round_off_error = 1e-6;

static const struct {
    const char *key, *name, *axis;
} predictors[MLS_PREDICTORS] = {
    {"key", "key error", "relative squared error of keys"},
    {"value", "value error", "relative squared error of values"},
    {"logit", "logit error", "root mean square error of scores (nat)"},
    {"output", "output error", "relative squared error of value outputs"},
    {"attention", "attention error", "relative squared error of attention outputs"},
};

/*
 * Error k; NaN where the form is the model's own but for round-off: what such a method
 * loses (tokens that it drops) is not in the form, only in its attention outputs.
 */
static double error_of(const mls_prediction *p, size_t k)
{
    const double error[MLS_PREDICTORS] = {p->predicted.key, p->predicted.value,
                                          p->predicted.logit, p->predicted.output,
                                          p->predicted.attention};
    bool round_off = true;

    for (size_t i = 0; i < MLS_PREDICTORS; i++)
        round_off &= i == ATTENTION ? k != ATTENTION : error[i] < round_off_error;
    return round_off ? (double)NAN : error[k];
}

/* Settings of one size (NaN: of any) that have error k, into x and y (n). */
static size_t gather(const mls_prediction *p, size_t n, size_t k, double size,
                     double *x, double *y)
{
    size_t found = 0;

    for (size_t i = 0; i < n; i++) {
        if (isnan(error_of(&p[i], k)) || (!isnan(size) && p[i].size != size))
            continue;
        x[found] = error_of(&p[i], k);
        y[found++] = p[i].kl;
    }
    return found;
}

/* Is p[i] the first of its size? */
static bool first_of_size(const mls_prediction *p, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (p[j].size == p[i].size)
            return false;
    return true;
}

mls_status mls_predictors_rank(mls_predictor rank[MLS_PREDICTORS],
                               const mls_prediction *p, size_t n, mls_err *err)
{
    double *x = mls_calloc3(n, 1, 1, sizeof *x), *y = mls_calloc3(n, 1, 1, sizeof *y);
    mls_status st = MLS_OK;

    if (!x || !y)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for %zu predictions", n);
    for (size_t k = 0; k < MLS_PREDICTORS && !st; k++) {
        double sum = 0, weight = 0;

        rank[k].name = predictors[k].name;
        rank[k].n = gather(p, n, k, (double)NAN, x, y);
        rank[k].rank = rank[k].n ? mls_rank_correlation(x, y, rank[k].n) : (double)NAN;
        for (size_t i = 0; i < n; i++) {
            if (!first_of_size(p, i))
                continue;
            const size_t found = gather(p, n, k, p[i].size, x, y);
            const double one =
                found < EQUAL_MIN ? (double)NAN : mls_rank_correlation(x, y, found);

            if (isnan(one))
                continue;
            sum += (double)found * one;
            weight += (double)found;
        }
        rank[k].rank_equal_size = sum / weight;
    }
    mls_free_all(x, y);
    return st;
}

static double figure_of(const mls_predictor *r, bool equal)
{
    return equal ? r->rank_equal_size : r->rank;
}

const char *mls_predictors_say(const mls_predictor rank[MLS_PREDICTORS], char *out,
                               size_t size)
{
    size_t best = MLS_PREDICTORS, worst = MLS_PREDICTORS;
    bool equal = false;

    for (size_t k = 0; k < MLS_PREDICTORS; k++)
        equal |= !isnan(rank[k].rank_equal_size);
    for (size_t k = 0; k < MLS_PREDICTORS; k++) {
        const double x = figure_of(&rank[k], equal);

        if (isnan(x))
            continue;
        if (best == MLS_PREDICTORS || x > figure_of(&rank[best], equal))
            best = k;
        if (worst == MLS_PREDICTORS || x < figure_of(&rank[worst], equal))
            worst = k;
    }
    if (best == MLS_PREDICTORS)
        snprintf(out, size,
                 "No predicted error can be compared with measured KL here.");
    else if (figure_of(&rank[best], equal) < 0.5)
        snprintf(
            out, size,
            "No predicted error deserves trust on this model: the best, %s, orders "
            "%zu settings with a rank correlation of only %.2f%s; measure instead.",
            rank[best].name, rank[best].n, figure_of(&rank[best], equal),
            equal ? " among settings of equal size" : "");
    else if (best == worst)
        snprintf(out, size,
                 "On this model the %s orders %zu settings with a rank correlation of "
                 "%.2f%s; there is no other to compare with.",
                 rank[best].name, rank[best].n, figure_of(&rank[best], equal),
                 equal ? " among settings of equal size" : "");
    else
        snprintf(out, size,
                 "On this model the %s deserves most trust: it orders %zu settings as "
                 "measured KL does with a rank correlation of %.2f%s; the %s deserves "
                 "least (%.2f).",
                 rank[best].name, rank[best].n, figure_of(&rank[best], equal),
                 equal ? " among settings of equal size" : "", rank[worst].name,
                 figure_of(&rank[worst], equal));
    return out;
}

mls_table *mls_predictors_table(const mls_predictor rank[MLS_PREDICTORS])
{
    mls_table *t = mls_table_new(NULL);

    MLS_COLUMNS(t, {"predictor", "predicted", "", 0}, {"settings", "settings", "", 0},
                {"rank_correlation", "Spearman, all", "", 3},
                {"rank_correlation_equal_size", "at equal size", "", 3});
    for (size_t k = 0; k < MLS_PREDICTORS; k++) {
        mls_table_line(t, "%s %zu %g %g", rank[k].name, rank[k].n, rank[k].rank,
                       rank[k].rank_equal_size);
    }
    mls_table_note(t,
                   "rank correlation with measured KL; 1: the same order. Errors are "
                   "means over layers. The attention error is computed by running each "
                   "layer's attention by itself on windows of the calibration text, "
                   "the others from second moments; none runs the converted model");
    return t;
}

size_t mls_predictors_best(const mls_predictor rank[MLS_PREDICTORS])
{
    size_t best = MLS_PREDICTORS;
    bool equal = false;

    for (size_t k = 0; k < MLS_PREDICTORS; k++)
        equal |= !isnan(rank[k].rank_equal_size);
    for (size_t k = 0; k < MLS_PREDICTORS; k++) {
        const double x = figure_of(&rank[k], equal);

        if (!isnan(x) && (best == MLS_PREDICTORS || x > figure_of(&rank[best], equal)))
            best = k;
    }
    return best;
}

static mls_table *make_table(const mls_prediction *p, size_t n, size_t k)
{
    mls_table *t = mls_table_new(NULL);

    MLS_COLUMNS(t, {"method", "method", "", 0}, {"setting", "setting", "", 0},
                {"error", predictors[k].name, "", -1}, {"kl", "KL", "nat", -1});
    for (size_t i = 0; i < n; i++) {
        if (!(error_of(&p[i], k) > round_off_error && p[i].kl > 0))
            continue;
        mls_table_line(t, "%s %s %g %g", p[i].method, p[i].setting, error_of(&p[i], k),
                       p[i].kl);
    }
    return t;
}

mls_status mls_predictor_plot(const char *folder, const mls_prediction *p, size_t n,
                              size_t k, char name[MLS_PREDICTOR_NAME], bool *drawn,
                              mls_err *err)
{
    mls_table *t = make_table(p, n, k);
    mls_buf script = {0}, methods = {0};
    size_t found = 0;
    mls_status st = MLS_OK;

    for (size_t m = 0; mls_methods[m]; m++) {
        bool any = false;

        for (size_t i = 0; i < n; i++)
            any |= strcmp(p[i].method, mls_methods[m]->title) == 0 && p[i].kl > 0 &&
                   error_of(&p[i], k) > round_off_error;
        if (any)
            mls_buf_printf(&methods, "method[%zu] = \"%s\"\nline[%zu] = %d\n",
                           found + 1, mls_methods[m]->title, found + 1,
                           mls_curve_line(mls_methods[m]));
        found += any;
    }
    snprintf(name, MLS_PREDICTOR_NAME, "predictor-%s", predictors[k].key);
    mls_buf_printf(&script,
                   "key = \"%s\"\naxis = \"%s\"\nn = %zu\narray method[%zu]\n"
                   "array line[%zu]\n%s%s",
                   predictors[k].key, predictors[k].axis, found, found, found,
                   methods.data ? methods.data : "", mls_predictor_gp);
    *drawn = mls_table_rows(t) > 1;
    if (script.failed || methods.failed || !t)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a plot");
    else if (*drawn)
        st = mls_plot_write(
            folder,
            &(mls_plot){.name = name, .data = t, .script = script.data, .height = 460},
            err);
    mls_buf_free(&script);
    mls_buf_free(&methods);
    mls_table_free(t);
    return st;
}
