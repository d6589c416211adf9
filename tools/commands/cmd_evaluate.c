/*
 * mlascope evaluate: perplexity and KL of settings, measured through the whole model.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/evaluate/compare.h"
#include "bench/frame/scheme.h"
#include "common/base/checked.h"
#include "common/base/words.h"
#include "common/system/files.h"
#include "reports/tables/length_tables.h"
#include "reports/tables/quantity_columns.h"
#include "tools/base/command.h"
#include "tools/base/evaluate_items.h"
#include "tools/base/inputs.h"
#include "tools/base/options.h"
#include "tools/base/parts.h"
#include "tools/commands/help.h"

extern const mls_command cmd_evaluate;

typedef struct {
    mls_texts texts, settings, against;
    const char *capture, *plan, *lengths, *retrieval, *choices, *output, *shard;
    size_t length, sequences, seed, threads;
    bool no_bos, second_half, per_layer, sequential, absorbed, positions, percentiles;
    mls_format format;
    mls_compute compute;
    double ram;
    size_t *length_list, n_lengths; /* of --lengths, rising; the last is length */
} arguments;

/* All settings as schemes, and the variants to run; owned together. */
typedef struct {
    mls_scheme *scheme;
    size_t n_schemes;
    mls_variant *variant;
    size_t n;
} work;

static void work_free(work *w)
{
    for (size_t i = 0; i < w->n_schemes; i++)
        mls_scheme_free(&w->scheme[i]);
    mls_free_all(w->scheme, w->variant);
}

/* Room for one more scheme at the end; counted when it is made. */
static mls_status make_room(work *w, mls_err *err)
{
    mls_scheme *more = realloc(w->scheme, (w->n_schemes + 1) * sizeof *more);

    if (!more)
        return mls_fail(err, MLS_E_NOMEM, "no memory for another setting");
    w->scheme = more;
    return MLS_OK;
}

/* A converted model is a setting whose method reads its folder. */
static mls_status add_converted(work *w, const char *folder, size_t L, mls_err *err)
{
    mls_setting s = {.method = "converted"};
    mls_status st = make_room(w, err);

    if (!st)
        st = mls_setting_set(&s, "path", folder, err);
    if (!st)
        st = mls_scheme_uniform(&w->scheme[w->n_schemes], &s, L, err);
    if (!st)
        w->n_schemes++;
    return st;
}

static mls_status add_plan(work *w, const char *path, const char *capture,
                           const mls_model *model, mls_err *err)
{
    mls_status st = make_room(w, err);

    if (!st)
        st = mls_tool_plan(&w->scheme[w->n_schemes], path, model, capture, err);
    if (!st)
        w->n_schemes++;
    return st;
}

static mls_status work_new(work *w, const arguments *a, const mls_model *model,
                           mls_err *err)
{
    const mls_config *config = mls_model_config(model);
    mls_tool_known known = {0};
    mls_status st = a->plan ? add_plan(w, a->plan, a->capture, model, err) : MLS_OK;

    for (size_t i = 0; !st && i < a->settings.n; i++) {
        mls_setting *s = NULL;
        mls_scheme *more;
        size_t n = 0;

        st = mls_setting_expand(a->settings.item[i], &s, &n, err);
        if (!st) {
            more = realloc(w->scheme, (w->n_schemes + n) * sizeof *more);
            if (!more)
                st = mls_fail(err, MLS_E_NOMEM, "no memory for %zu settings", n);
            else
                w->scheme = more;
        }
        for (size_t j = 0; !st && j < n; j++) {
            st = mls_tool_possible(&known, config, &s[j], 0, err);
            if (!st)
                st =
                    mls_scheme_uniform(&w->scheme[w->n_schemes], &s[j], config->L, err);
            if (!st)
                w->n_schemes++;
        }
        free(s);
    }
    if (st)
        mls_buf_free(&known.reasons);
    else
        st = mls_tool_say_known(&known, a->plan || a->against.n, err);
    for (size_t i = 0; !st && i < a->against.n; i++)
        st = add_converted(w, a->against.item[i], config->L, err);
    if (st)
        return st;
    w->variant = mls_calloc3(w->n_schemes, config->L + 1, 1, sizeof *w->variant);
    if (!w->variant)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu settings", w->n_schemes);
    for (size_t i = 0; i < w->n_schemes; i++) {
        w->variant[w->n++] =
            (mls_variant){.scheme = &w->scheme[i], .only_layer = MLS_NONE};
        for (size_t l = 0; a->per_layer && l < config->L; l++)
            w->variant[w->n++] =
                (mls_variant){.scheme = &w->scheme[i], .only_layer = (int)l};
    }
    return MLS_OK;
}

static const char quantities[] =
    MLS_QUALITY_KEYS " delta_nll delta_nll_half top1_percent";

/* The original says nothing about a difference from itself. */
static mls_compared original_row(const mls_evaluation *e, const mls_config *config,
                                 const mls_size_result *own, size_t tokens)
{
    const mls_mean none = {NAN, NAN};
    mls_compared r = mls_compared_of(&e->original, config, own, tokens);

    r.kl = r.dnll = r.top1 = none;
    return r;
}

/* Why what was refused has no figures, once for each setting. */
static void add_reasons(mls_table *t, const work *w, const mls_evaluation *e)
{
    for (size_t i = 0; i < w->n; i++)
        if (e->variant[i].refused &&
            (i == 0 || w->variant[i].scheme != w->variant[i - 1].scheme))
            mls_table_note(t, e->variant[i].refused);
}

static mls_table *make_table(const arguments *a, const work *w, const mls_evaluation *e,
                             const mls_config *config, const mls_size_result *own,
                             const mls_corpus *text, const mls_capture *capture)
{
    const size_t tokens = text->n_ids - text->N * text->lead;
    const double text_tokens = (double)text->tokens_available;
    char left[512];
    mls_table *t = mls_table_new(NULL);

    mls_table_column(t, "setting", "setting", "", 0);
    if (a->per_layer)
        mls_table_column(t, "layer", "layer", "", 0);
    mls_table_column(t, "served_by", "served by", "", 0);
    mls_quantity_columns(t, quantities, config);
    if (a->percentiles) {
        MLS_COLUMNS(t, {"kl_median", "KL 50 %", "nat", 5}, {"kl_90", "90 %", "nat", 5},
                    {"kl_95", "95 %", "nat", 5}, {"kl_99", "99 %", "nat", 5},
                    {"kl_999", "99.9 %", "nat", 5}, {"kl_max", "max", "nat", 4});
    }
    mls_table_column(t, "reason", "reason", "", 0);
    mls_table_detail(t);
    mls_table_column(t, "word_perplexity", "word perplexity", "", 3);
    mls_table_detail(t);
    mls_table_column(t, "byte_perplexity", "byte perplexity", "", 4);
    mls_table_detail(t);
    mls_table_column(t, "bits_per_byte", "bits per byte", "", 4);
    mls_table_detail(t);
    mls_window_columns(t);
    mls_table_meta(t, "command", mls_tool_command_line());
    for (size_t i = 0; i <= w->n; i++) {
        const mls_quality *q = i == 0 ? &e->original : &e->variant[i - 1];
        const mls_variant *v = i == 0 ? NULL : &w->variant[i - 1];
        const mls_compared r = i == 0 ? original_row(e, config, own, a->length)
                                      : mls_compared_of(q, config, own, a->length);

        mls_table_line(t, "%s", v ? v->scheme->name : "original");
        if (a->per_layer && v && v->only_layer >= 0)
            mls_table_count(t, v->only_layer);
        else if (a->per_layer)
            mls_table_empty(t);
        if (q->refused)
            mls_table_empty(t);
        else
            mls_table_text(t, v ? mls_serve_name(q->serve) : "");
        mls_quantity_cells(t, quantities, &r);
        if (a->percentiles) {
            const double kl[] = {q->kl_median, q->kl_90,  q->kl_95,
                                 q->kl_99,     q->kl_999, q->kl_max};

            for (size_t k = 0; k < sizeof kl / sizeof kl[0]; k++)
                mls_table_real(t, v ? kl[k] : (double)NAN);
        }
        mls_table_cells(
            t, "%s %g %g %g", mls_refused_reason(q->refused, v ? v->scheme->name : ""),
            exp(q->nll.mean * text_tokens / (double)text->text_words),
            exp(q->nll.mean * text_tokens / (double)text->text_bytes),
            q->nll.mean * text_tokens / (double)text->text_bytes / log(2.0));
        mls_window_cells(t, text,
                         a->second_half ? MLS_SCORE_SECOND_HALF : MLS_SCORE_ALL,
                         q->seq_kl, v && q->seq_kl ? q->N : 0);
    }
    add_reasons(t, w, e);
    mls_table_say(
        t,
        "%zu window%s of %zu tokens without overlap (%zu tokens, %zu scored%s), "
        "intervals 95 %% over windows, f32",
        e->original.N, mls_plural(e->original.N), a->length, tokens,
        e->original.n_scored, a->second_half ? ", second halves" : "");
    mls_table_say(
        t,
        "kept: cached bytes at %zu tokens, scales and windows included, of the "
        "original's 16-bit %s cache (%.0f B/token)",
        a->length,
        config->mla_kv_lora_rank ? "MLA"
        : config->G < config->H  ? "GQA"
                                 : "MHA",
        own->bytes_per_token);
    if (a->settings.n > 0 && *mls_common_left_alone(left, sizeof left, config))
        mls_table_note(t, left);
    if (!capture && (a->settings.n > 0 || a->plan))
        mls_table_note(t, "no calibration data: methods used weights alone");
    for (size_t i = 0; i < w->n; i++)
        if (e->variant[i].trained && w->variant[i].only_layer < 0) {
            mls_table_say(
                t,
                "%.150s: norms or MLPs are not the original's: trained further, "
                "its figures hold that too",
                w->variant[i].scheme->name);
        }
    return t;
}

/* The windows that are read are the longest. */
static mls_status read_lengths(arguments *a, mls_err *err)
{
    const mls_status st = mls_size_list("--lengths", a->lengths, 2, 1 << 20,
                                        &a->length_list, &a->n_lengths, err);

    if (st)
        return st;
    a->length = 0;
    for (size_t i = 0; i < a->n_lengths; i++)
        if (a->length_list[i] > a->length)
            a->length = a->length_list[i];
    return MLS_OK;
}

/* (n) borrowed names of the variants; NULL when memory is short. */
static const char **names_of(const work *w, mls_err *err)
{
    const char **name = mls_calloc3(w->n, 1, 1, sizeof(char *));

    for (size_t i = 0; name && i < w->n; i++)
        name[i] = w->variant[i].scheme->name;
    if (!name)
        mls_fail(err, MLS_E_NOMEM, "no memory for a table");
    return name;
}

static mls_table *by_length(const arguments *a, const mls_tool_subject *s,
                            const work *w, const mls_evaluate_options *how,
                            mls_err *err)
{
    const char **name = names_of(w, err);
    mls_lengths l = {0};
    mls_table *t = NULL;

    if (name &&
        !mls_lengths_measure(&l, &s->in, &s->corpus, a->length_list, a->n_lengths,
                             w->variant, w->n, how, mls_tool_progress(), err) &&
        !mls_evaluation_possible(&l.e[0], err)) {
        t = mls_length_table(&l, name);
        add_reasons(t, w, &l.e[0]);
        mls_table_meta(t, "command", mls_tool_command_line());
    }
    mls_lengths_free(&l);
    free(name);
    return t;
}

static mls_table *by_position(const work *w, const mls_evaluation *e, mls_err *err)
{
    const char **name = names_of(w, err);
    mls_table *t = name ? mls_position_table(e, name) : NULL;

    if (t) {
        add_reasons(t, w, e);
        mls_table_meta(t, "command", mls_tool_command_line());
    }
    free(name);
    return t;
}

static int run(int argc, char **argv)
{
    arguments a = {.seed = 1, .output = "-"};
    const mls_option options[] = {
        {"--text", 'f', MLS_OPT_LIST, &a.texts, 0, 0},
        {"--setting", 's', MLS_OPT_LIST, &a.settings, 0, 0},
        {"--against", 0, MLS_OPT_LIST, &a.against, 0, 0},
        {"--plan", 0, MLS_OPT_TEXT, &a.plan, 0, 0},
        {"--capture", 0, MLS_OPT_TEXT, &a.capture, 0, 0},
        {"--length", 'T', MLS_OPT_SIZE, &a.length, 2, 1 << 20},
        {"--sequences", 'N', MLS_OPT_SIZE, &a.sequences, 0, 0},
        MLS_NO_BOS_OPTION(&a.no_bos),
        {"--second-half", 0, MLS_OPT_FLAG, &a.second_half, 0, 0},
        {"--per-layer", 0, MLS_OPT_FLAG, &a.per_layer, 0, 0},
        {"--sequential", 0, MLS_OPT_FLAG, &a.sequential, 0, 0},
        {"--absorbed", 0, MLS_OPT_FLAG, &a.absorbed, 0, 0},
        {"--lengths", 0, MLS_OPT_TEXT, &a.lengths, 0, 0},
        {"--positions", 0, MLS_OPT_FLAG, &a.positions, 0, 0},
        {"--retrieval", 0, MLS_OPT_TEXT, &a.retrieval, 0, 0},
        {"--choices", 0, MLS_OPT_TEXT, &a.choices, 0, 0},
        {"--seed", 0, MLS_OPT_SIZE, &a.seed, 0, 1e15},
        {"--percentiles", 0, MLS_OPT_FLAG, &a.percentiles, 0, 0},
        MLS_FORWARD_OPTIONS(a),
        MLS_SHARD_OPTION(&a.shard),
        MLS_THREADS_OPTION(&a.threads),
        MLS_TABLE_OPTIONS(a),
        {0}};
    const char *folder;
    size_t n;
    int status;
    mls_err err = {0};
    mls_tool_subject s = {0};
    mls_corpus calibration = {0};
    mls_evaluation e = {0};
    mls_size_result own;
    work w = {0};
    mls_table *t = NULL;
    mls_parts *parts = NULL;

    if (!mls_options_parse(&cmd_evaluate, argc, argv, options, &folder, 1, 1, &n,
                           &status))
        return status;
    if (a.texts.n == 0 && !a.choices)
        return mls_usage_error(&cmd_evaluate,
                               "no text to measure on: give --text FILE");
    if (a.settings.n == 0 && a.against.n == 0 && !a.plan)
        return mls_usage_error(&cmd_evaluate,
                               "nothing to measure: give --setting TEXT, --against "
                               "FOLDER or --plan FILE");
    if (a.lengths && (a.positions || a.per_layer))
        return mls_usage_error(&cmd_evaluate,
                               "--lengths is a table of its own: without --positions "
                               "and --per-layer");
    const bool items = a.retrieval || a.choices;
    const mls_tool_items item = {a.choices,   a.retrieval, &a.texts,
                                 a.sequences, a.seed,      a.no_bos};

    if (items && (a.lengths || a.positions || a.per_layer || a.second_half ||
                  a.percentiles || a.length || a.shard || (a.retrieval && a.choices)))
        return mls_usage_error(&cmd_evaluate, "--retrieval and --choices are tables of "
                                              "their own, with their own sequences");
    if (a.sequential && (!a.capture || a.per_layer || a.shard || a.against.n))
        return mls_usage_error(&cmd_evaluate,
                               "--sequential needs --capture, and goes without "
                               "--per-layer, --shard and --against");
    if (a.lengths && read_lengths(&a, &err))
        goto done;
    if (mls_tool_parts(&parts, &cmd_evaluate, argc, argv, options, &err) ||
        (strcmp(a.output, "-") != 0 && mls_file_writable(a.output, &err)))
        goto done;
    if (mls_tool_model(&s.model, folder, &err))
        goto done;
    mls_tool_compute(s.model, a.compute, a.ram);
    if (work_new(&w, &a, s.model, &err) ||
        mls_tool_read(&s,
                      &(mls_tool_windows){&a.texts, a.length, a.sequences, a.capture,
                                          a.threads, a.no_bos, items},
                      parts != NULL, &err) ||
        mls_tool_parts_about(parts, &s, &err))
        goto done;
    a.length = s.length;
    if (a.sequential && mls_tool_captured_text(&calibration, s.capture, SIZE_MAX, &err))
        goto done;
    s.in.parts = parts;

    const mls_evaluate_options how = {.scored = a.second_half ? MLS_SCORE_SECOND_HALF
                                                              : MLS_SCORE_ALL,
                                      .calibration = a.sequential ? &calibration : NULL,
                                      .absorbed = a.absorbed,
                                      .keep_going = true};

    if (items) {
        if (mls_tool_evaluate_items(&t, &s, &item, w.variant, w.n, &how, &err))
            goto done;
        goto print;
    }
    if (a.length_list) {
        t = by_length(&a, &s, &w, &how, &err);
        if (!t || mls_parts_making(parts))
            goto finish;
        goto print;
    }
    if (mls_size_own(&own, s.in.config, a.length, &err) ||
        mls_evaluate(&e, &s.in, &s.corpus, w.variant, w.n, &how, mls_tool_progress(),
                     &err) ||
        mls_evaluation_possible(&e, &err) || mls_parts_making(parts))
        goto finish;
    mls_tool_foreign(s.in.config, e.original.nll.mean, (double)NAN);
    t = a.positions ? by_position(&w, &e, &err)
                    : make_table(&a, &w, &e, s.in.config, &own, &s.corpus, s.capture);

print:
    if (t) {
        mls_tool_record_model(t, s.model);
        mls_tool_record_before(t, s.before);
    }
    mls_tool_print(t, a.format, a.output, &err);

finish:
    if (!err.status && mls_parts_making(parts))
        mls_tool_parts_finish(parts, &err);

done:
    mls_tool_parts_close(parts);
    mls_table_free(t);
    mls_evaluation_free(&e);
    free(a.length_list);
    work_free(&w);
    mls_corpus_free(&calibration);
    mls_tool_close(&s);
    return mls_exit_status(&err);
}

MLS_COMMAND(evaluate, "bench",
            "measure perplexity and KL of settings before any training");
