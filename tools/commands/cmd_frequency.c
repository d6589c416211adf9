/* mlascope frequency: which RoPE chunks each head needs, by every rule. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/frequency/frequency.h"
#include "analysis/frequency/frequency_file.h"
#include "bench/setting/setting.h"
#include "common/base/checked.h"
#include "common/system/files.h"
#include "reports/page/plot.h"
#include "reports/tables/concentration_tables.h"
#include "reports/tables/frequency_plots.h"
#include "reports/tables/frequency_tables.h"
#include "reports/tables/length_tables.h"
#include "tools/base/options.h"
#include "tools/base/parts.h"
#include "tools/commands/help.h"

extern const mls_command cmd_frequency;

typedef enum {
    SUMMARY,
    SELECTIONS,
    SCORES,
    CHUNK_USE,
    COSTS,
    OVERLAP,
    STABILITY,
    AGAINST,
    ROROPE,
} table_kind;

typedef struct {
    const char *rules, *chunks, *lengths, *scope, *against, *output, *plots, *shard;
    mls_parts *parts;
    size_t bootstrap, seed, threads;
    bool selections, scores, chunk_use, costs, overlap, stability, rorope;
    bool heads, layers, concentration;
    mls_format format;
    table_kind kind;
} request;

/* Names of rules, apart, in memory of their own. */
typedef struct {
    char *text;
    const char **name;
    size_t n;
} rule_names;

static void rule_names_free(rule_names *r)
{
    mls_free_all(r->text, r->name);
}

/* The list given, or every rule that the capture has data for. */
static mls_status choose_rules(rule_names *r, const char *list, size_t n_windows,
                               mls_err *err)
{
    const bool all = !list || strcmp(list, "all") == 0;
    size_t room = 0;

    while (mls_rules[room])
        room++;
    for (const char *p = list; p && *p; p++)
        room += *p == ',';
    r->name = calloc(room + 1, sizeof *r->name);
    r->text = strdup(list ? list : "");
    if (!r->name || !r->text)
        return mls_fail(err, MLS_E_NOMEM, "no memory for names of rules");
    for (size_t i = 0; all && mls_rules[i]; i++)
        if (n_windows > 0 || mls_rules[i]->needs != MLS_NEEDS_WINDOWS)
            r->name[r->n++] = mls_rules[i]->name;
    for (char *p = r->text; !all && p;) {
        char *comma = strchr(p, ',');
        const mls_rule *rule;

        if (comma)
            *comma = 0;
        if (mls_rule_find(&rule, p, err))
            return mls_fail_in(err, MLS_E_ARG, "--rules");
        r->name[r->n++] = p;
        p = comma ? comma + 1 : NULL;
    }
    for (size_t i = 0; i < r->n; i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(r->name[i], r->name[k]) == 0)
                return mls_fail(err, MLS_E_ARG, "--rules: %s is there twice",
                                r->name[i]);
    return MLS_OK;
}

static mls_status make_table(mls_table **t, const request *q, const mls_frequency *f,
                             const mls_rankfile *file, mls_err *err)
{
    *t = NULL;
    switch (q->kind) {
    case SUMMARY:
        *t = mls_frequency_summary_table(f);
        break;
    case SELECTIONS:
        *t = mls_frequency_selection_table(f);
        break;
    case SCORES:
        *t = mls_frequency_score_table(f);
        break;
    case CHUNK_USE:
        *t = mls_frequency_chunk_table(f, 0);
        break;
    case COSTS:
        *t = mls_frequency_cost_table(f, q->heads);
        break;
    case OVERLAP:
        *t = mls_frequency_overlap_table(f, 0, q->layers);
        break;
    case STABILITY:
        *t = mls_frequency_stability_table(f);
        break;
    case AGAINST:
        return mls_frequency_against_table(t, f, file, q->against, q->layers, err);
    case ROROPE: /* has its own */
        break;
    }
    return *t ? MLS_OK : mls_fail(err, MLS_E_NOMEM, "no memory for a table");
}

static bool is_hdf5_name(const char *name)
{
    const size_t n = strlen(name);

    return n > 3 && strcmp(name + n - 3, ".h5") == 0;
}

/* Which of the tables; -1 when more than one is asked for. */
static int kind_of(const request *q)
{
    const bool asked[] = {false,        q->selections,      q->scores,
                          q->chunk_use, q->costs,           q->overlap,
                          q->stability, q->against != NULL, q->rorope};
    int kind = SUMMARY;

    for (int i = 1; i <= ROROPE; i++)
        if (asked[i]) {
            if (kind != SUMMARY)
                return -1;
            kind = i;
        }
    return kind;
}

/* The largest budget up to the usual one, for pictures that show one. */
static size_t shown_budget(const mls_frequency *f, size_t usual)
{
    size_t best = 0;

    for (size_t b = 1; b < f->n_chunks; b++)
        if (f->chunks[b] <= usual && f->chunks[b] > f->chunks[best])
            best = b;
    return best;
}

/* What the results depend on. */
static mls_status about(const request *q, mls_capture *capture, mls_err *err)
{
    const mls_tool_subject s = {.capture = capture};
    const mls_status st =
        q->parts
            ? mls_parts_about(
                  q->parts, "result",
                  is_hdf5_name(q->output) ? "everything, -o NAME.h5" : "a table", err)
            : MLS_OK;

    return !st && q->parts ? mls_tool_parts_about(q->parts, &s, err) : st;
}

/* A run that is looked at, and threads for it. */
typedef struct {
    const char *path;
    mls_capture *capture;
    mls_pool *pool;
} subject;

static mls_status open_run(subject *s, const request *q, const char *path, mls_err *err)
{
    mls_status st;

    *s = (subject){.path = path};
    st = mls_capture_open(&s->capture, path, err);
    return st ? st : mls_pool_new(&s->pool, q->threads, err);
}

static void close_run(subject *s)
{
    mls_pool_free(s->pool);
    mls_capture_close(s->capture);
}

/* Print a table and release it; NULL: memory was short. */
static mls_status show(mls_table *t, const request *q, const subject *s,
                       const char *output, mls_err *err)
{
    mls_status st;

    if (!t)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a table");
    mls_table_meta(t, "capture", s->path);
    mls_table_meta(t, "model", mls_capture_model_sha256(s->capture));
    st = mls_tool_print(t, q->format, output, err);
    mls_table_free(t);
    return st;
}

/* Rules and budgets of a request; usually a head keeps an eighth of its chunks. */
typedef struct {
    rule_names rules;
    size_t *chunks, usual;
} choices;

static mls_status choose(mls_frequency_request *r, choices *c, const request *q,
                         const subject *s, mls_err *err)
{
    const size_t D = mls_capture_config(s->capture)->D;
    char doubling[32];
    mls_status st = about(q, s->capture, err);

    *c = (choices){.usual = D < 16 ? 1 : D / 16};
    snprintf(doubling, sizeof doubling, "1-%zu*2", D / 4 + 1);
    if (!st)
        st = choose_rules(&c->rules, q->rules, mls_capture_windows(s->capture), err);
    if (!st && (q->chunks || q->plots))
        st = mls_size_list("--chunks", q->chunks ? q->chunks : doubling, 0,
                           MLS_DIM_MAX / 2, &c->chunks, &r->n_chunks, err);
    if (!c->chunks)
        r->n_chunks = 1;
    r->chunks = c->chunks ? c->chunks : &c->usual;
    r->rules = c->rules.name;
    r->n_rules = c->rules.n;
    r->parts = q->parts;
    return st;
}

static void choices_free(choices *c)
{
    free(c->chunks);
    rule_names_free(&c->rules);
}

static mls_status analyse(const request *q, const char *path, mls_err *err)
{
    const bool whole = is_hdf5_name(q->output);
    mls_frequency_request r = {.bootstrap = q->bootstrap, .seed = q->seed};
    mls_frequency f = {0};
    subject s = {0};
    choices c = {0};
    mls_rankfile file = {0};
    mls_table *t = NULL;
    const size_t known = q->plots ? mls_folder_known(q->plots) : 0;
    mls_status st = mls_scope_parse(&r.scope, q->scope, err);

    if (!st && whole)
        st = mls_file_writable(q->output, err);
    if (!st && q->plots)
        st = mls_plot_check(err);
    if (!st && q->plots)
        st = mls_folder_prepare(q->plots, err);
    if (!st && q->against)
        st = mls_rankfile_read(&file, q->against, err);
    if (!st)
        st = open_run(&s, q, path, err);
    if (!st)
        st = choose(&r, &c, q, &s, err);
    if (st)
        goto done;
    r.stability = whole || q->plots || q->kind == SUMMARY || q->kind == STABILITY;
    r.costs = q->kind == COSTS || ((whole || q->plots || q->kind == SUMMARY) &&
                                   mls_capture_windows(s.capture) > 1);
    if (!whole && q->kind != SUMMARY && q->kind != SCORES)
        r.bootstrap = 0;
    st = mls_frequency_run(&f, s.capture, &r, s.pool, mls_tool_progress(), err);
    if (!st && mls_parts_making(q->parts)) {
        st = mls_tool_parts_finish(q->parts, err);
        goto done;
    }
    if (!st && whole)
        st =
            mls_frequency_write(&f, s.capture, q->output, mls_tool_command_line(), err);
    if (!st && q->plots)
        st = mls_frequency_plots(q->plots, &f, shown_budget(&f, c.usual), err);
    if (!st)
        st = make_table(&t, q, &f, &file, err);
    if (!st)
        st = show(t, q, &s, whole ? "-" : q->output, err);
    if (!st && q->plots)
        mls_tool_pictures(q->plots);

done:
    if (st && q->plots)
        mls_folder_undo(q->plots, known); /* stays when it holds anything */
    mls_frequency_free(&f);
    choices_free(&c);
    close_run(&s);
    mls_rankfile_free(&file);
    return st;
}

static mls_status survey_rorope(const request *q, const char *path, mls_err *err)
{
    mls_rorope_survey survey = {0};
    subject s;
    mls_status st = open_run(&s, q, path, err);

    if (!st)
        st =
            mls_rorope_survey_run(&survey, s.capture, s.pool, mls_tool_progress(), err);
    if (!st)
        st = show(mls_rorope_table(&survey, q->layers), q, &s, q->output, err);
    mls_rorope_survey_free(&survey);
    close_run(&s);
    return st;
}

/* Concentration, curve and reach of every head. */
static mls_status survey_hearing(const request *q, const char *path, mls_err *err)
{
    mls_hearing h = {0};
    subject s;
    mls_status st = open_run(&s, q, path, err);

    if (!st)
        st = mls_hearing_run(&h, s.capture, s.pool, mls_tool_progress(), err);
    if (!st)
        st = show(mls_hearing_table(&h), q, &s, q->output, err);
    mls_hearing_free(&h);
    close_run(&s);
    return st;
}

/* What rules keep in the first tokens of the windows, for every length of the list. */
static mls_status survey_lengths(const request *q, const char *path, mls_err *err)
{
    mls_frequency_request r = {.seed = q->seed};
    mls_frequency *f = NULL;
    subject s = {0};
    choices c = {0};
    size_t *length = NULL, n = 0, lead = 0;
    mls_status st = mls_scope_parse(&r.scope, q->scope, err);

    if (!st)
        st = open_run(&s, q, path, err);
    if (!st) {
        lead = mls_capture_lead(s.capture);
        st = mls_size_list("--lengths", q->lengths, 2,
                           mls_capture_window_length(s.capture) - lead, &length, &n,
                           err);
    }
    if (!st)
        st = choose(&r, &c, q, &s, err);
    if (!st && !(f = calloc(n, sizeof *f)))
        st = mls_fail(err, MLS_E_NOMEM, "no memory for %zu lengths", n);
    for (size_t i = 0; !st && i < n; i++) {
        if (i > 0 && length[i] <= length[i - 1])
            st = mls_fail(err, MLS_E_ARG, "--lengths: %zu after %zu: they must rise",
                          length[i], length[i - 1]);
        r.tokens = length[i] + lead;
        if (!st)
            st = mls_frequency_run(&f[i], s.capture, &r, s.pool, mls_tool_progress(),
                                   err);
    }
    if (!st && mls_parts_making(q->parts))
        st = mls_tool_parts_finish(q->parts, err);
    else if (!st)
        st = show(mls_frequency_length_table(f, n), q, &s, q->output, err);
    for (size_t i = 0; f && i < n; i++)
        mls_frequency_free(&f[i]);
    mls_free_all(f, length);
    choices_free(&c);
    close_run(&s);
    return st;
}

static int run(int argc, char **argv)
{
    request q = {
        .scope = "head", .output = "-", .bootstrap = 1000, .seed = 1, .format = 0};
    const char *path;
    size_t n_operands;
    mls_err err = {0};
    int status;
    const mls_option options[] = {
        {"--rules", 'r', MLS_OPT_TEXT, &q.rules, 0, 0},
        {"--chunks", 'c', MLS_OPT_TEXT, &q.chunks, 0, 0},
        {"--concentration", 0, MLS_OPT_FLAG, &q.concentration, 0, 0},
        {"--lengths", 0, MLS_OPT_TEXT, &q.lengths, 0, 0},
        {"--scope", 0, MLS_OPT_TEXT, &q.scope, 0, 0},
        {"--bootstrap", 0, MLS_OPT_SIZE, &q.bootstrap, 0, 1e6},
        {"--seed", 0, MLS_OPT_SIZE, &q.seed, 0, 0},
        {"--selections", 0, MLS_OPT_FLAG, &q.selections, 0, 0},
        {"--scores", 0, MLS_OPT_FLAG, &q.scores, 0, 0},
        {"--chunk-use", 0, MLS_OPT_FLAG, &q.chunk_use, 0, 0},
        {"--costs", 0, MLS_OPT_FLAG, &q.costs, 0, 0},
        {"--overlap", 0, MLS_OPT_FLAG, &q.overlap, 0, 0},
        {"--stability", 0, MLS_OPT_FLAG, &q.stability, 0, 0},
        {"--against", 0, MLS_OPT_TEXT, &q.against, 0, 0},
        {"--rorope", 0, MLS_OPT_FLAG, &q.rorope, 0, 0},
        {"--heads", 0, MLS_OPT_FLAG, &q.heads, 0, 0},
        {"--layers", 0, MLS_OPT_FLAG, &q.layers, 0, 0},
        {"--plots", 0, MLS_OPT_TEXT, &q.plots, 0, 0},
        MLS_SHARD_OPTION(&q.shard),
        MLS_THREADS_OPTION(&q.threads),
        MLS_TABLE_OPTIONS(q),
        {0}};

    if (!mls_options_parse(&cmd_frequency, argc, argv, options, &path, 1, 1,
                           &n_operands, &status))
        return status;
    if (kind_of(&q) < 0)
        return mls_usage_error(&cmd_frequency,
                               "one table at a time; -o NAME.h5 writes everything");
    q.kind = (table_kind)kind_of(&q);
    if (q.heads && q.kind != COSTS)
        return mls_usage_error(&cmd_frequency, "--heads goes with --costs");
    if (q.layers && q.kind != OVERLAP && q.kind != AGAINST && q.kind != ROROPE)
        return mls_usage_error(&cmd_frequency,
                               "--layers goes with --overlap, --against or --rorope");
    if (q.concentration && (q.kind != SUMMARY || q.lengths || q.plots))
        return mls_usage_error(&cmd_frequency, "--concentration is a table of its own");
    if (q.lengths && (q.kind != SUMMARY || q.plots || is_hdf5_name(q.output)))
        return mls_usage_error(&cmd_frequency, "--lengths is a table of its own");
    if (q.shard && (q.kind == ROROPE || q.concentration || q.plots))
        return mls_usage_error(&cmd_frequency,
                               "--shard splits neither --rorope nor --concentration, "
                               "and draws no --plots");
    if (mls_tool_parts(&q.parts, &cmd_frequency, argc, argv, options, &err))
        return mls_exit_status(&err);
    if (q.kind == ROROPE)
        survey_rorope(&q, path, &err);
    else if (q.concentration)
        survey_hearing(&q, path, &err);
    else if (q.lengths)
        survey_lengths(&q, path, &err);
    else
        analyse(&q, path, &err);
    mls_tool_parts_close(q.parts);
    return mls_exit_status(&err);
}

MLS_COMMAND(frequency, "analysis", "which RoPE chunks each head needs, by every rule");
