/*
 * What cheap training keeps. Of every class and size the settings nearest the original
 * race through a short healing, the first of them are healed longer (analysis/heal) and
 * measured on the held-out text. What is left is an upper bound of the capacity floor,
 * the rest of the loss was the start's excess.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/frame/fit.h"
#include "bench/heal/measure.h"
#include "bench/heal/heal_race.h"
#include "common/base/checked.h"
#include "common/system/files.h"
#include "reports/page/plot.h"
#include "reports/report/embedded.h"
#include "reports/report/measured.h"
#include "reports/report/sections.h"
#include "reports/report/served.h"
#include "reports/report/training.h"

static const double fractions[] = {0.25, 0.125};
enum {
    FRACTIONS = sizeof fractions / sizeof fractions[0],
    PER_METHOD = 2,
    RUNNERS = 3, /* of a race, for each place */
    STEPS = 40,
    HELD = 8,
    WINDOWS_LEAST = 8,
    SETTING_TEXT = 512
};

/* What is healed and what came of it. */
typedef struct {
    mls_heal_job job;
    char *base; /* folder of the healed forms */
    mls_setting *setting;
    double *fraction;
    size_t n;
    mls_comparison m;   /* (n) before, of some on a part of the windows */
    mls_scheme *scheme; /* (n_finalists) */
    size_t *finalist, n_finalists;
    mls_comparison before; /* (n_finalists) on all windows */
    mls_evaluation e;      /* (n_finalists) after */
    mls_forecast forecast;
    bool has_forecast;
} healing;

static void healing_free(healing *k)
{
    for (size_t i = 0; k->scheme && i < k->n_finalists; i++)
        mls_scheme_free(&k->scheme[i]);
    mls_evaluation_free(&k->e);
    mls_comparison_free(&k->m);
    mls_comparison_free(&k->before);
    mls_free_all(k->base, k->setting, k->fraction, k->scheme, k->finalist);
}

/* Every method's settings of the sizes; most were measured for earlier sections. */
static mls_status choose(healing *k, const mls_report *r, mls_err *err)
{
    const mls_config *c = mls_model_config(r->model);
    size_t methods = 0, most;
    mls_racer *racer = NULL;
    mls_status st = MLS_OK;

    while (mls_methods[methods])
        methods++;
    most = methods * FRACTIONS * PER_METHOD;
    k->setting = mls_calloc3(most, 1, 1, sizeof *k->setting);
    k->fraction = mls_calloc3(most, 1, 1, sizeof *k->fraction);
    k->scheme = mls_calloc3(most, 1, 1, sizeof *k->scheme);
    k->finalist = mls_calloc3(most, 1, 1, sizeof *k->finalist);
    k->base = mls_path_join(r->folder, "healed");
    if (!k->setting || !k->fraction || !k->scheme || !k->finalist || !k->base)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a report");
    for (size_t m = 0; !st && m < methods; m++)
        for (size_t f = 0; !st && f < FRACTIONS; f++) {
            mls_fits fits;

            st = mls_method_fit(mls_methods[m], c, fractions[f], &fits, err);
            for (size_t i = 0; !st && i < fits.n && i < PER_METHOD; i++) {
                k->fraction[k->n] = fractions[f];
                k->setting[k->n++] = fits.setting[i];
            }
            mls_fits_free(&fits);
        }
    if (!st && !(racer = mls_calloc3(k->n, 1, 1, sizeof *racer)))
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a report");
    for (size_t i = 0; !st && i < k->n; i++)
        racer[i] = (mls_racer){k->fraction[i], k->setting[i].method};
    if (!st)
        st = mls_measured_settings(&k->m, r, r->evaluation, k->setting, racer, k->n,
                                   err);
    free(racer);
    return st;
}

/* The settings of a class and size, nearest the original first, at most `most`. */
static size_t runners(size_t *out, const healing *k, mls_serve serve, double fraction,
                      size_t most)
{
    size_t n = 0;

    for (; n < most; n++) {
        size_t best = k->n;

        for (size_t i = 0; i < k->n; i++) {
            const mls_compared *row = &k->m.row[i];
            bool taken = row->refused || !row->measured || row->serve != serve ||
                         k->fraction[i] != fraction;

            for (size_t j = 0; j < n; j++)
                taken |= out[j] == i;
            if (!taken && (best == k->n || mls_compared_ahead(row, &k->m.row[best])))
                best = i;
        }
        if (best == k->n)
            break;
        out[n] = best;
    }
    return n;
}

/* The race of one class and size adds its finalists. */
static mls_status race(healing *k, mls_serve serve, double fraction, size_t keep,
                       mls_err *err)
{
    const size_t L = k->job.in->config->L;
    size_t *runner = mls_calloc3(k->n + 1, 1, 1, sizeof *runner);
    size_t *best = mls_calloc3(k->n + 1, 1, 1, sizeof *best), n = 0;
    mls_scheme *scheme = mls_calloc3(k->n + 1, 1, 1, sizeof *scheme);
    const mls_evaluate_options how = {0};
    mls_status st = runner && best && scheme
                        ? MLS_OK
                        : mls_fail(err, MLS_E_NOMEM, "no memory for a race");

    if (!st)
        n = runners(runner, k, serve, fraction,
                    RUNNERS * keep < k->n ? RUNNERS * keep : k->n);
    keep = keep < n ? keep : n;
    for (size_t i = 0; !st && i < n; i++)
        st = mls_scheme_uniform(&scheme[i], &k->setting[runner[i]], L, err);
    if (!st && n > 0)
        st = mls_heal_race(best, keep, &k->job, k->base, scheme, n, &how, err);
    for (size_t i = 0; !st && i < keep; i++) {
        k->finalist[k->n_finalists] = runner[best[i]];
        st = mls_scheme_uniform(&k->scheme[k->n_finalists++],
                                &k->setting[runner[best[i]]], L, err);
    }
    for (size_t i = 0; scheme && i < n; i++)
        mls_scheme_free(&scheme[i]);
    mls_free_all(scheme, runner, best);
    return st;
}

/* Finalists on every window, as their healed forms are measured. */
static mls_status measure_before(healing *k, const mls_report *r, mls_err *err)
{
    mls_setting *setting = mls_calloc3(k->n_finalists, 1, 1, sizeof *setting);
    mls_status st =
        setting ? MLS_OK : mls_fail(err, MLS_E_NOMEM, "no memory for a report");

    for (size_t i = 0; !st && i < k->n_finalists; i++)
        setting[i] = k->setting[k->finalist[i]];
    if (!st)
        st = mls_measured_settings(&k->before, r, r->evaluation, setting, NULL,
                                   k->n_finalists, err);
    free(setting);
    return st;
}

/* Mean held-out loss over layers after each look; n of them. */
typedef struct {
    size_t n, step[MLS_HEAL_POINTS];
    double held[MLS_HEAL_POINTS];
} curve;

static mls_status read_curve(curve *out, const healing *k, size_t i, mls_err *err)
{
    const size_t L = k->job.in->config->L;
    mls_heal_layer_result *result = mls_calloc3(L, 1, 1, sizeof *result);
    char *folder = NULL;
    size_t layers = 0;
    mls_status st = result
                        ? mls_heal_folder(&folder, k->base, &k->scheme[i], &k->job, err)
                        : mls_fail(err, MLS_E_NOMEM, "no memory for a report");

    *out = (curve){0};
    if (!st)
        st = mls_losses_read(result, L, folder, err);
    for (size_t l = 0; !st && l < L; l++) {
        const mls_healed *h = &result[l].losses;

        if (!result[l].converted || (layers && h->n_points != out->n))
            continue;
        out->n = h->n_points;
        layers++;
        for (size_t p = 0; p < h->n_points; p++) {
            out->step[p] = h->point[p].step;
            out->held[p] += h->point[p].held;
        }
    }
    for (size_t p = 0; layers && p < out->n; p++)
        out->held[p] /= (double)layers;
    mls_free_all(result, folder);
    return st;
}

/* By how much the loss fell in the second half of the steps; NaN: unknown. */
static double still_falling(const curve *c)
{
    if (c->n < MLS_HEAL_POINTS)
        return NAN;
    return 1 - c->held[c->n - 1] / c->held[(c->n - 1) / 2];
}

static mls_mean excess_of(const healing *k, size_t i)
{
    const mls_compared *before = &k->before.row[i];
    const mls_quality *after = &k->e.variant[i];

    return before->N == after->N
               ? mls_mean_of_difference(before->seq_kl, after->seq_kl, before->N)
               : (mls_mean){before->kl.mean - after->kl.mean, NAN};
}

static mls_table *make_table(const healing *k, const curve *curves)
{
    mls_table *t = mls_table_new(NULL);
    char text[SETTING_TEXT];

    MLS_COLUMNS(t, {"served_by", "served by", "", 0}, {"setting", "setting", "", 0},
                {"kept_percent", "kept", "%", 1}, {"kl", "KL before", "nat", 3},
                {"kl_half", "±", "nat", 3},
                {"healed_kl", "healed: floor at most", "nat", 3},
                {"healed_kl_half", "±", "nat", 3});
    if (k->has_forecast) {
        MLS_COLUMNS(t, {"forecast", "KL forecast", "nat", 3},
                    {"forecast_low", "low", "nat", 3},
                    {"forecast_high", "high", "nat", 3});
    }
    MLS_COLUMNS(
        t, {"excess", "excess of the start", "nat", 3}, {"excess_half", "±", "nat", 3},
        {"still_falling", "still falling", "%", 1}, {"nll", "loss at step 0", "nat", 3},
        {"healed_nll", "the same, healed", "nat", 3});
    for (size_t i = 0; i < k->n_finalists; i++) {
        const mls_compared *before = &k->before.row[i];
        const mls_quality *after = &k->e.variant[i];
        const mls_mean excess = excess_of(k, i);
        const double forecast = mls_forecast_kl(&k->forecast, after->kl.mean);

        mls_table_row(t);
        mls_table_cells(
            t, "%s %s %g %g %g %g %g", mls_serve_name(before->serve),
            mls_setting_text(&k->setting[k->finalist[i]], text, sizeof text),
            100 * before->kept, before->kl.mean, before->kl.half, after->kl.mean,
            after->kl.half);
        if (k->has_forecast) {
            mls_table_cells(t, "%g %g %g", forecast, forecast / k->forecast.factor,
                            forecast * k->forecast.factor);
        }
        mls_table_cells(t, "%g %g %g %g %g", excess.mean, excess.half,
                        100 * still_falling(&curves[i]), before->nll.mean,
                        after->nll.mean);
    }
    mls_table_say(
        t,
        "healed on %zu windows of the calibration text, %d steps a layer; floor: "
        "the least that this structure could lose, healing gives an upper bound; "
        "still falling: share of its loss that healing took away in the second "
        "half of the steps; loss at step 0: what training starts from, the "
        "original has %.3f",
        k->job.corpus->N - k->job.n_held, STEPS, k->before.original.mean);
    if (k->has_forecast) {
        mls_table_say(
            t,
            "forecast: KL after %.0f thousand tokens of training all weights, by the "
            "healed KL of %.0f settings of %s that were trained; 95 %% of them lie "
            "within a factor of %.2f; none outside of healed KL %.3g to %.3g",
            k->forecast.tokens / 1e3, k->forecast.settings, k->forecast.model,
            k->forecast.factor, k->forecast.low, k->forecast.high);
    }
    return t;
}

static mls_status draw(const mls_report *r, const healing *k, const curve *curves,
                       mls_err *err)
{
    mls_table *t = mls_table_new(NULL);
    mls_buf script = {0};
    char text[SETTING_TEXT];
    mls_status st = MLS_OK;

    MLS_COLUMNS(t, {"setting", "setting", "", 0}, {"step", "step", "", 0},
                {"loss", "loss", "", 4});
    mls_buf_printf(&script, "n = %zu\narray setting[%zu]\n", k->n_finalists,
                   k->n_finalists);
    for (size_t i = 0; i < k->n_finalists; i++) {
        mls_setting_text(&k->setting[k->finalist[i]], text, sizeof text);
        for (size_t p = 0; p < curves[i].n; p++)
            mls_table_line(t, "%s %zu %g", text, curves[i].step[p], curves[i].held[p]);
        mls_buf_printf(&script, "setting[%zu] = \"%s\"\n", i + 1, text);
    }
    mls_buf_puts(&script, mls_healing_gp);
    const mls_plot plot = {.name = "healing",
                           .data = t,
                           .script = script.data,
                           .width = 1000,
                           .height = 560};

    st = script.failed ? mls_fail(err, MLS_E_NOMEM, "no memory for a plot")
                       : mls_plot_write(r->folder, &plot, err);
    mls_buf_free(&script);
    mls_table_free(t);
    return st;
}

/* Of the class asked for where it has one: the least healed KL at the first size. */
static size_t best_finalist(const mls_report *r, const healing *k)
{
    size_t best = 0;
    double least = HUGE_VAL;

    for (size_t i = 0; i < k->n_finalists; i++) {
        const size_t of = k->finalist[i];
        const double handicap = (k->before.row[i].serve != r->serve ? 1e9 : 0) +
                                (k->fraction[of] != fractions[0] ? 1e6 : 0);

        if (k->e.variant[i].kl.mean + handicap < least) {
            least = k->e.variant[i].kl.mean + handicap;
            best = i;
        }
    }
    return best;
}

/* The one table of who serves what gets its columns of training. */
static mls_status add_to_served(const mls_report *r, const healing *k, mls_page *page,
                                mls_err *err)
{
    char text[SETTING_TEXT];

    for (size_t i = 0; i < k->n_finalists; i++) {
        const mls_compared *before = &k->before.row[i];
        const size_t of = k->finalist[i];
        mls_served_row *row =
            mls_served_row_of(r->served, before->serve, k->fraction[of],
                              mls_setting_text(&k->setting[of], text, sizeof text), "");

        if (!row)
            break;
        row->kept = 100 * before->kept;
        row->kl = before->kl;
        row->perplexity = exp(before->nll.mean);
        row->healed = k->e.variant[i].kl;
        if (k->has_forecast) {
            row->forecast = mls_forecast_kl(&k->forecast, row->healed.mean);
            row->forecast_low = row->forecast / k->forecast.factor;
            row->forecast_high = row->forecast * k->forecast.factor;
        }
    }
    return mls_served_show(r->served, r, k->has_forecast ? &k->forecast : NULL, page,
                           err);
}

/* The first screen says what training makes of its best setting. */
static void add_to_answer(const healing *k, size_t i, mls_page *page)
{
    const mls_mean after = k->e.variant[i].kl;
    const double forecast = mls_forecast_kl(&k->forecast, after.mean);
    char text[SETTING_TEXT], more[128] = "";

    if (k->has_forecast && isfinite(forecast))
        snprintf(more, sizeof more, ", and whole training is forecast to leave %.3f",
                 forecast);
    mls_page_section(page, "answer", "The answer");
    mls_setting_text(&k->setting[k->finalist[i]], text, sizeof text);
    if (after.mean < k->before.row[i].kl.mean)
        mls_page_text(page,
                      "After cheap training %s has KL %.3f instead of %.3f%s: see who "
                      "serves what.",
                      text, after.mean, k->before.row[i].kl.mean, more);
    else
        mls_page_text(page,
                      "Cheap training leaves %s as it is, at KL %.3f%s: see who serves "
                      "what.",
                      text, after.mean, more);
}

static void say(const mls_report *r, const healing *k, const curve *curves,
                mls_page *page, mls_buf *summary)
{
    const size_t i = best_finalist(r, k);
    const mls_compared *before = &k->before.row[i];
    const mls_mean after = k->e.variant[i].kl;
    char text[SETTING_TEXT];
    mls_buf sentence = {0}, command = {0};
    char *folder = NULL;
    mls_err ignored = {0};

    mls_setting_text(&k->setting[k->finalist[i]], text, sizeof text);
    if (after.mean < before->kl.mean)
        mls_buf_printf(&sentence,
                       "Of the KL of %s, %.3f, about %.3f (%.0f %%) is capacity of the "
                       "structure and %.3f excess of its start, which %d steps of "
                       "healing a layer took away.",
                       text, before->kl.mean, after.mean,
                       100 * after.mean / before->kl.mean, before->kl.mean - after.mean,
                       STEPS);
    else if (after.mean == before->kl.mean)
        mls_buf_printf(&sentence,
                       "Healing left %s as it is (KL %.3f): no step made it better on "
                       "the windows of the calibration text that were held out.",
                       text, after.mean);
    else
        mls_buf_printf(&sentence,
                       "Healing does not help %s on the held-out text (KL %.3f before, "
                       "%.3f after): it learned the calibration text, which is too "
                       "short or of another kind.",
                       text, before->kl.mean, after.mean);
    if (still_falling(&curves[i]) > 0.02)
        mls_buf_printf(&sentence,
                       " Its loss still fell by %.0f %% in the second half of "
                       "the steps: more steps bring the bound down.",
                       100 * still_falling(&curves[i]));
    mls_page_section(page, "healing", "What training repairs");
    mls_page_lead(page, "%s", sentence.data ? sentence.data : "");
    mls_buf_printf(summary, "%s\n", sentence.data ? sentence.data : "");
    add_to_answer(k, i, page);
    mls_page_section(page, "healing", "What training repairs");
    if (!mls_heal_folder(&folder, k->base, &k->scheme[i], &k->job, &ignored)) {
        mls_buf_puts(&command, "mlascope export ");
        mls_buf_shell(&command, r->model_name);
        mls_buf_puts(&command, " --from ");
        mls_buf_shell(&command, folder);
        mls_buf_printf(&command, " --for %s -o CHECKPOINT",
                       mls_serve_target(before->serve) ? mls_serve_target(before->serve)
                                                       : "latent");
    }
    mls_page_text(page, "A healed start is exported for its project's code, which can "
                        "go on from there:");
    mls_page_code(page, command.data ? command.data : "");
    mls_buf_free(&sentence);
    mls_buf_free(&command);
    free(folder);
}

static mls_status show(const mls_report *r, const healing *k, mls_page *page,
                       mls_buf *summary, mls_err *err)
{
    curve *curves = mls_calloc3(k->n_finalists, 1, 1, sizeof *curves);
    mls_table *t = NULL, *budgets = NULL;
    mls_status st =
        curves ? MLS_OK : mls_fail(err, MLS_E_NOMEM, "no memory for a report");

    for (size_t i = 0; !st && i < k->n_finalists; i++)
        st = read_curve(&curves[i], k, i, err);
    if (!st)
        st = draw(r, k, curves, err);
    if (st)
        goto done;
    say(r, k, curves, page, summary);
    if ((st = add_to_served(r, k, page, err)))
        goto done;
    mls_page_section(page, "healing", "What training repairs");
    t = make_table(k, curves);
    mls_page_table(page, t);
    mls_page_alt(page, "The loss of every finalist falls with the steps.");
    st = mls_page_figure(page, r->folder, "healing",
                         "Where a curve is still steep, more steps bring the healed KL "
                         "down.",
                         err);
    if (!st && r->training)
        st = mls_budgets_table(
            &budgets, r->training,
            (double)mls_checkpoint_parameters(mls_model_checkpoint(r->model)), err);
    if (!st && budgets) {
        mls_page_heading(page, "What whole training costs");
        mls_page_table(page, budgets);
    }

done:
    mls_table_free(t);
    mls_table_free(budgets);
    free(curves);
    return st;
}

mls_status mls_section_healing(const mls_report *r, mls_page *page, mls_buf *summary,
                               mls_err *err)
{
    const mls_corpus *text = r->calibration;
    const mls_evaluate_options how = {0};
    const mls_method_input in = mls_measured_input(r);
    healing k = {.job = mls_heal_defaults()};
    mls_err why = {0};
    mls_status st = MLS_OK;

    if (!r->heal || !r->evaluation || !text)
        return MLS_OK;
    if (mls_heal_possible(in.config, &why)) {
        mls_page_section(page, "healing", "What training repairs");
        mls_page_text(page, "Nothing is healed: %s.", why.text);
        mls_buf_printf(summary, "healing: %s\n", why.text);
        return MLS_OK;
    }
    if (text->N < WINDOWS_LEAST) {
        mls_page_section(page, "healing", "What training repairs");
        mls_page_text(page, "%zu windows of calibration text are too few to heal on.",
                      text->N);
        return MLS_OK;
    }
    k.job.in = &in;
    k.job.model_sha256 = mls_capture_model_sha256(r->capture);
    k.job.corpus = text;
    k.job.n_held = text->N / 4 < HELD ? text->N / 4 : HELD;
    k.job.steps = STEPS;
    k.job.progress = r->progress;
    st = choose(&k, r, err);
    if (!st && r->training)
        st = mls_forecast_read(&k.forecast, &k.has_forecast, r->training, err);
    for (int s = 0; s < MLS_SERVE_CLASSES; s++)
        for (size_t f = 0; !st && s != MLS_SERVE_CACHE && f < FRACTIONS; f++)
            st = race(&k, (mls_serve)s, fractions[f], r->heal, err);
    if (!st && k.n_finalists)
        st = measure_before(&k, r, err);
    if (!st && k.n_finalists)
        st = mls_heal_measure(&k.e, &k.job, k.base, k.scheme, k.n_finalists,
                              r->evaluation, &how, err);
    if (!st && k.n_finalists)
        st = show(r, &k, page, summary, err);
    healing_free(&k);
    return st;
}
