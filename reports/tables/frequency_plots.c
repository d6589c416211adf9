/*
 * The map shows shares of each head's own score on a logarithmic scale, since scores of
 * two heads have no common unit, and rings what is kept; the first rule is drawn whose
 * scores are nowhere negative. A model of many layers makes several pictures of at most
 * 40 rows.
 */
#include "reports/tables/frequency_plots.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/frequency/agreement.h"
#include "analysis/model/rope.h"
#include "common/base/buf.h"
#include "common/base/checked.h"
#include "reports/page/plot.h"
#include "reports/tables/curves.h"
#include "reports/tables/embedded.h"

enum {
    MAP_ROWS_MAX = 40, /* heads in one picture */
};

/* Write a plot whose script was put together in a buffer; frees it. */
static mls_status write_plot(const char *folder, const char *name,
                             const mls_table *data, mls_buf *script, size_t width,
                             size_t height, mls_err *err)
{
    const mls_plot plot = {.name = name,
                           .data = data,
                           .script = script->data ? script->data : "",
                           .width = (unsigned)width,
                           .height = (unsigned)height};
    const mls_status st = script->failed
                              ? mls_fail(err, MLS_E_NOMEM, "no memory for a plot")
                              : mls_plot_write(folder, &plot, err);

    mls_buf_free(script);
    return st;
}

size_t mls_frequency_map_layers(const mls_config *config)
{
    return MAP_ROWS_MAX / config->G ? MAP_ROWS_MAX / config->G : 1;
}

/* The next layer from l on that has a map, or `last`. */
static size_t next_seen(const mls_frequency_map *m, size_t l, size_t last)
{
    while (l < last && !mls_config_layer_is_seen(m->config, l))
        l++;
    return l;
}

size_t mls_frequency_map_rows(const mls_frequency_map *m, size_t first, size_t last)
{
    size_t n = 0;

    for (size_t l = next_seen(m, first, last); l < last; l = next_seen(m, l + 1, last))
        n += m->config->G;
    return n;
}

static mls_table *map_table(const mls_frequency_map *m, size_t first, size_t last)
{
    const size_t G = m->config->G, C = m->config->D / 2;
    const double two_pi = 6.283185307179586476925;
    mls_table *t = mls_table_new(NULL);
    size_t row = 0;

    MLS_COLUMNS(t, {"layer", "layer", "", 0}, {"kv_head", "KV head", "", 0},
                {"row", "row", "", 0}, {"chunk", "chunk", "", 0},
                {"wavelength", "wavelength", "tokens", -1}, {"score", "score", "", -1},
                {"share_percent", "share of the head's score", "%", -1},
                {"selected", "among the first", "", 0});
    for (size_t l = next_seen(m, first, last); l < last; l = next_seen(m, l + 1, last))
        for (size_t g = 0; g < G; g++, row++) {
            const double *s = m->score + (l * G + g) * C;
            double sum = 0;

            for (size_t i = 0; i < C; i++)
                sum += s[i];
            for (size_t i = 0; i < C; i++) {
                mls_table_line(t, "%zu %zu %zu %zu %g %g", l, g, row, i,
                               two_pi / m->inv_freq[l * C + i], s[i]);
                /* A score of nothing is no colour of a logarithmic scale. */
                mls_table_cells(t, "%g %d", s[i] > 0 ? 100 * s[i] / sum : (double)NAN,
                                m->kept[(l * G + g) * C + i]);
            }
        }
    return t;
}

/* The chunk, between two, that turns once in the trained length; NaN: there is none. */
static double trained_chunk(const mls_config *config, const double *inv_freq)
{
    const double two_pi = 6.283185307179586476925;
    const double turns = two_pi / (double)config->max_position;

    for (size_t i = 1; config->max_position && i < config->D / 2; i++)
        if (inv_freq[i] < turns && inv_freq[i - 1] >= turns)
            return (double)i -
                   log(turns / inv_freq[i]) / log(inv_freq[i - 1] / inv_freq[i]);
    return NAN;
}

/* Names of rows and wavelengths of columns; of many, some. */
static void name_axes(mls_buf *script, const mls_frequency_map *m, size_t first,
                      size_t last, size_t step)
{
    const double two_pi = 6.283185307179586476925;
    const size_t G = m->config->G, C = m->config->D / 2;
    const size_t rows = mls_frequency_map_rows(m, first, last);
    size_t row = 0;

    mls_buf_puts(script, "set ytics (");
    for (size_t l = next_seen(m, first, last); l < last; l = next_seen(m, l + 1, last))
        for (size_t g = 0; g < G; g++, row++)
            if (!(rows > MAP_ROWS_MAX && g > 0) && !(G > 16 && g % 4 > 0))
                mls_buf_printf(script, "%s\"%zu, %zu\" %zu", row ? ", " : "", l, g,
                               row);
    const size_t seen = next_seen(m, first, last);

    mls_buf_puts(script, ")\nset x2tics (");
    for (size_t i = 0; i < C; i += step) {
        const double wavelength = two_pi / m->inv_freq[seen * C + i];

        if (isinf(wavelength)) { /* does not turn */
            mls_buf_printf(script, "%s\"still\" %zu", i ? ", " : "", i);
            continue;
        }

        mls_buf_printf(script,
                       wavelength < 100   ? "%s\"%.3g\" %zu"
                       : wavelength < 1e4 ? "%s\"%.0f\" %zu"
                                          : "%s\"%.0fk\" %zu",
                       i ? ", " : "", wavelength < 1e4 ? wavelength : wavelength / 1e3,
                       i);
    }
    mls_buf_puts(script, ")\n");
}

mls_status mls_frequency_map_plot(const char *folder, const mls_frequency_map *m,
                                  size_t first, size_t last, char name[MLS_MAP_NAME],
                                  mls_err *err)
{
    const size_t C = m->config->D / 2, rows = mls_frequency_map_rows(m, first, last);
    const size_t step = C / 6 ? C / 6 : 1, seen = next_seen(m, first, last);
    const double trained = trained_chunk(m->config, m->inv_freq + seen * C);
    mls_table *t = map_table(m, first, last);
    mls_buf script = {0};
    mls_status st;

    snprintf(name, MLS_MAP_NAME,
             last - first == m->config->L ? "contribution" : "contribution-%zu", first);
    /*
     * A dark ring around the white one shows it on the bright end of the scale, too;
     * where there are many, what is kept is bright, and a dark one is enough.
     */
    mls_buf_printf(&script,
                   "name = \"%s\"\nheading = \"%s\"\nchunks = %zu\nrows = %zu\n"
                   "step = %zu\ndark = %g\nwhite = %g\nsize = %g\nalike = %d\n",
                   name, m->title, C, rows, step, rows > 16 ? 1.5 : 4.0,
                   rows > 16 ? 0.0 : 1.5, C > 40 ? 0.4 : 0.7,
                   mls_layers_turn_alike(m->config));
    if (isnan(trained))
        mls_buf_puts(&script, "trained = NaN\n");
    else
        mls_buf_printf(&script, "trained = %.3f\n", trained);
    name_axes(&script, m, first, last, step);
    mls_buf_puts(&script, mls_map_gp);
    st = write_plot(folder, name, t, &script, 0, 150 + 18 * rows, err);
    mls_table_free(t);
    return st;
}

/* Curves of rules, named where they end. */
typedef struct {
    mls_curve curve[MLS_PLOT_LINES];
    size_t n;
    double low, high; /* of all points */
} rule_curves;

/* The next point of a rule's curve; the last is where its name stands. */
static void add_point(rule_curves *c, const mls_frequency *f, size_t i, double y)
{
    if (c->n == 0 || strcmp(c->curve[c->n - 1].name, f->rule[i].name) != 0) {
        if (c->n == MLS_PLOT_LINES)
            return;
        c->curve[c->n] = (mls_curve){.line = (int)(i % MLS_PLOT_LINES) + 1};
        snprintf(c->curve[c->n].name, sizeof c->curve[c->n].name, "%s",
                 f->rule[i].name);
        c->n++;
    }
    c->curve[c->n - 1].end = y;
    c->low = fmin(c->low, y);
    c->high = fmax(c->high, y);
}

static void add_curves(mls_buf *script, const rule_curves *c, const char *name,
                       const char *x, const char *y, bool bars, double low, double high)
{
    mls_buf_printf(script,
                   "name = \"%s\"\nxcol = \"%s\"\nycol = \"%s\"\nbars = %d\n"
                   "set yrange [%g:%g]\n",
                   name, x, y, bars, low, high);
    mls_curves_prelude(script, c->curve, c->n, low, high, false);
    mls_buf_printf(script, "array rule[%zu]\n", c->n ? c->n : 1);
    for (size_t i = 0; i < c->n; i++)
        mls_buf_printf(script, "rule[%zu] = \"%s\"\n", i + 1, c->curve[i].name);
    mls_buf_puts(script, mls_rules_gp);
}

mls_status mls_frequency_error_plot(const char *folder, const mls_frequency *f,
                                    mls_err *err)
{
    static const char name[] = "frequency-error";
    mls_table *t = mls_table_new(NULL);
    mls_buf script = {0};
    rule_curves curves = {0};
    bool logarithmic = f->n_chunks > 1;
    mls_status st;

    MLS_COLUMNS(t, {"rule", "rule", "", 0}, {"chunks", "chunks", "", 0},
                {"dims", "dims", "", 0}, {"score_error", "score error", "logit", -1},
                {"low", "low", "logit", -1}, {"high", "high", "logit", -1},
                {"kl", "KL of attention", "nat", -1}, {"kl_half", "±", "nat", -1},
                {"output_error_percent", "output error", "%", -1});
    for (size_t i = 0; i < f->n_rules; i++)
        for (size_t b = 0; b < f->n_chunks; b++) {
            const mls_cost_means m = mls_frequency_cost(f, i, b, 0, f->L, 0, f->H);
            /* One window alone gives no interval. */
            const double half = isnan(m.score_error.half) ? 0 : m.score_error.half;

            mls_table_line(t, "%s %zu %zu %g %g %g %g %g %g", f->rule[i].name,
                           f->chunks[b], 2 * f->chunks[b], m.score_error.mean,
                           m.score_error.mean - half, m.score_error.mean + half,
                           m.kl.mean, m.kl.half, 100 * m.output_error.mean);
            logarithmic &= f->chunks[b] > 0;
            add_point(&curves, f, i, m.score_error.mean);
        }
    mls_buf_puts(&script, "set xlabel \"rotated chunks per KV head\"\n"
                          "set ylabel \"mean |score error| before softmax (nat)\"\n"
                          "set offsets graph 0.04, graph 0.04, 0, 0\n");
    if (logarithmic)
        mls_buf_puts(&script, "set logscale x 2\n");
    mls_buf_puts(&script, "set xtics (");
    for (size_t b = 0; b < f->n_chunks; b++)
        mls_buf_printf(&script, "%s%zu", b ? ", " : "", f->chunks[b]);
    mls_buf_puts(&script, ")\n");
    add_curves(&script, &curves, name, "chunks", "score_error", true, 0,
               1.08 * curves.high + 1e-9);
    st = write_plot(folder, name, t, &script, 0, 0, err);
    mls_table_free(t);
    return st;
}

/* frequency-overlap: Jaccard index of every two rules for budget b. */
static mls_status overlap_plot(const char *folder, const mls_frequency *f, size_t b,
                               mls_err *err)
{
    static const char name[] = "frequency-overlap";
    const size_t n = f->n_rules;
    mls_table *t = mls_table_new(NULL);
    mls_buf script = {0};
    mls_status st;

    MLS_COLUMNS(t, {"rule", "rule", "", 0}, {"other", "other", "", 0},
                {"row", "row", "", 0}, {"column", "column", "", 0},
                {"jaccard", "Jaccard", "", -1});
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++) {
            double sum = 0;

            for (size_t l = 0; l < f->L; l++)
                if (!f->config.layer[l].no_rope)
                    sum += mls_selection_jaccard(mls_frequency_selection(f, i, b, l),
                                                 mls_frequency_selection(f, k, b, l));
            mls_table_line(t, "%s %s %zu %zu %g", f->rule[i].name, f->rule[k].name, i,
                           k, sum / (double)f->n_layers);
        }
    mls_buf_printf(&script, "rules = %zu\nbudget = %zu\n", n, f->chunks[b]);
    for (size_t axis = 0; axis < 2; axis++) {
        mls_buf_puts(&script, axis ? "set ytics (" : "set xtics rotate by 35 right (");
        for (size_t i = 0; i < n; i++)
            mls_buf_printf(&script, "%s\"%s\" %zu", i ? ", " : "", f->rule[i].name, i);
        mls_buf_puts(&script, ")\n");
    }
    mls_buf_puts(&script, mls_overlap_gp);
    st = write_plot(folder, name, t, &script, 300 + 62 * n, 170 + 36 * n, err);
    mls_table_free(t);
    return st;
}

bool mls_frequency_has_stability(const mls_frequency *f)
{
    for (size_t i = 0; i < f->n_rules; i++)
        if (f->rule[i].n_sizes > 0)
            return true;
    return false;
}

mls_status mls_frequency_stability_plot(const char *folder, const mls_frequency *f,
                                        size_t b, mls_err *err)
{
    static const char name[] = "frequency-stability";
    mls_table *t = mls_table_new(NULL);
    mls_buf script = {0};
    rule_curves curves = {.low = 100};
    mls_status st;

    MLS_COLUMNS(t, {"rule", "rule", "", 0}, {"units", "units", "", 0},
                {"tokens", "tokens", "", -1}, {"overlap_percent", "both keep", "%", -1},
                {"rank_correlation", "Spearman", "", -1});
    for (size_t i = 0; i < f->n_rules; i++)
        for (size_t s = 0; s < f->rule[i].n_sizes; s++) {
            const mls_frequency_rule *r = &f->rule[i];
            const double each =
                r->rule->needs == MLS_NEEDS_STATS ? f->sequence_tokens : (double)f->T;

            mls_table_line(t, "%s %zu %g %g %g", r->name, r->units[s],
                           (double)r->units[s] * each,
                           100 * r->overlap[s * f->n_chunks + b], r->correlation[s]);
            add_point(&curves, f, i, 100 * r->overlap[s * f->n_chunks + b]);
        }
    mls_buf_printf(&script,
                   "set xlabel \"tokens in each sample\"\n"
                   "set ylabel \"chunks that both keep of %zu (%%)\"\n"
                   "set logscale x 2\nset format x \"%%.0f\"\n"
                   "set offsets graph 0.04, graph 0.04, 0, 0\n",
                   f->chunks[b]);
    add_curves(&script, &curves, name, "tokens", "overlap_percent", false,
               10 * floor(curves.low / 10), 103);
    st = write_plot(folder, name, t, &script, 0, 0, err);
    mls_table_free(t);
    return st;
}

/* The first rule that can be drawn as a map; n_rules: none. */
static size_t rule_of_map(const mls_frequency *f)
{
    const size_t C = f->C;

    for (size_t i = 0; i < f->n_rules; i++) {
        bool fits = true;

        for (size_t row = 0; row < f->L * f->G && fits; row++) {
            double sum = 0;

            for (size_t c = 0; c < C; c++) {
                fits &= f->rule[i].score[row * C + c] >= 0;
                sum += f->rule[i].score[row * C + c];
            }
            fits &= sum > 0;
        }
        if (fits)
            return i;
    }
    return f->n_rules;
}

static mls_status draw_maps(const char *folder, const mls_frequency *f, size_t i,
                            size_t b, mls_err *err)
{
    const size_t step = mls_frequency_map_layers(&f->config);
    bool *kept = mls_calloc3(f->L, f->G, f->C, sizeof *kept);
    char name[MLS_MAP_NAME], title[128];
    mls_status st = MLS_OK;

    if (!kept)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a plot");
    for (size_t l = 0; l < f->L; l++) {
        const mls_selection *s = mls_frequency_selection(f, i, b, l);

        for (size_t g = 0; g < f->G; g++)
            for (size_t k = 0; k < s->count[g]; k++)
                kept[(l * f->G + g) * f->C + s->order[g * f->C + k]] = true;
    }
    snprintf(title, sizeof title, "What each RoPE chunk counts by rule %s",
             f->rule[i].name);
    const mls_frequency_map map = {.config = &f->config,
                                   .title = title,
                                   .score = f->rule[i].score,
                                   .kept = kept,
                                   .inv_freq = f->inv_freq};

    for (size_t l = 0; l < f->L && !st; l += step) {
        const size_t last = l + step < f->L ? l + step : f->L;

        if (!mls_frequency_map_rows(&map, l, last))
            continue;
        st = mls_frequency_map_plot(folder, &map, l, last, name, err);
        if (!st)
            st = mls_plot_draw(folder, name, err);
    }
    free(kept);
    return st;
}

/* The picture of a plot whose writing ended with `st`. */
static mls_status written_and_drawn(mls_status st, const char *folder, const char *name,
                                    mls_err *err)
{
    return st ? st : mls_plot_draw(folder, name, err);
}

mls_status mls_frequency_plots(const char *folder, const mls_frequency *f, size_t b,
                               mls_err *err)
{
    const size_t i = rule_of_map(f);
    mls_status st = i < f->n_rules ? draw_maps(folder, f, i, b, err) : MLS_OK;

    if (!st && f->n_held)
        st = written_and_drawn(mls_frequency_error_plot(folder, f, err), folder,
                               "frequency-error", err);
    if (!st)
        st = written_and_drawn(overlap_plot(folder, f, b, err), folder,
                               "frequency-overlap", err);
    if (!st && mls_frequency_has_stability(f))
        st = written_and_drawn(mls_frequency_stability_plot(folder, f, b, err), folder,
                               "frequency-stability", err);
    return st;
}
