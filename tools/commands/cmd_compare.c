/* mlascope compare: settings side by side, with their Pareto front. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/evaluate/compare.h"
#include "bench/evaluate/ties.h"
#include "bench/heal/measure.h"
#include "bench/heal/heal_race.h"
#include "bench/frame/fit.h"
#include "bench/setting/settings_file.h"
#include "common/base/checked.h"
#include "common/base/words.h"
#include "common/system/files.h"
#include "common/system/hash.h"
#include "datasets/checkpoint/published.h"
#include "reports/tables/quantity_columns.h"
#include "tools/base/command.h"
#include "tools/base/data.h"
#include "tools/base/inputs.h"
#include "tools/base/options.h"
#include "tools/base/parts.h"
#include "tools/commands/help.h"

extern const mls_command cmd_compare;

typedef struct {
    mls_texts texts, files, presets, settings, keeps;
    const char *capture, *output, *sort, *rows, *shard;
    mls_format format;
    size_t length, sequences, tokens, measure, group, threads;
    size_t heal, heal_steps;
    bool no_bos, second_half, absorbed, descending;
    mls_compute compute;
    double ram;
} arguments;

/* --- Settings --- */

/* Drop from `first` on what the model cannot take, one note each. */
static void keep_possible(mls_listing *list, size_t first, const mls_config *config,
                          mls_table *notes)
{
    size_t n = first;

    for (size_t i = first; i < list->n; i++) {
        char text[512];
        mls_err why = {0};
        const mls_setting *s = &list->item[i].setting;

        if (mls_method_possible(config, s, &why)) {
            mls_table_say(notes, "left out: %s (%s)",
                          mls_setting_text(s, text, sizeof text), why.text);
            continue;
        }
        list->item[n++] = list->item[i];
    }
    list->n = n;
}

/* Said before anything is measured. */
static mls_status say_impossible(const mls_listing *list, const mls_config *config,
                                 mls_err *err)
{
    mls_tool_known known = {0};
    mls_status st = MLS_OK;

    for (size_t i = 0; !st && i < list->n; i++)
        st = mls_tool_possible(&known, config, &list->item[i].setting,
                               list->item[i].row, err);
    if (!st)
        return mls_tool_say_known(&known, false, err);
    mls_buf_free(&known.reasons);
    return st;
}

static mls_status add_fits(mls_listing *list, const mls_method *method,
                           const mls_fits *fits, const char *percent,
                           const mls_config *config, mls_err *err)
{
    enum { PER_METHOD = 2 };
    mls_status st = MLS_OK;

    for (size_t i = 0; !st && i < fits->n && i < PER_METHOD; i++) {
        char text[512], label[64];

        snprintf(label, sizeof label, "%s at %s %%", method->title, percent);
        st = mls_listing_add(list,
                             mls_setting_text(&fits->setting[i], text, sizeof text),
                             label, method->source, 0, config, err);
    }
    return st;
}

/* "25" or "25%". */
static bool read_percent(double *x, const char *text)
{
    char number[32];
    const size_t len = strlen(text);

    if (len == 0 || len >= sizeof number)
        return false;
    snprintf(number, sizeof number, "%.*s", (int)(len - (text[len - 1] == '%')), text);
    return mls_parse_real(number, x);
}

/* Every method's first settings that cache at most so many percent. */
static mls_status add_keep(mls_listing *list, const char *percent, bool data,
                           const mls_config *config, mls_err *err)
{
    double share;
    mls_status st = MLS_OK;

    if (!read_percent(&share, percent) || !(share > 0 && share <= 100))
        return mls_fail(err, MLS_E_ARG,
                        "--keep: expected percent, 0 to 100, found \"%s\"", percent);
    for (size_t m = 0; !st && mls_methods[m]; m++) {
        mls_fits fits;

        if (!data && mls_methods[m]->fits_need_data)
            continue;
        st = mls_method_fit(mls_methods[m], config, share / 100, &fits, err);
        if (!st)
            st = add_fits(list, mls_methods[m], &fits, percent, config, err);
        mls_fits_free(&fits);
    }
    return st;
}

/* Methods that --keep cannot offer without a capture. */
static void name_left_out(mls_table *t, const mls_config *config)
{
    char note[512];
    size_t at = (size_t)snprintf(note, sizeof note,
                                 "left out, because they need data (--capture):");

    for (size_t m = 0; mls_methods[m]; m++)
        if (mls_methods[m]->fits_need_data && at < sizeof note &&
            (config->mla_kv_lora_rank > 0) == (mls_methods[m] == &mls_method_truncate))
            at += (size_t)snprintf(note + at, sizeof note - at, " %s",
                                   mls_methods[m]->name);
    mls_table_note(t, note);
}

/* And those whose ranks follow from the captured data. */
static mls_status add_keep_data(mls_listing *list, const mls_texts *keeps,
                                const mls_method_input *in, mls_err *err)
{
    mls_status st = MLS_OK;

    for (size_t i = 0; !st && i < keeps->n; i++)
        for (size_t m = 0; !st && mls_methods[m]; m++) {
            double share = 0; /* add_keep() read it */
            mls_fits fits;

            read_percent(&share, keeps->item[i]);
            st = mls_method_fit_data(mls_methods[m], in, share / 100, &fits, err);
            if (!st)
                st = add_fits(list, mls_methods[m], &fits, keeps->item[i], in->config,
                              err);
            mls_fits_free(&fits);
        }
    return st;
}

static mls_status read_settings(mls_listing *list, const arguments *a,
                                const mls_config *config, mls_table *t, mls_err *err)
{
    mls_status st = MLS_OK;

    for (size_t i = 0; !st && i < a->files.n; i++)
        st = mls_listing_read(list, a->files.item[i], config, err);
    for (size_t i = 0; !st && i < a->settings.n; i++)
        st = mls_listing_add(list, a->settings.item[i], "", "", 0, config, err);
    for (size_t i = 0; !st && i < a->keeps.n; i++)
        st = add_keep(list, a->keeps.item[i], a->capture != NULL, config, err);
    if (!st && a->keeps.n && !a->capture)
        name_left_out(t, config);
    for (size_t i = 0; !st && i < a->presets.n; i++) {
        static const char *const names[] = {"mha2mla", "elitekv", "x-ecomla",
                                            "transmla", NULL};
        const char *name = a->presets.item[i];
        char file[64], *path = NULL;
        const size_t first = list->n;
        size_t j = 0;

        while (names[j] && strcmp(names[j], name) != 0)
            j++;
        if (!names[j])
            return mls_fail(err, MLS_E_ARG,
                            "--preset %s: there are mha2mla, elitekv, x-ecomla and "
                            "transmla",
                            name);
        snprintf(file, sizeof file, "bench/settings/%s.csv", names[j]);
        st = mls_tool_data(&path, file, err);
        if (!st)
            st = mls_listing_read(list, path, config, err);
        free(path);
        if (!st)
            keep_possible(list, first, config, t);
    }
    if (!st)
        st = say_impossible(list, config, err);
    if (!st && list->n == 0)
        st = mls_fail(err, MLS_E_INPUT, "the model can take none of the settings%s",
                      a->keeps.n ? ": no method goes as low as --keep asks" : "");
    return st;
}

/* --- The table --- */

/* The columns of numbers, around those of the pair with the row above. */
#define QUANTITIES                                                                     \
    "kept_percent bytes_per_token ~growing_bytes_per_token ~fixed_bytes "              \
    "-payload_bytes_per_token -predicted_key -predicted_value -predicted_logit "       \
    "-predicted_output attention_error predicted_kl perplexity -perplexity_low "       \
    "-perplexity_high kl kl_half -delta_nll -delta_nll_half top1_percent -top1_half"
#define LAST_QUANTITIES "-seconds"

/* Indices by a column; NaN last, equal ones in the order of the settings. */
static void sort_rows(size_t *order, const mls_comparison *c, const mls_quantity *by,
                      bool descending)
{
    for (size_t i = 0; i < c->n; i++) {
        const double x = by->get(&c->row[i]);
        size_t at = i;

        while (at > 0 && !isnan(x)) {
            const double y = by->get(&c->row[order[at - 1]]);

            if (!(isnan(y) || (descending ? y < x : y > x)))
                break;
            order[at] = order[at - 1];
            at--;
        }
        order[at] = i;
    }
}

/* What healing makes of a row; NaN where it was not healed. */
typedef struct {
    mls_mean kl, excess;
} healed_row;

static void make_columns(mls_table *t, const mls_config *config, bool heal)
{
    MLS_COLUMNS(t, {"front", "front", "", 0}, {"setting", "setting", "", 0},
                {"served_by", "served by", "", 0}, {"label", "label", "", 0});
    mls_table_detail(t);
    mls_quantity_columns(t, QUANTITIES, config);
    if (heal) {
        MLS_COLUMNS(t, {"healed_kl", "healed KL", "nat", 5},
                    {"healed_kl_half", "±", "nat", 5}, {"excess", "excess", "nat", 5},
                    {"excess_half", "±", "nat", 5});
        mls_table_detail(t);
    }
    mls_table_column(t, "kl_above", "KL - row above", "nat", 5);
    mls_table_detail(t);
    mls_table_column(t, "kl_above_half", "±", "nat", 5);
    mls_table_detail(t);
    mls_table_column(t, "differs", "differs", "", 0);
    mls_quantity_columns(t, LAST_QUANTITIES, config);
    mls_table_column(t, "published", "published", "", 0);
    mls_table_detail(t);
    mls_table_column(t, "source", "source", "", 0);
    mls_table_detail(t);
    mls_table_column(t, "reason", "reason", "", 0);
    mls_table_detail(t);
    mls_window_columns(t);
}

static void add_row(mls_table *t, const mls_listed *l, const mls_compared *r,
                    const mls_compared *above, const healed_row *healed,
                    const char *published, const mls_compare_request *request)
{
    char text[2048];

    mls_table_line(t, "%s %s", r->pareto ? "*" : "",
                   mls_setting_text(&l->setting, text, sizeof text));
    if (r->refused)
        mls_table_empty(t);
    else
        mls_table_text(t, mls_serve_name(r->serve));
    mls_table_text(t, l->label);
    mls_quantity_cells(t, QUANTITIES, r);
    if (healed)
        mls_table_cells(t, "%g %g %g %g", healed->kl.mean, healed->kl.half,
                        healed->excess.mean, healed->excess.half);
    if (above && above->measured && r->measured && above->N == r->N) {
        const mls_mean d = mls_mean_of_difference(r->seq_kl, above->seq_kl, r->N);

        mls_table_cells(t, "%g %g %s", d.mean, d.half,
                        isnan(d.half)                 ? ""
                        : mls_compared_tied(r, above) ? "tie"
                                                      : "yes");
    } else {
        mls_table_cells(t, "- - -");
    }
    mls_quantity_cells(t, LAST_QUANTITIES, r);
    mls_table_cells(t, "%s %s %s", published, l->source,
                    mls_refused_reason(r->refused, text));
    mls_window_cells(t, request->corpus, request->how.scored, r->seq_kl,
                     r->measured ? r->N : 0);
}

/* How each predicted error ranks the settings, against how measured KL does. */
static void add_correlations(mls_table *t, const mls_comparison *c)
{
    static const char *const error[][2] = {{"key", "predicted_key"},
                                           {"value", "predicted_value"},
                                           {"logit", "predicted_logit"},
                                           {"output", "predicted_output"},
                                           {"attention", "attention_error"}};
    double *x = mls_calloc3(c->n, 2, 1, sizeof *x), *kl = x + c->n;
    char note[256];
    size_t used = 0;

    for (size_t e = 0; x && e < sizeof error / sizeof error[0]; e++) {
        const mls_quantity *by = mls_quantity_find(error[e][1]);
        size_t n = 0;

        for (size_t i = 0; i < c->n; i++) {
            x[n] = by->get(&c->row[i]);
            kl[n] = c->row[i].kl.mean;
            n += isnan(x[n]) || isnan(kl[n]) ? 0 : 1;
        }
        const double rho = mls_rank_correlation(x, kl, n);

        if (n >= 3 && !isnan(rho))
            used += (size_t)snprintf(note + used, sizeof note - used, "%s%s %.2f (%zu)",
                                     used ? ", " : "", error[e][0], rho, n);
    }
    free(x);
    if (used) {

        mls_table_say(t, "rank correlation of predicted errors with KL (rows): %s",
                      note);
    }
}

/* Rotated numbers per token of the first layer that has any; 0: none, or not known. */
static size_t rope_elements(const mls_setting *s, const mls_config *config)
{
    mls_cache_layout *layout = calloc(1, sizeof *layout);
    size_t sum = 0;

    if (layout && !mls_method_layout(layout, config, s, NULL))
        for (size_t l = 0; l < layout->L && sum == 0; l++)
            for (size_t i = 0; i < layout->layer[l].n_parts; i++) {
                const mls_cache_part *p = &layout->layer[l].part[i];

                sum += p->kind == MLS_PART_ROPE_KEY ? p->n * p->count : 0;
            }
    free(layout);
    return sum;
}

static mls_status fill(mls_table *t, const arguments *a, const mls_listing *list,
                       const mls_comparison *c, const healed_row *healed,
                       const mls_compare_request *request, const mls_quantity *by,
                       mls_err *err)
{
    size_t *order = mls_calloc3(c->n, 1, 1, sizeof *order);
    mls_published *published = NULL;
    char *path = NULL, text[512], left[512], spread[MLS_SPREAD_TEXT];
    mls_status st = MLS_OK;

    if (!order)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the results");
    st = mls_tool_data(&path, "datasets/published/published_kv.csv", err);
    if (!st)
        st = mls_published_read(&published, path, err);
    sort_rows(order, c, by, a->descending);
    for (size_t i = 0; !st && i < c->n; i++) {
        const mls_compared *r = &c->row[order[i]];
        const mls_listed *l = &list->item[order[i]];
        const mls_method *method;

        st = mls_method_find(&method, l->setting.method, err);
        if (st)
            break;
        mls_published_quality(
            text, sizeof text, published, request->in.config,
            method == &mls_method_baseline ? "KV quantization only" : method->title,
            100 * r->kept_payload, rope_elements(&l->setting, request->in.config));
        add_row(t, l, r, i > 0 ? &c->row[order[i - 1]] : NULL,
                healed ? &healed[order[i]] : NULL, text, request);
        if (r->refused)
            mls_table_note(t, r->refused);
    }
    if (*mls_common_left_alone(left, sizeof left, request->in.config))
        mls_table_note(t, left);
    add_correlations(t, c);
    if (c->law.n) {
        mls_table_say(
            t,
            "predicted KL: %.3g attention error^%.3g, the law of the other %zu "
            "measured settings; 95 %% of measured KL lie within a factor of %.2f",
            exp(c->law.a), c->law.b, c->law.n, c->law.factor);
    }
    mls_table_say(
        t,
        "original: perplexity %s; %zu positions scored, intervals 95 %% over windows "
        "of %zu tokens",
        mls_perplexity_text(spread, c->original), c->n_scored, a->length);
    mls_table_say(
        t,
        "front *: nothing else here that the same code serves has as few bytes and "
        "as small a KL; bytes at %zu tokens; `differs`: KL against the row above, "
        "paired by window; tie: within the interval, or within %g %% where a cache is "
        "quantized, so that the order says nothing",
        a->tokens, 100 * MLS_ROUNDING);
    mls_published_free(published);
    mls_free_all(path, order);
    return st;
}

/* --- Healing --- */

static bool same_class_and_size(const mls_compared *a, const mls_compared *b)
{
    return a->measured && b->measured && a->serve == b->serve &&
           lround(100 * a->kept) == lround(100 * b->kept);
}

/* Of measured rows of one class and size, to a percent: the n nearest the original. */
static bool is_near(const mls_comparison *c, size_t row, size_t n)
{
    const mls_compared *r = &c->row[row];
    size_t nearer = 0;

    for (size_t i = 0; i < c->n; i++) {
        const mls_compared *other = &c->row[i];

        nearer +=
            same_class_and_size(other, r) &&
            (other->kl.mean < r->kl.mean || (other->kl.mean == r->kl.mean && i < row));
    }
    return r->measured && nearer < n;
}

/*
 * A race of the three times N nearest rows of the class and size of row `of`; its N
 * winners are added to `row`.
 */
static mls_status race(size_t *row, size_t *n, const arguments *a, const char *folder,
                       const mls_heal_job *job, const mls_compare_request *r,
                       const mls_comparison *c, size_t of, mls_err *err)
{
    enum { RUNNERS = 3 };
    size_t *runner = mls_calloc3(c->n, 1, 1, sizeof *runner);
    size_t *best = mls_calloc3(c->n, 1, 1, sizeof *best), k = 0;
    mls_scheme *scheme = mls_calloc3(c->n, 1, 1, sizeof *scheme);
    mls_status st = runner && best && scheme
                        ? MLS_OK
                        : mls_fail(err, MLS_E_NOMEM, "no memory to heal settings");

    for (size_t i = 0; !st && i < c->n; i++)
        if (same_class_and_size(&c->row[i], &c->row[of]) &&
            is_near(c, i, RUNNERS * a->heal)) {
            st = mls_scheme_uniform(&scheme[k], &r->setting[i], r->in.config->L, err);
            runner[k++] = i;
        }
    const size_t keep = a->heal < k ? a->heal : k;

    if (!st)
        st = mls_heal_race(best, keep, job, folder, scheme, k, &r->how, err);
    for (size_t i = 0; !st && i < keep; i++)
        row[(*n)++] = runner[best[i]];
    for (size_t i = 0; scheme && i < k; i++)
        mls_scheme_free(&scheme[i]);
    mls_free_all(scheme, runner, best);
    return st;
}

/* Is a row the first of its class and size? */
static bool is_first(const mls_comparison *c, size_t row)
{
    for (size_t i = 0; i < row; i++)
        if (same_class_and_size(&c->row[i], &c->row[row]))
            return false;
    return c->row[row].measured;
}

/* Heals the winners of the races and measures them on the same windows. */
static mls_status heal_rows(healed_row *out, const arguments *a, const char *folder,
                            const mls_compare_request *r, const mls_comparison *c,
                            mls_table *t, mls_err *err)
{
    mls_scheme *scheme = mls_calloc3(c->n, 1, 1, sizeof *scheme);
    size_t *row = mls_calloc3(c->n, 1, 1, sizeof *row), n = 0;
    mls_heal_job job = mls_heal_defaults();
    mls_evaluation e = {0};
    mls_corpus text = {0};
    mls_status st = scheme && row
                        ? mls_tool_captured_text(&text, r->in.capture, 320, err)
                        : mls_fail(err, MLS_E_NOMEM, "no memory to heal settings");

    for (size_t i = 0; i < c->n; i++)
        out[i] = (healed_row){{NAN, NAN}, {NAN, NAN}};
    job.in = &r->in;
    job.model_sha256 = r->model_id;
    job.corpus = &text;
    job.steps = a->heal_steps;
    job.progress = mls_tool_progress();
    for (size_t i = 0; !st && i < c->n; i++)
        if (is_first(c, i))
            st = race(row, &n, a, folder, &job, r, c, i, err);
    for (size_t i = 0; !st && i < n; i++)
        st = mls_scheme_uniform(&scheme[i], &r->setting[row[i]], r->in.config->L, err);
    if (!st)
        st = mls_heal_measure(&e, &job, folder, scheme, n, r->corpus, &r->how, err);
    for (size_t i = 0; !st && i < n; i++) {
        const mls_compared *before = &c->row[row[i]];

        out[row[i]].kl = e.variant[i].kl;
        if (before->N == e.variant[i].N)
            out[row[i]].excess =
                mls_mean_of_difference(before->seq_kl, e.variant[i].seq_kl, before->N);
    }
    mls_table_say(
        t,
        "healed KL: after %zu steps a layer on %zu windows of the calibration text "
        "(mlascope heal), an upper bound of the floor of this structure; excess: KL "
        "minus that",
        a->heal_steps, text.N);
    mls_evaluation_free(&e);
    for (size_t i = 0; scheme && i < n; i++)
        mls_scheme_free(&scheme[i]);
    mls_corpus_free(&text);
    mls_free_all(scheme, row);
    return st;
}

static void say_what_was_done(const mls_comparison *c)
{
    size_t kept = 0, predicted = 0, refused = 0;

    for (size_t i = 0; i < c->n; i++) {
        const mls_compared *r = &c->row[i];

        kept += r->kept_row;
        predicted += !r->measured && !r->refused;
        refused += r->refused != NULL;
    }
    if (kept + predicted + refused)
        mls_progress_note(mls_tool_progress(),
                          "measured now: %zu, kept from before: %zu, only "
                          "predicted: %zu, refused: %zu",
                          c->n_measured, kept, predicted, refused);
}

static int run(int argc, char **argv)
{
    arguments a = {.output = "-", .length = 256, .group = 8, .heal_steps = 20};
    const mls_option options[] = {
        {"--text", 'f', MLS_OPT_LIST, &a.texts, 0, 0},
        {"--settings", 0, MLS_OPT_LIST, &a.files, 0, 0},
        {"--preset", 0, MLS_OPT_LIST, &a.presets, 0, 0},
        {"--setting", 's', MLS_OPT_LIST, &a.settings, 0, 0},
        {"--keep", 'k', MLS_OPT_LIST, &a.keeps, 0, 0},
        {"--capture", 0, MLS_OPT_TEXT, &a.capture, 0, 0},
        {"--length", 'T', MLS_OPT_SIZE, &a.length, 2, 1 << 20},
        {"--sequences", 'N', MLS_OPT_SIZE, &a.sequences, 0, 0},
        {"--tokens", 0, MLS_OPT_SIZE, &a.tokens, 1, 1 << 30},
        MLS_NO_BOS_OPTION(&a.no_bos),
        {"--second-half", 0, MLS_OPT_FLAG, &a.second_half, 0, 0},
        {"--absorbed", 0, MLS_OPT_FLAG, &a.absorbed, 0, 0},
        {"--measure", 0, MLS_OPT_SIZE, &a.measure, MLS_KL_LAW_MIN, 1 << 20},
        {"--group", 0, MLS_OPT_SIZE, &a.group, 1, 10000},
        {"--heal", 0, MLS_OPT_SIZE, &a.heal, 1, 10000},
        {"--heal-steps", 0, MLS_OPT_SIZE, &a.heal_steps, 0, 1 << 20},
        {"--sort", 0, MLS_OPT_TEXT, &a.sort, 0, 0},
        {"--descending", 0, MLS_OPT_FLAG, &a.descending, 0, 0},
        {"--rows", 0, MLS_OPT_TEXT, &a.rows, 0, 0},
        MLS_FORWARD_OPTIONS(a),
        MLS_SHARD_OPTION(&a.shard),
        MLS_THREADS_OPTION(&a.threads),
        MLS_TABLE_OPTIONS(a),
        {0}};
    const char *folder;
    const mls_quantity *by = NULL;
    size_t n;
    int status;
    mls_err err = {0};
    mls_tool_subject s = {0};
    mls_listing list = {0};
    mls_setting *settings = NULL;
    mls_comparison c = {0};
    mls_table *t = mls_table_new(NULL);
    char capture_id[MLS_SHA256_HEX] = "", *rows = NULL, *folder_healed = NULL;
    healed_row *healed = NULL;
    mls_parts *parts = NULL;

    if (!mls_options_parse(&cmd_compare, argc, argv, options, &folder, 1, 1, &n,
                           &status)) {
        mls_table_free(t);
        return status;
    }
    if (a.texts.n == 0 || a.files.n + a.presets.n + a.settings.n + a.keeps.n == 0) {
        mls_table_free(t);
        return mls_usage_error(&cmd_compare,
                               a.texts.n == 0 ? "no text to measure on: give --text "
                                                "FILE"
                                              : "nothing to compare: give --settings, "
                                                "--preset, --setting or --keep");
    }
    const bool to_file = strcmp(a.output, "-") != 0 && !mls_file_is_special(a.output);

    if (a.heal && (!a.capture || !to_file)) {
        mls_table_free(t);
        return mls_usage_error(&cmd_compare,
                               "--heal needs --capture FILE, whose text it heals on, "
                               "and -o FILE, beside which healed forms are kept");
    }
    if (a.tokens == 0)
        a.tokens = a.length;
    mls_table_meta(t, "command", mls_tool_command_line());
    /* Where most settings are only predicted, that orders all of them. */
    if (!a.sort)
        a.sort = a.measure ? "predicted_kl" : "kl";
    if (mls_quantity_among(&by, QUANTITIES " " LAST_QUANTITIES, "--sort", a.sort,
                           &err) ||
        mls_tool_parts(&parts, &cmd_compare, argc, argv, options, &err) ||
        (to_file && mls_file_writable(a.output, &err)) ||
        mls_tool_model(&s.model, folder, &err) ||
        (a.heal && mls_heal_possible(mls_model_config(s.model), &err)))
        goto done;
    make_columns(t, mls_model_config(s.model), a.heal > 0);
    mls_tool_compute(s.model, a.compute, a.ram);
    mls_tool_record_model(t, s.model);
    if (read_settings(&list, &a, mls_model_config(s.model), t, &err) ||
        mls_tool_read(&s,
                      &(mls_tool_windows){&a.texts, a.length, a.sequences, a.capture,
                                          a.threads, a.no_bos, false},
                      true, &err) ||
        (a.capture && mls_sha256_file(a.capture, capture_id, &err)) ||
        mls_tool_parts_about(parts, &s, &err))
        goto done;
    if (s.capture && add_keep_data(&list, &a.keeps, &s.in, &err))
        goto done;
    settings = mls_calloc3(list.n, 1, 1, sizeof *settings);
    rows = mls_calloc3(strlen(a.output) + 16, 1, 1, 1);
    folder_healed = mls_calloc3(strlen(a.output) + 16, 1, 1, 1);
    healed = mls_calloc3(list.n, 1, 1, sizeof *healed);
    if (!settings || !rows || !folder_healed || !healed) {
        mls_fail(&err, MLS_E_NOMEM, "no memory for %zu settings", list.n);
        goto done;
    }
    for (size_t i = 0; i < list.n; i++)
        settings[i] = list.item[i].setting;
    if (to_file)
        snprintf(rows, strlen(a.output) + 16, "%s.rows.jsonl", a.output);

    mls_compare_request request = {
        .in = s.in,
        .corpus = &s.corpus,
        .setting = settings,
        .n = list.n,
        .how = {.scored = a.second_half ? MLS_SCORE_SECOND_HALF : MLS_SCORE_ALL,
                .absorbed = a.absorbed},
        .tokens = a.tokens,
        .group = a.group,
        .measure = a.measure,
        .rows_path = mls_parts_making(parts) ? NULL
                     : a.rows                ? a.rows
                     : to_file               ? rows
                                             : NULL,
        .model_id = s.model_sha256,
        .capture_id = capture_id};

    request.in.parts = parts;
    if (mls_compare(&c, &request, mls_tool_progress(), &err) ||
        mls_comparison_possible(&c, &err))
        goto done;
    if (mls_parts_making(parts)) {
        mls_tool_parts_finish(parts, &err);
        goto done;
    }
    request.in.parts = NULL; /* healing is not split: who joins heals */
    say_what_was_done(&c);
    mls_tool_foreign(s.in.config, c.original.mean, (double)NAN);
    snprintf(folder_healed, strlen(a.output) + 16, "%s.healed", a.output);
    if (a.heal && heal_rows(healed, &a, folder_healed, &request, &c, t, &err))
        goto done;
    if (fill(t, &a, &list, &c, a.heal ? healed : NULL, &request, by, &err))
        goto done;
    if (!mls_tool_print(t, a.format, a.output, &err) && to_file)
        mls_tool_print(t, MLS_FORMAT_TABLE, "-", &err);

done:
    mls_tool_parts_close(parts);
    mls_table_free(t);
    mls_comparison_free(&c);
    mls_listed_free(&list);
    mls_free_all(settings, rows, folder_healed, healed);
    mls_tool_close(&s);
    if (a.rows || to_file)
        mls_tool_stopped(&err, "finished rows are kept: the same command goes on");
    return mls_exit_status(&err);
}

MLS_COMMAND(compare, "bench", "show settings side by side, with their Pareto front");
