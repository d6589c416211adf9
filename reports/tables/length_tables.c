/*
 * What depends on the length of windows. A choice of chunks is compared with the one at
 * the longest length: the share of kept chunks that both keep, mean over layers and
 * heads; its place among the wavelengths is their median. A rule is warned of when less
 * than 90 % of its choice stays, a loss when its interval does not reach that of the
 * other length.
 */
#include "reports/tables/length_tables.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analysis/frequency/agreement.h"
#include "common/base/checked.h"
#include "reports/page/plot.h"
#include "reports/tables/curves.h"
#include "reports/tables/embedded.h"

static const double same_choice = 0.9; /* of kept chunks: less is warned of */

void mls_length_warning(char *out, size_t size, const mls_lengths *l,
                        const char *const *name)
{
    size_t a = 0, b = 0;

    *out = '\0';
    if (mls_lengths_turn(l, &a, &b))
        snprintf(out, size,
                 "the order depends on the length: of %.100s and %.100s one loses less "
                 "in windows of %zu tokens and the other in windows of %zu; measure at "
                 "the length at which the model will be used",
                 name[a], name[b], l->length[0], l->length[l->n - 1]);
    else if (mls_lengths_moved(l, &a))
        snprintf(out, size,
                 "the loss depends on the length: %.100s loses %.4g nat in windows of "
                 "%zu tokens and %.4g in windows of %zu; the order stays",
                 name[a], l->e[0].variant[a].kl.mean, l->length[0],
                 l->e[l->n - 1].variant[a].kl.mean, l->length[l->n - 1]);
}

static void add_mean(mls_table *t, mls_mean m)
{
    mls_table_cells(t, "%g %g", m.mean, m.half);
}

mls_table *mls_length_table(const mls_lengths *l, const char *const *name)
{
    mls_table *t = mls_table_new(NULL);
    char text[512];

    MLS_COLUMNS(t, {"setting", "setting", "", 0}, {"tokens", "tokens", "", 0},
                {"windows", "windows", "", 0}, {"perplexity", "perplexity", "", 3},
                {"kl", "KL", "nat", 5}, {"kl_half", "±", "nat", 5},
                {"delta_nll", "Δ NLL", "nat", 4}, {"delta_nll_half", "±", "nat", 4});
    for (size_t v = 0; l->n && v <= l->e[0].n; v++)
        for (size_t i = 0; i < l->n; i++) {
            const mls_quality *q = v ? &l->e[i].variant[v - 1] : &l->e[i].original;

            mls_table_line(t, "%s %zu %zu %g", v ? name[v - 1] : "original",
                           l->length[i], l->e[i].original.N, exp(q->nll.mean));
            add_mean(t, v ? q->kl : (mls_mean){NAN, NAN});
            add_mean(t, v ? q->dnll : (mls_mean){NAN, NAN});
        }
    mls_length_warning(text, sizeof text, l, name);
    if (*text)
        mls_table_note(t, text);
    mls_table_note(t, "the same tokens at every length, cut into windows from position "
                      "0; intervals 95 % over windows");
    return t;
}

mls_table *mls_position_table(const mls_evaluation *e, const char *const *name)
{
    mls_table *t = mls_table_new(NULL);

    MLS_COLUMNS(t, {"setting", "setting", "", 0}, {"from", "tokens before", "", 0},
                {"to", "to", "", 0}, {"nll", "NLL", "nat", 4},
                {"nll_half", "±", "nat", 4}, {"kl", "KL", "nat", 5},
                {"kl_half", "±", "nat", 5});
    for (size_t v = 0; v <= e->n; v++) {
        const mls_by_position *at = v ? &e->variant[v - 1].at : &e->original.at;

        for (size_t b = 0; b < at->n; b++) {
            if (isnan(at->nll[b].mean))
                continue;
            mls_table_line(t, "%s %lld %lld", v ? name[v - 1] : "original", 1LL << b,
                           (2LL << b) - 1);
            add_mean(t, at->nll[b]);
            add_mean(t, v ? at->kl[b] : (mls_mean){NAN, NAN});
        }
    }
    mls_table_note(t, "means over the positions of a bin, intervals 95 % over windows");
    return t;
}

mls_status mls_position_plot(const char *folder, const mls_evaluation *e,
                             const char *const *name, mls_err *err)
{
    mls_table *t = mls_position_table(e, name);
    mls_buf script = {0};
    mls_status st;

    mls_buf_printf(&script, "n = %zu\narray name[%zu]\narray line[%zu]\n", e->n, e->n,
                   e->n);
    for (size_t v = 0; v < e->n; v++) {
        int line = mls_curve_line_of(name[v]);

        for (size_t i = 0; i < v; i++) /* of two settings of a method one is its own */
            if (line == mls_curve_line_of(name[i]))
                line = (int)(v % MLS_PLOT_LINES) + 1;
        mls_buf_printf(&script, "name[%zu] = \"%s\"\nline[%zu] = %d\n", v + 1, name[v],
                       v + 1, line ? line : (int)(v % MLS_PLOT_LINES) + 1);
    }
    mls_buf_puts(&script, mls_positions_gp);
    st = script.failed
             ? mls_fail(err, MLS_E_NOMEM, "no memory for a plot")
             : mls_plot_write(
                   folder,
                   &(mls_plot){.name = "positions", .data = t, .script = script.data},
                   err);
    mls_buf_free(&script);
    mls_table_free(t);
    return st;
}

/* Share of the kept chunks of rule i, budget b that another run keeps too. */
static double kept_again(const mls_frequency *f, const mls_frequency *other, size_t i,
                         size_t b)
{
    double common = 0, kept = 0;

    for (size_t l = 0; l < f->L; l++) {
        const mls_selection *x = mls_frequency_selection(f, i, b, l);
        const mls_selection *y = mls_frequency_selection(other, i, b, l);

        for (size_t g = 0; g < f->G; g++) {
            common += (double)mls_order_common(x->order + g * f->C, x->count[g],
                                               y->order + g * f->C, y->count[g]);
            kept += (double)x->count[g];
        }
    }
    return kept > 0 ? common / kept : (double)NAN;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median_wavelength(const mls_frequency *f, size_t i, size_t b)
{
    double *wave = mls_calloc3(f->L * f->G, f->C, 1, sizeof *wave), median;
    size_t n = 0;

    for (size_t l = 0; wave && l < f->L; l++) {
        const mls_selection *s = mls_frequency_selection(f, i, b, l);

        for (size_t g = 0; g < f->G; g++)
            for (size_t k = 0; k < s->count[g]; k++)
                wave[n++] = mls_frequency_wavelength(f, l, s->order[g * f->C + k]);
    }
    if (n)
        qsort(wave, n, sizeof *wave, by_value);
    median = n ? (wave[(n - 1) / 2] + wave[n / 2]) / 2 : (double)NAN;
    free(wave);
    return median;
}

/* What the length can change: a score of windows. */
static bool sees_length(const mls_frequency_rule *r)
{
    return r->rule->needs == MLS_NEEDS_WINDOWS;
}

void mls_frequency_length_warning(char *out, size_t size, const mls_frequency *f,
                                  size_t n)
{
    double least = same_choice;

    *out = '\0';
    for (size_t i = 0; i < f->n_rules; i++)
        for (size_t b = 0; b < f->n_chunks; b++) {
            const double share = kept_again(&f[0], &f[n - 1], i, b);

            if (!sees_length(&f->rule[i]) || !(share < least))
                continue;
            least = share;
            snprintf(
                out, size,
                "the choice depends on the length: of the %zu chunks that %s keeps "
                "in windows of %zu tokens, %.0f %% are kept in windows of %zu; "
                "capture at the length at which the model will be used",
                f->chunks[b], f->rule[i].name, f[0].T, 100 * share, f[n - 1].T);
        }
}

mls_table *mls_frequency_length_table(const mls_frequency *f, size_t n)
{
    mls_table *t = mls_table_new(NULL);
    char text[320];

    MLS_COLUMNS(t, {"rule", "rule", "", 0}, {"chunks", "chunks", "", 0},
                {"tokens", "tokens", "", 0},
                {"same_percent", "kept at the longest", "%", 1},
                {"median_wavelength", "median wavelength", "token", 1});
    for (size_t i = 0; i < f->n_rules; i++)
        for (size_t b = 0; b < f->n_chunks; b++)
            for (size_t k = 0; k < n; k++) {
                if (!sees_length(&f->rule[i]) && k + 1 < n)
                    continue;
                mls_table_line(t, "%s %zu", f->rule[i].name, f->chunks[b]);
                if (sees_length(&f->rule[i]))
                    mls_table_count(t, (long long)f[k].T);
                else
                    mls_table_text(t, "any");
                mls_table_cells(t, "%g %g", 100 * kept_again(&f[k], &f[n - 1], i, b),
                                median_wavelength(&f[k], i, b));
            }
    mls_frequency_length_warning(text, sizeof text, f, n);
    if (*text)
        mls_table_note(t, text);
    mls_table_note(t,
                   "the first tokens of the captured windows; rules of the shape and "
                   "of norms do not see the length");
    return t;
}
