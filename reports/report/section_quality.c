/* Quality before any training: every method at the same bytes, measured. */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/frame/fit.h"
#include "common/base/checked.h"
#include "common/base/words.h"
#include "reports/page/plot.h"
#include "reports/report/embedded.h"
#include "reports/report/measured.h"
#include "reports/report/predictors.h"
#include "reports/report/sections.h"
#include "reports/report/served.h"
#include "reports/tables/curves.h"
#include "reports/tables/quantity_columns.h"

/* Panels end there: a tenth of what is hard to notice, and a tenth of that. */
static const double KL_LEAST = 1e-4;

/* Every other one is between two and measured with --exhaustive alone. */
static const double fractions[] = {0.5, 0.3125, 0.25, 0.1875, 0.125};
enum {
    FRACTIONS = sizeof fractions / sizeof fractions[0],
    QUARTER = 2, /* of these */
    PER_METHOD = 2,
    CURVES_MAX = 32,
};

/* One setting and what it is a point of. */
typedef struct {
    const mls_method *method;
    double fraction;
    char name[MLS_SCHEME_NAME]; /* the setting's text */
} point;

static bool is_shown(const mls_report *r, size_t fraction)
{
    return r->exhaustive || fraction == QUARTER ||
           (fraction % 2 == 0 && !mls_measured_large(r));
}

/*
 * The first settings of every method at the fractions that are shown; after these (*n)
 * stands the model's own cache in 4 bits.
 * @param[out] out, setting  (*n), released by the caller with free()
 */
static mls_status choose(point **out, mls_setting **setting, size_t *n,
                         const mls_report *r, mls_err *err)
{
    const mls_config *c = mls_model_config(r->model);
    size_t methods = 0;
    mls_status st = MLS_OK;

    while (mls_methods[methods])
        methods++;
    *n = 0;
    *out = mls_calloc3(methods, FRACTIONS, PER_METHOD, sizeof **out);
    *setting = mls_calloc3(methods + 1, FRACTIONS, PER_METHOD, sizeof **setting);
    if (!*out || !*setting)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a report");
    for (size_t m = 0; !st && m < methods; m++)
        for (size_t f = 0; !st && f < FRACTIONS; f++) {
            mls_fits fits;

            if (!is_shown(r, f))
                continue;
            st = mls_method_fit(mls_methods[m], c, fractions[f], &fits, err);
            for (size_t i = 0; !st && i < fits.n && i < PER_METHOD; i++) {
                point *p = &(*out)[*n];

                *p = (point){.method = mls_methods[m], .fraction = fractions[f]};
                mls_setting_text(&fits.setting[i], p->name, sizeof p->name);
                (*setting)[(*n)++] = fits.setting[i];
            }
            mls_fits_free(&fits);
        }
    if (!st)
        st = mls_setting_parse(&(*setting)[*n], MLS_REPORT_BITS, err);
    return st;
}

static const char quantities[] = MLS_QUALITY_KEYS " top1_percent";

static mls_table *make_table(const mls_report *r, const point *p, size_t n,
                             const mls_comparison *m)
{
    mls_table *t = mls_table_new(NULL);
    char spread[MLS_SPREAD_TEXT];

    mls_table_column(t, "served_by", "served by", "", 0);
    mls_table_column(t, "setting", "setting", "", 0);
    mls_quantity_columns(t, quantities, mls_model_config(r->model));
    mls_table_column(t, "windows", "windows", "", 0);
    mls_window_columns(t);
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
        mls_window_cells(t, r->evaluation, MLS_SCORE_ALL, m->row[i].seq_kl,
                         m->row[i].measured ? m->row[i].N : 0);
    }
    mls_refused_notes(t, m->row, n);
    mls_table_say(t, "the original: perplexity %s",
                  mls_perplexity_text(spread, m->original));
    mls_table_say(
        t,
        "%zu window%s of %zu tokens of held-out text, without overlap, every position "
        "with a next token scored; intervals 95 %% over windows",
        r->evaluation->N, mls_plural(r->evaluation->N),
        mls_corpus_length(r->evaluation));
    for (size_t i = 0; i < n; i++)
        if (m->row[i].measured && m->row[i].N < r->evaluation->N) {
            mls_table_note(t, "on fewer windows, spread over the text: settings "
                              "clearly behind another of their class and share on an "
                              "eighth, the others at sizes other than 25 % on half");
            break;
        }
    if (mls_measured_large(r))
        mls_table_note(
            t,
            "a model this large is measured at 25 % alone; --exhaustive measures other "
            "sizes, too");
    else if (!r->exhaustive)
        mls_table_note(t, "--exhaustive measures 31.25 and 18.75 %, too");
    return t;
}

/* A method's curve in a class; what its project's code cannot run is no curve of it. */
static const char *curve_name(const mls_method *method, mls_serve serve, char *out,
                              size_t size)
{
    const char *remark = strstr(method->title, " ("); /* no room for it */

    snprintf(out, size, "%.*s%s",
             (int)(remark ? remark - method->title : (ptrdiff_t)strlen(method->title)),
             method->title,
             method->theirs && serve != method->project ? ", varied" : "");
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

/* Curves of one class: best[k][f] is the point of curve k at fraction f, n: none. */
typedef struct {
    mls_curve curve[CURVES_MAX];
    size_t best[CURVES_MAX][FRACTIONS], n;
} panel;

/* The curves that a class has; equal ones become one of two names. */
static void fill_panel(panel *out, const point *p, size_t n, const mls_comparison *m,
                       mls_serve serve)
{
    double bytes[CURVES_MAX][FRACTIONS], kl[CURVES_MAX][FRACTIONS];

    out->n = 0;
    for (size_t k = 0; mls_methods[k] && out->n < CURVES_MAX; k++) {
        mls_curve c = {.line = mls_curve_line(mls_methods[k])};
        const size_t at = out->n;
        size_t same = 0;
        bool any = false;

        for (size_t f = FRACTIONS; f-- > 0;) {
            const size_t best =
                best_point(p, n, m, mls_methods[k], serve, fractions[f]);

            out->best[at][f] = best;
            bytes[at][f] = best < n ? m->row[best].bytes : (double)NAN;
            kl[at][f] = best < n ? m->row[best].kl.mean : (double)NAN;
            if (best < n) {
                c.end = kl[at][f];
                any = true;
            }
        }
        curve_name(mls_methods[k], serve, c.name, sizeof c.name);
        while (any && same < at &&
               !mls_curves_equal(bytes[same], kl[same], bytes[at], kl[at], FRACTIONS))
            same++;
        if (any && same < at)
            mls_curve_also(&out->curve[same], c.name);
        else if (any)
            out->curve[out->n++] = c;
    }
}

/* The range of KL that all panels share. */
static void find_range(const point *p, size_t n, const mls_comparison *m, double *low,
                       double *high)
{
    *low = m->row[n].kl.mean > 0 ? m->row[n].kl.mean : (double)INFINITY;
    *high = 1;
    for (size_t i = 0; i < n; i++) {
        const double kl = m->row[i].kl.mean;

        if (p[i].method && kl > 0) {
            *low = fmin(*low, kl);
            *high = fmax(*high, kl);
        }
    }
    *low = isfinite(*low) ? fmax(pow(10, floor(log10(*low))), KL_LEAST) : 1e-3;
    *high = 2 * *high;
}

static mls_table *panel_table(const panel *k, const point *p, size_t n,
                              const mls_comparison *m)
{
    mls_table *t = mls_table_new(NULL);

    MLS_COLUMNS(t, {"curve", "curve", "", 0}, {"method", "method", "", 0},
                {"setting", "setting", "", 0}, {"kept_percent", "kept", "%", 2},
                {"kl", "KL", "nat", -1}, {"kl_low", "low", "nat", -1},
                {"kl_high", "high", "nat", -1});
    for (size_t i = 0; i < k->n; i++)
        for (size_t f = 0; f < FRACTIONS; f++) {
            const size_t best = k->best[i][f];

            if (best == n)
                continue;
            const mls_mean kl = m->row[best].kl;

            mls_table_line(t, "%zu %s %s %g %g %g %g", i + 1, k->curve[i].name,
                           p[best].name, 100 * m->row[best].kept, kl.mean,
                           fmax(kl.mean - kl.half, kl.mean / 10), kl.mean + kl.half);
        }
    return t;
}

/* In words: every curve at a quarter of the cache. */
static void say_panel(mls_page *page, const panel *k, size_t n, const mls_comparison *m,
                      mls_serve serve)
{
    mls_buf b = {0};

    for (size_t i = 0; i < k->n; i++) {
        const size_t best = k->best[i][QUARTER];

        if (best < n)
            mls_buf_printf(&b, "%s%s %.3f", b.len ? ", " : "", k->curve[i].name,
                           m->row[best].kl.mean);
    }
    mls_page_alt(page, "KL against the kept share, served by %s. At 25 %% kept: %s.",
                 mls_serve_name(serve), b.data ? b.data : "none");
    mls_buf_free(&b);
}

/* A small panel for each class of who serves it, all on the same axes. */
static mls_status draw(const mls_report *r, mls_page *page, const point *p, size_t n,
                       const mls_comparison *m, mls_err *err)
{
    const mls_compared *bits = &m->row[n];
    const bool has_bits = !bits->refused && bits->kl.mean > 0;
    double low, high;
    mls_status st = MLS_OK;

    find_range(p, n, m, &low, &high);
    for (int s = 0; !st && s < MLS_SERVE_CLASSES; s++) {
        char name[64], caption[256];
        mls_buf script = {0};
        mls_table *t;
        panel k;

        fill_panel(&k, p, n, m, (mls_serve)s);
        if (k.n == 0)
            continue;
        snprintf(name, sizeof name, "quality-%s", mls_serve_word((mls_serve)s));
        t = panel_table(&k, p, n, m);
        mls_buf_printf(&script, "name = \"%s\"\nlow = %g\nhigh = %g\n", name, low,
                       high);
        mls_curves_prelude(&script, k.curve, k.n, low, high, true);
        mls_buf_printf(&script, "bits_kept = %g\nbits_kl = %g\n%s",
                       has_bits ? 100 * bits->kept : 0, has_bits ? bits->kl.mean : 1,
                       mls_quality_gp);
        st =
            script.failed
                ? mls_fail(err, MLS_E_NOMEM, "no memory for a plot")
                : mls_plot_write(
                      r->folder,
                      &(mls_plot){.name = name, .data = t, .script = script.data}, err);
        say_panel(page, &k, n, m, (mls_serve)s);
        snprintf(caption, sizeof caption, "Served by: %s.",
                 mls_serve_means((mls_serve)s));
        if (!st)
            st = mls_page_figure(page, r->folder, name, caption, err);
        mls_buf_free(&script);
        mls_table_free(t);
    }
    return st;
}

/* The best of each class at each share: a class has no better and no worse outside. */
static void add_best(mls_served *served, const point *p, const mls_setting *setting,
                     const mls_racer *racer, size_t n, const mls_comparison *m)
{
    char ties[2 * MLS_SCHEME_NAME];

    for (int s = 0; s < MLS_SERVE_CLASSES; s++)
        for (size_t f = 0; f < FRACTIONS; f++) {
            const size_t best = best_point(p, n, m, NULL, (mls_serve)s, fractions[f]);
            mls_served_row *row;

            if (best == n)
                continue;
            mls_measured_ties(ties, sizeof ties, m, setting, racer, n, best);
            row = mls_served_row_of(served, (mls_serve)s, fractions[f], p[best].name,
                                    ties);
            if (!row)
                return;
            row->kept = 100 * m->row[best].kept;
            row->kl = m->row[best].kl;
            row->perplexity = exp(m->row[best].nll.mean);
        }
    if (!m->row[n].refused) { /* what every conversion has to beat */
        mls_served_row *bits = mls_served_row_of(served, MLS_SERVE_CACHE,
                                                 m->row[n].kept, MLS_REPORT_BITS, "");

        if (!bits)
            return;
        bits->kept = 100 * m->row[n].kept;
        bits->kl = m->row[n].kl;
        bits->perplexity = exp(m->row[n].nll.mean);
    }
}

/* The most trusted error first: the reader picks among the others. */
static mls_status draw_predictors(const mls_report *r, mls_page *page,
                                  const mls_prediction *each, size_t n,
                                  const mls_predictor *rank, mls_err *err)
{
    const size_t best = mls_predictors_best(rank);
    mls_status st = MLS_OK;

    for (size_t i = 0; !st && i < MLS_PREDICTORS && best < MLS_PREDICTORS; i++) {
        const size_t k = i == 0 ? best : i <= best ? i - 1 : i;
        char name[MLS_PREDICTOR_NAME];
        bool drawn;

        st = mls_predictor_plot(r->folder, each, n, k, name, &drawn, err);
        if (st || !drawn)
            continue;
        mls_page_choice(page, "predicted error", rank[k].name);
        mls_page_alt(page,
                     "Measured KL against the %s of %zu settings: rank correlation "
                     "%.2f.",
                     rank[k].name, rank[k].n, rank[k].rank);
        st = mls_page_figure(page, r->folder, name,
                             "Every measured setting: an error predicted from the "
                             "calibration text against KL on held-out text.",
                             err);
    }
    return st;
}

/* What a large model is not measured at, and how to have it. */
static void say_left_out(const mls_report *r, mls_page *page)
{
    mls_buf b = {0};

    mls_page_text(page,
                  "A model this large is measured at 25 %% of its cache alone, all "
                  "settings on all windows. 50, 31.25, 18.75 and 12.5 %%:");
    mls_buf_printf(&b, "%s --exhaustive -o ", r->command);
    mls_buf_shell(&b, r->folder);
    mls_buf_puts(&b, "-exhaustive");
    mls_page_code(page, b.data ? b.data : "");
    mls_buf_free(&b);
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
    if (!st) {
        mls_predictors_say(rank, sentence, sizeof sentence);
        mls_page_section(page, "sure", "How sure this is");
        mls_page_heading(page, "Which prediction deserves trust?");
        mls_page_text(page, "%s", sentence);
        mls_buf_printf(summary, "%s\n", sentence);
        st = draw_predictors(r, page, each, n, rank, err);
    }
    if (!st) {
        t = mls_predictors_table(rank);
        mls_page_table(page, t);
    }
    mls_table_free(t);
    free(each);
    return st;
}

static bool any_measured(const mls_comparison *m)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->row[i].measured)
            return true;
    return false;
}

mls_status mls_section_quality(const mls_report *r, mls_page *page, mls_buf *summary,
                               mls_err *err)
{
    mls_comparison m = {0};
    mls_setting *setting = NULL;
    mls_racer *racer = NULL;
    point *p = NULL;
    size_t n = 0;
    mls_table *t = NULL;
    mls_status st;

    if (!r->evaluation)
        return MLS_OK;
    st = choose(&p, &setting, &n, r, err);
    racer = mls_calloc3(n + 1, 1, 1, sizeof *racer);
    if (!st && !racer)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a report");
    for (size_t i = 0; !st && i < n; i++)
        racer[i] = (mls_racer){p[i].fraction, setting[i].method};
    if (!st) {
        racer[n] = (mls_racer){(double)NAN, setting[n].method};
        st = mls_measured_settings(&m, r, r->evaluation, setting, racer, n + 1, err);
    }
    if (!st && !any_measured(&m)) {
        mls_page_section(page, "quality", "What each size loses");
        mls_page_text(page,
                      "No setting is measured: the answer says why no layer can be "
                      "converted or quantized.");
        goto done;
    }
    if (!st && r->foreign)
        mls_foreign_compare(r->foreign, &m, setting);
    if (!st) {
        add_best(r->served, p, setting, racer, n, &m);
        st = mls_served_show(r->served, r, NULL, page, err);
    }
    if (!st) {
        mls_page_section(page, "quality", "What each size loses");
        mls_page_lead(
            page, "Take the lowest curve of the panel whose code you will run, and no "
                  "other: where it turns up steeply, the cache has become too small.");
        mls_page_text(page,
                      "Each method is applied as its project would start from, and the "
                      "converted model is run on held-out text. Every conversion has "
                      "to beat the cross: the model as it is with a 4-bit cache.");
        if (mls_measured_large(r))
            say_left_out(r, page);
        st = draw(r, page, p, n, &m, err);
    }
    if (!st) {
        t = make_table(r, p, n, &m);
        mls_page_details(page, "All settings measured", t);
        st = mls_data_write(r->folder, "quality", t, err);
    }
    if (!st)
        st = show_predictors(r, p, n, &m, page, summary, err);

done:
    mls_table_free(t);
    mls_comparison_free(&m);
    mls_free_all(p, setting, racer);
    return st;
}
