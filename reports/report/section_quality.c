/* Quality before any training: every method at the same bytes, measured. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/frame/fit.h"
#include "common/base/checked.h"
#include "common/base/words.h"
#include "reports/page/plot.h"
#include "reports/report/measured.h"
#include "reports/report/predictors.h"
#include "reports/report/sections.h"
#include "reports/tables/quantity_columns.h"

static const double fractions[] = {0.5, 0.3125, 0.25, 0.1875, 0.125};
enum {
    FRACTIONS = sizeof fractions / sizeof fractions[0],
    PER_METHOD = 2,
};

/* One setting and what it is a point of. */
typedef struct {
    const mls_method *method;
    double fraction;
    char name[MLS_SCHEME_NAME]; /* the setting's text */
} point;

/* How many methods there are. */
static size_t count_methods(void)
{
    size_t n = 0;

    while (mls_methods[n])
        n++;
    return n;
}

/*
 * The first settings of every method at every fraction.
 * @param[out] out, setting  (*n), released by the caller with free()
 */
static mls_status choose(point **out, mls_setting **setting, size_t *n,
                         const mls_config *c, mls_err *err)
{
    const size_t methods = count_methods();
    mls_status st = MLS_OK;

    *n = 0;
    *out = mls_calloc3(methods, FRACTIONS, PER_METHOD, sizeof **out);
    *setting = mls_calloc3(methods, FRACTIONS, PER_METHOD, sizeof **setting);
    if (!*out || !*setting)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a report");
    for (size_t m = 0; !st && m < methods; m++)
        for (size_t f = 0; !st && f < FRACTIONS; f++) {
            mls_fits fits;

            st = mls_method_fit(mls_methods[m], c, fractions[f], &fits, err);
            for (size_t i = 0; !st && i < fits.n && i < PER_METHOD; i++) {
                point *p = &(*out)[*n];

                *p = (point){.method = mls_methods[m], .fraction = fractions[f]};
                mls_setting_text(&fits.setting[i], p->name, sizeof p->name);
                (*setting)[(*n)++] = fits.setting[i];
            }
            mls_fits_free(&fits);
        }
    return st;
}

static const char *const quantities[] = {
    "kept_percent",   "bytes_per_token", "perplexity",
    "perplexity_low", "perplexity_high", "kl",
    "kl_half",        "top1_percent",    NULL};

static mls_table *make_table(const mls_report *r, const point *p, size_t n,
                             const mls_comparison *m)
{
    mls_table *t = mls_table_new(NULL);
    char note[256];

    mls_table_column(t, "served_by", "served by", "", 0);
    mls_table_column(t, "setting", "setting", "", 0);
    mls_quantity_columns(t, quantities);
    mls_table_column(t, "windows", "windows", "", 0);
    for (size_t i = 0; i < n; i++) {
        mls_table_row(t);
        if (m->row[i].refused)
            mls_table_empty(t);
        else
            mls_table_text(t, mls_serve_name(m->row[i].serve));
        mls_table_text(t, p[i].name);
        mls_quantity_cells(t, quantities, &m->row[i]);
        if (m->row[i].refused)
            mls_table_empty(t);
        else
            mls_table_count(t, (long long)m->row[i].N);
    }
    mls_refused_notes(t, m->row, n);
    snprintf(note, sizeof note, "the original: perplexity %.3f (%.3f to %.3f)",
             exp(m->original.mean), exp(m->original.mean - m->original.half),
             exp(m->original.mean + m->original.half));
    mls_table_note(t, note);
    snprintf(
        note, sizeof note,
        "%zu window%s of %zu tokens of held-out text, without overlap, every position "
        "with a next token scored; intervals 95 %% over windows",
        r->evaluation->N, mls_plural(r->evaluation->N),
        mls_corpus_length(r->evaluation));
    mls_table_note(t, note);
    for (size_t i = 0; i < n; i++)
        if (m->row[i].measured && m->row[i].N < r->evaluation->N) {
            mls_table_note(t, "on fewer windows, spread over the text: settings "
                              "clearly behind another of their class and share");
            break;
        }
    return t;
}

/* A method's curve in a class; what its project's code cannot run is no curve of it. */
static const char *curve_name(const mls_method *method, mls_serve serve, char *out,
                              size_t size)
{
    snprintf(out, size, "%s%s: %s", method->title,
             method->theirs && serve != method->project ? ", our variant" : "",
             mls_serve_name(serve));
    return out;
}

/* The best point of a method in a class at a fraction; n: there is none. */
static size_t best_point(const point *p, size_t n, const mls_comparison *m,
                         const mls_method *method, mls_serve serve, double fraction)
{
    size_t best = n;

    for (size_t i = 0; i < n; i++)
        if ((!method || p[i].method == method) && m->row[i].serve == serve &&
            p[i].fraction == fraction &&
            (best == n || mls_compared_ahead(&m->row[i], &m->row[best])))
            best = i;
    return best;
}

/* Lines of one curve in the script. */
static void add_curve(mls_buf *script, const char *name, mls_serve serve, int line)
{
    mls_buf_printf(script,
                   "%s\"../data/quality-curves.csv\" using (strcol(\"curve\") eq "
                   "\"%s\" ? column(\"kept_percent\") : "
                   "NaN):\"kl\":\"kl_low\":\"kl_high\" with yerrorbars linetype %d "
                   "pointtype 0 linewidth 1 dashtype 1 notitle, \\\n"
                   "     \"\" using (strcol(\"curve\") eq \"%s\" ? "
                   "column(\"kept_percent\") : NaN):\"kl\" with linespoints linetype "
                   "%d linewidth %d dashtype %d title \"%s\"",
                   line > 1 ? ", \\\n     " : "", name, line, name, line,
                   serve == MLS_SERVE_MLA ? 4 : 2,
                   serve == MLS_SERVE_OWN_KERNEL ? 2 : 1, name);
}

/*
 * The best point of a method at each fraction makes its curve, for each class of who
 * serves it; the others stay in the table. A table of their own, so that lines connect
 * what belongs together.
 */
static mls_status draw(const mls_report *r, const point *p, size_t n,
                       const mls_comparison *m, mls_err *err)
{
    mls_table *t = mls_table_new(NULL);
    mls_buf script = {0};
    const size_t methods = count_methods();
    char name[96];
    int line = 0;

    mls_table_column(t, "curve", "curve", "", 0);
    mls_table_column(t, "served_by", "served by", "", 0);
    mls_table_column(t, "method", "method", "", 0);
    mls_table_column(t, "setting", "setting", "", 0);
    mls_table_column(t, "kept_percent", "kept", "%", 2);
    mls_table_column(t, "kl", "KL", "nat", -1);
    mls_table_column(t, "kl_low", "low", "nat", -1);
    mls_table_column(t, "kl_high", "high", "nat", -1);
    mls_buf_puts(&script,
                 "set title \"Quality before any training, by who serves it: thick for "
                 "MLA code, dashed for no released code\"\n"
                 "set xlabel \"kept share of the cache (%)\"\n"
                 "set ylabel \"KL from the original (nat per token)\"\n"
                 "set logscale y\nset format y \"%g\"\nset xrange [8:54]\nplot ");
    for (size_t k = 0; k < MLS_SERVE_CLASSES * methods; k++) {
        const mls_serve serve = (mls_serve)(k / methods);
        const mls_method *method = mls_methods[k % methods];
        bool any = false;

        for (size_t f = 0; f < FRACTIONS; f++) {
            const size_t best = best_point(p, n, m, method, serve, fractions[f]);

            if (best == n)
                continue;
            const mls_mean kl = m->row[best].kl;

            any = true;
            mls_table_row(t);
            mls_table_text(t, curve_name(method, serve, name, sizeof name));
            mls_table_text(t, mls_serve_name(serve));
            mls_table_text(t, method->title);
            mls_table_text(t, p[best].name);
            mls_table_real(t, 100 * m->row[best].kept);
            mls_table_real(t, kl.mean);
            mls_table_real(t, fmax(kl.mean - kl.half, kl.mean / 10));
            mls_table_real(t, kl.mean + kl.half);
        }
        if (any)
            add_curve(&script, curve_name(method, serve, name, sizeof name), serve,
                      ++line);
    }
    mls_buf_puts(&script, "\n");
    const mls_plot plot = {.name = "quality-curves",
                           .data = t,
                           .script = script.data ? script.data : "",
                           .width = 1100,
                           .height = 640};
    const mls_status st = script.failed
                              ? mls_fail(err, MLS_E_NOMEM, "no memory for a plot")
                              : mls_plot_write(r->folder, &plot, err);
    mls_buf_free(&script);
    mls_table_free(t);
    return st;
}

/* The best of each class at each share: a class has no better and no worse outside. */
static mls_table *best_table(const point *p, size_t n, const mls_comparison *m)
{
    static const char *const shown[] = {"kept_percent", "kl", "kl_half", "perplexity",
                                        NULL};
    mls_table *t = mls_table_new(NULL);

    mls_table_column(t, "served_by", "served by", "", 0);
    mls_table_column(t, "setting", "best setting", "", 0);
    mls_quantity_columns(t, shown);
    for (int s = 0; s < MLS_SERVE_CLASSES; s++)
        for (size_t f = 0; f < FRACTIONS; f++) {
            const size_t best = best_point(p, n, m, NULL, (mls_serve)s, fractions[f]);

            if (best == n)
                continue;
            mls_table_row(t);
            mls_table_text(t, mls_serve_name((mls_serve)s));
            mls_table_text(t, p[best].name);
            mls_quantity_cells(t, shown, &m->row[best]);
        }
    return t;
}

/* Predicted errors against what was measured. */
static mls_status show_predictors(const mls_report *r, const point *p, size_t n,
                                  const mls_comparison *m, mls_page *page,
                                  mls_buf *summary, mls_err *err)
{
    mls_prediction *each = mls_calloc3(n, 1, 1, sizeof *each);
    mls_predictor rank[MLS_PREDICTORS];
    char sentence[512];
    mls_table *t = NULL;
    bool drawn = false;
    mls_status st;

    if (!each)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a report");
    for (size_t i = 0; i < n; i++)
        each[i] = (mls_prediction){
            .method = p[i].method->title,
            .setting = p[i].name,
            .size = p[i].fraction,
            .predicted = m->row[i].predicted,
            .kl = m->row[i].kl.mean,
        };
    st = mls_predictors_rank(rank, each, n, err);
    if (!st)
        st = mls_predictors_plot(r->folder, each, n, rank, &drawn, err);
    if (!st && drawn) {
        mls_predictors_say(rank, sentence, sizeof sentence);
        mls_page_heading(page, "Errors that predict the loss");
        mls_page_text(page, "%s", sentence);
        mls_buf_printf(summary, "%s\n", sentence);
        t = mls_predictors_table(rank);
        mls_page_table(page, t);
        st = mls_page_figure(page, r->folder, "predictors",
                             "Every measured setting: an error predicted from the "
                             "calibration text, mean over layers, against the KL of "
                             "the converted model on held-out text.",
                             err);
    }
    mls_table_free(t);
    free(each);
    return st;
}

mls_status mls_section_quality(const mls_report *r, mls_page *page, mls_buf *summary,
                               mls_err *err)
{
    mls_comparison m = {0};
    mls_setting *setting = NULL;
    mls_racer *racer = NULL;
    point *p = NULL;
    size_t n = 0;
    mls_table *t = NULL, *best = NULL;
    mls_status st;

    if (!r->evaluation)
        return MLS_OK;
    st = choose(&p, &setting, &n, mls_model_config(r->model), err);
    if (!st && !(racer = mls_calloc3(n, 1, 1, sizeof *racer)))
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a report");
    for (size_t i = 0; !st && i < n; i++)
        racer[i] = (mls_racer){p[i].fraction, setting[i].method};
    if (!st)
        st = mls_measured_settings(&m, r, r->evaluation, setting, racer, n, err);
    if (!st)
        st = draw(r, p, n, &m, err);
    if (!st) {
        mls_page_section(page, "quality", "Quality before any training");
        mls_page_text(
            page,
            "Each method is applied to this model as its project would start "
            "from, and the converted model is run on held-out text. KL is the "
            "distance of its next-token distribution from the original's; 0 is "
            "no loss. This is where training starts. Only settings that the same code "
            "serves are held against each other.");
        best = best_table(p, n, &m);
        mls_page_table(page, best);
        st = mls_page_figure(
            page, r->folder, "quality-curves",
            "The best measured setting of each method at each share, by who "
            "serves it. "
            "Bars: 95 % intervals over windows.",
            err);
        t = make_table(r, p, n, &m);
        mls_page_details(page, "All settings measured", t);
    }
    if (!st)
        st = show_predictors(r, p, n, &m, page, summary, err);
    mls_table_free(t);
    mls_table_free(best);
    mls_comparison_free(&m);
    free(p);
    free(setting);
    free(racer);
    return st;
}
