/* mlascope report: the main job, from a model and a text to one folder. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "analysis/latent/gpu.h"
#include "analysis/numeric/linalg.h"
#include "bench/evaluate/evaluate.h"
#include "common/base/checked.h"
#include "common/base/words.h"
#include "common/system/files.h"
#include "datasets/tokenizer/tokenizer.h"
#include "reports/page/plot.h"
#include "reports/report/history.h"
#include "reports/report/report.h"
#include "reports/report/report_folder.h"
#include "reports/report/work.h"
#include "tools/base/command.h"
#include "tools/base/data.h"
#include "tools/base/inputs.h"
#include "tools/base/named_texts.h"
#include "tools/base/options.h"
#include "tools/base/run_progress.h"
#include "tools/base/terminal.h"
#include "tools/commands/help.h"

extern const mls_command cmd_report;

enum {
    PAGES_BYTES = 4 << 20, /* page, answer, data and pictures; measured, 3 MB */
    HELD_OF_TEXT = 4,
    SAY_FROM = 30 /* seconds */,
    TOLD_FROM = 10,
    MORE = 8,
    SIDE = 768 /* of a product in double */
};

static const double SHORT = 0.25, AGAIN = 2; /* seconds */

typedef struct {
    mls_texts texts, evals;
    const char *output, *gpu, *serve, *history;
    size_t sequences, length, eval_sequences, context, batch, heal, threads;
    bool no_bos, no_quality, no_plots, replace, exhaustive, force;
    mls_compute compute;
    double ram;
} arguments;

/* The last n sequences of a corpus become one of their own; the first keep the rest. */
static mls_status hold_out(mls_corpus *first, mls_corpus *last, size_t n, mls_err *err)
{
    const size_t N = first->N - n;
    const mls_status st = mls_corpus_part(last, first, N, n, err);

    if (st)
        return st;
    first->N = N;
    first->n_ids = first->start[N];
    return MLS_OK;
}

/* Texts with names, each by itself. */
typedef struct {
    mls_named_texts names;
    mls_corpus each[MLS_NAMED_TEXTS], held[MLS_NAMED_TEXTS];
    mls_capture *capture[MLS_NAMED_TEXTS];
    mls_report_text shown[MLS_NAMED_TEXTS];
} named_texts;

static void named_free(named_texts *t)
{
    for (size_t i = 0; i < t->names.n; i++) {
        mls_corpus_free(&t->each[i]);
        mls_corpus_free(&t->held[i]);
        mls_capture_close(t->capture[i]);
    }
}

static double parameters_of(const mls_model *model)
{
    return (double)mls_checkpoint_parameters(mls_model_checkpoint(model));
}

static bool is_large(const mls_model *model)
{
    return mls_work_is_large(mls_model_config(model), parameters_of(model));
}

/* What the command leaves open follows from the model's shape. */
static void usual_texts(arguments *a, const mls_model *model)
{
    const mls_report_texts usual =
        mls_work_texts(mls_model_config(model), parameters_of(model));

    a->sequences = a->sequences ? a->sequences : usual.calibration;
    a->eval_sequences = a->eval_sequences ? a->eval_sequences : usual.held_out;
}

/* As many sequences of each as make all, and a few that are held out. */
static mls_status read_named(const arguments *a, named_texts *t, mls_tokenizer *tok,
                             mls_corpus *corpus, mls_corpus *held, mls_err *err)
{
    const size_t n = t->names.n, share = (a->sequences + n - 1) / n;
    mls_status st =
        mls_tool_read_named(t->each, &t->names, tok, a->length, share + HELD_OF_TEXT,
                            mls_tool_bos(a->no_bos), err);

    for (size_t i = 0; !st && i < n; i++) {
        const size_t N = t->each[i].N,
                     quarter = N / 4 < HELD_OF_TEXT ? N / 4 : HELD_OF_TEXT;
        const size_t out = N > share ? N - share : quarter;

        if (out == 0)
            return mls_fail(err, MLS_E_INPUT,
                            "text %s: %zu sequences of %zu tokens, four are needed",
                            t->names.text[i].name, N, a->length);
        st = hold_out(&t->each[i], &t->held[i], out, err);
        t->shown[i].name = t->names.text[i].name;
        t->shown[i].held = &t->held[i];
    }
    if (!st)
        st = mls_tool_join(corpus, t->each, n, err);
    if (!st && !a->no_quality && a->evals.n == 0)
        st = mls_tool_join(held, t->held, n, err);
    return st;
}

/* A text beside the model is used when none is given, as in datasets/demo. */
static void add_beside(mls_texts *texts, const char *folder, const char *name,
                       char **path)
{
    if (texts->n > 0)
        return;
    *path = mls_path_join(folder, name);
    if (*path && mls_file_exists(*path))
        texts->item[texts->n++] = *path;
}

/* Calibration and held-out corpora; held->N is 0 when there is nothing to hold out. */
static mls_status read_texts(const arguments *a, named_texts *t, mls_tokenizer *tok,
                             mls_corpus *corpus, mls_corpus *held, mls_err *err)
{
    const bool own = a->evals.n > 0;
    const size_t extra = own || a->no_quality ? 0 : a->eval_sequences;
    mls_status st = t->names.n ? read_named(a, t, tok, corpus, held, err)
                               : mls_corpus_read(corpus, tok, a->texts.item, a->texts.n,
                                                 a->length, a->sequences + extra,
                                                 mls_tool_bos(a->no_bos), err);

    if (st || a->no_quality || (t->names.n && !own))
        return st;
    if (own)
        return mls_corpus_read(held, tok, a->evals.item, a->evals.n, a->length,
                               a->eval_sequences, mls_tool_bos(a->no_bos), err);
    const size_t n = corpus->N / 4 < extra ? corpus->N / 4 : extra;

    return n > 0 ? hold_out(corpus, held, n, err) : MLS_OK;
}

/*
 * The command as it goes into the report: every setting that the figures depend on,
 * with its default, and no other, so that the same work gives the same bytes.
 */
static void settled_command(mls_buf *command, const arguments *a,
                            const mls_named_texts *names, const char *folder)
{
    mls_buf_puts(command, "mlascope report ");
    mls_buf_shell(command, folder);
    for (size_t i = 0; i < a->texts.n; i++) {
        mls_buf_puts(command, " --text ");
        mls_tool_named_shell(command, names, a->texts.item[i]);
    }
    for (size_t i = 0; i < a->evals.n && !a->no_quality; i++) {
        mls_buf_puts(command, " --eval ");
        mls_buf_shell(command, a->evals.item[i]);
    }
    mls_buf_printf(command, " --sequences %zu --length %zu", a->sequences, a->length);
    if (a->compute == MLS_COMPUTE_BF16)
        mls_buf_puts(command, " --compute bf16");
    if (a->no_bos)
        mls_buf_puts(command, " --no-bos");
    if (a->exhaustive)
        mls_buf_puts(command, " --exhaustive");
    if (a->no_quality)
        mls_buf_puts(command, " --no-quality");
    else
        mls_buf_printf(command,
                       " --eval-sequences %zu --gpu %s --context %zu --batch %zu "
                       "--serve %s",
                       a->eval_sequences, a->gpu, a->context, a->batch, a->serve);
    if (a->heal && !a->no_quality)
        mls_buf_printf(command, " --heal %zu", a->heal);
}

/* A name of the table, or GiB. */
static mls_status find_gpu(mls_gpu *out, char *title, size_t size, const char *name,
                           mls_err *err)
{
    const mls_gpu *gpu;
    double gib;

    if (mls_parse_gib(name, &gib)) {
        snprintf(title, size, "a GPU of %g GiB", gib);
        *out = (mls_gpu){.name = name, .title = title, .memory = gib * 1073741824.0};
        return MLS_OK;
    }
    const mls_status st = mls_gpu_find(&gpu, name, err);

    if (!st)
        *out = *gpu;
    return st;
}

/*
 * Seconds that a token takes through the original, by a window for each thread. The
 * first pass also reads the weights and lays them out: where it is short there is a
 * second, of MORE times as many windows.
 */
static mls_status measure_pace(double *seconds, const mls_model *model,
                               const mls_corpus *corpus, mls_pool *pool, mls_err *err)
{
    const mls_method_input in = {
        .config = mls_model_config(model), .model = model, .pool = pool};
    const size_t threads = mls_pool_threads(pool);
    struct timespec begin, end;
    double took = 0;
    mls_corpus few = {0};
    mls_evaluation e = {0};
    mls_status st = MLS_OK;

    for (size_t i = 0; !st && i < 2 && took < AGAIN; i++) {
        const size_t n = i ? MORE * threads : threads;

        mls_corpus_free(&few);
        st = mls_corpus_part(&few, corpus, 0, corpus->N < n ? corpus->N : n, err);
        clock_gettime(CLOCK_MONOTONIC, &begin);
        if (!st)
            st = mls_evaluate(&e, &in, &few, NULL, 0, NULL, mls_tool_progress(), err);
        clock_gettime(CLOCK_MONOTONIC, &end);
        took = (double)(end.tv_sec - begin.tv_sec) +
               1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
        mls_evaluation_free(&e);
    }
    if (!st)
        *seconds = took / (double)(few.start[few.N] - few.start[0]);
    mls_corpus_free(&few);
    return st;
}

static mls_status multiply(void *arg, size_t job, size_t worker, mls_err *err)
{
    double *a = mls_calloc3(2 * SIDE, SIDE, 1, sizeof *a);

    (void)arg;
    (void)job;
    (void)worker;
    if (!a)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a product");
    for (size_t i = 0; i < (size_t)SIDE * SIDE; i++)
        a[i] = 1;
    for (int i = 0; i < 2; i++) /* the first one also starts BLAS */
        mls_matmul(a + SIDE * SIDE, a, false, a, false, SIDE, SIDE, SIDE);
    free(a);
    return MLS_OK;
}

/* Seconds of a product in double, on all threads: what forms are made of. */
static mls_status measure_products(double *seconds, mls_pool *pool, mls_err *err)
{
    const size_t threads = mls_pool_threads(pool);
    struct timespec begin, end;
    mls_status st = mls_pool_run(pool, threads, multiply, NULL, err);

    clock_gettime(CLOCK_MONOTONIC, &begin);
    if (!st)
        st = mls_pool_run(pool, threads, multiply, NULL, err);
    clock_gettime(CLOCK_MONOTONIC, &end);
    *seconds = ((double)(end.tv_sec - begin.tv_sec) +
                1e-9 * (double)(end.tv_nsec - begin.tv_nsec)) /
               (2.0 * 2 * SIDE * SIDE * SIDE * (double)threads);
    return st;
}

/* Before the start: about how long it will take, and what of it takes the most. */
static void say_estimate(const mls_schedule *s)
{
    const double all = mls_schedule_left(s);
    const char *comma = ": ";
    char time[32];
    mls_buf b = {0};

    if (all < SAY_FROM)
        return;
    mls_tool_time(time, sizeof time, all);
    mls_buf_printf(&b, "0 %%, about %s in all", time);
    for (size_t i = 0; i < s->n; i++)
        if (s->part[i].work * s->unit > all / 20) {
            mls_buf_printf(&b, "%s%s %.0f %%", comma, s->part[i].name,
                           100 * s->part[i].work * s->unit / all);
            comma = ", ";
        }
    if (!b.failed)
        mls_progress_note(s->outer, "%s", b.data);
    mls_buf_free(&b);
}

/* After the end: what of it took how long. */
static void say_seconds(const mls_schedule *s)
{
    double wall = 0, cpu = 0;
    char time[32];
    mls_buf b = {0};

    for (size_t i = 0; i < s->n; i++) {
        wall += s->part[i].wall;
        cpu += s->part[i].cpu;
    }
    if (wall < TOLD_FROM)
        return;
    mls_tool_time(time, sizeof time, wall);
    mls_buf_printf(&b, "100 %%, %s, CPU seconds: %.1f", time, cpu);
    for (size_t i = 0; i < s->n; i++)
        if (s->part[i].cpu >= SHORT)
            mls_buf_printf(&b, ", %s %.1f", s->part[i].name, s->part[i].cpu);
    if (!b.failed)
        mls_progress_note(s->outer, "%s", b.data);
    mls_buf_free(&b);
}

/* All parts with their work, at the pace of this machine now. */
static mls_status schedule(mls_schedule *s, const arguments *a, const mls_model *model,
                           const mls_corpus *corpus, const mls_corpus *held,
                           mls_pool *pool, mls_err *err)
{
    mls_report_amounts amounts = {.calibration = corpus->start[corpus->N],
                                  .held_out = held->N ? held->start[held->N] : 0,
                                  .length = a->length,
                                  .heal = held->N ? a->heal : 0,
                                  .exhaustive = a->exhaustive};
    double pace = 0, product = 0;
    mls_status st = measure_pace(&pace, model, corpus, pool, err);

    if (!st)
        st = measure_products(&product, pool, err);
    if (st)
        return st;
    amounts.product = product / pace;
    mls_schedule_start(s, mls_tool_run_progress());
    mls_report_schedule(s, mls_model_config(model), parameters_of(model), &amounts);
    s->unit = pace;
    say_estimate(s);
    mls_schedule_begin(s, 0);
    return MLS_OK;
}

static mls_status capture_named(const arguments *a, named_texts *t, const char *all,
                                const mls_model *model,
                                const mls_capture_options *options, mls_pool *pool,
                                const mls_progress *progress, mls_err *err)
{
    const size_t n = t->names.n;
    char *folder = mls_path_join(a->output, "texts"), *path[MLS_NAMED_TEXTS] = {0};
    mls_status st = folder ? mls_folder_prepare(folder, err)
                           : mls_fail(err, MLS_E_NOMEM, "no memory for a report");

    for (size_t i = 0; !st && i < n; i++) {
        char name[MLS_TEXT_NAME + 8];

        snprintf(name, sizeof name, "%s.h5", t->names.text[i].name);
        path[i] = mls_path_join(folder, name);
        if (!path[i])
            st = mls_fail(err, MLS_E_NOMEM, "no memory for a report");
    }
    if (!st)
        st = mls_tool_capture_named(t->capture, &t->names, t->each,
                                    (const char *const *)path, all, model, options,
                                    pool, progress, err);
    for (size_t i = 0; i < n; i++) {
        t->shown[i].capture = t->capture[i];
        free(path[i]);
    }
    free(folder);
    return st;
}

static mls_status capture(const arguments *a, named_texts *t, const char *command,
                          const mls_model *model, const mls_tokenizer *tok,
                          const mls_corpus *corpus, mls_pool *pool,
                          const mls_progress *progress, mls_capture **out, mls_err *err)
{
    char *path = mls_path_join(a->output, "run.h5");
    mls_buf names = {0};
    mls_status st = MLS_OK;

    for (size_t i = 0; i < a->texts.n; i++)
        mls_buf_printf(&names, "%s%s", i ? ", " : "", a->texts.item[i]);
    const mls_capture_options options = {.n_windows = 16,
                                         .sampling = "the first",
                                         .command = command,
                                         .text_names = names.data ? names.data : "",
                                         .tokenizer_sha256 = mls_tokenizer_sha256(tok),
                                         .beside = PAGES_BYTES,
                                         .keep_finished = true};
    if (!path || names.failed)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a report");
    if (!st)
        st = t->names.n
                 ? capture_named(a, t, path, model, &options, pool, progress, err)
                 : mls_capture_run(model, corpus, path, &options, pool, progress, err);
    if (!st)
        st = mls_capture_open(out, path, err);
    mls_buf_free(&names);
    free(path);
    return st;
}

/* The folder is this report's, or it is refused (docs/format/report.md). */
static mls_status claim(const arguments *a, const char *name, const mls_model *model,
                        const mls_corpus *corpus, const mls_corpus *held, mls_err *err)
{
    char sequences[32], length[32], windows[32], asked[128], sha256[65];
    const mls_report_fact facts[] = {
        {"program", "mlascope " MLS_VERSION},
        {"model", name},
        {"model SHA-256", sha256},
        {"calibration text SHA-256", corpus->sha256},
        {"calibration sequences", sequences},
        {"tokens of a sequence", length},
        {"evaluation text SHA-256", held->N ? held->sha256 : "none"},
        {"evaluation sequences", windows},
        {"room and class asked for", asked},
    };
    const mls_status st = mls_checkpoint_sha256(mls_model_checkpoint(model), sha256,
                                                mls_tool_progress(), err);

    snprintf(sequences, sizeof sequences, "%zu", corpus->N);
    snprintf(length, sizeof length, "%zu%s", a->length,
             corpus->lead ? ", BOS before each" : "");
    snprintf(windows, sizeof windows, "%zu%s", held->N,
             a->exhaustive ? ", exhaustive" : "");
    snprintf(asked, sizeof asked,
             "%.40s, %zu tokens, %zu sequences, class %.20s%s%.0zu", a->gpu, a->context,
             a->batch, a->serve, a->heal ? ", healed " : "", a->heal);
    return st ? st
              : mls_report_claim(a->output, facts, sizeof facts / sizeof facts[0],
                                 a->replace, err);
}

/* For mlascope show: what is printed at the end. */
static mls_status keep_answer(mls_buf *summary, const char *folder, mls_err *err)
{
    char *path = mls_path_join(folder, MLS_REPORT_ANSWER);
    mls_status st;

    mls_buf_puts(summary, "\n");
    if (!path || summary->failed)
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a report");
    else
        st = mls_file_write(path, summary->data, summary->len, err);
    free(path);
    return st;
}

/* The folder of what is published about training. */
static mls_status find_training(char **folder, mls_err *err)
{
    const mls_status st = mls_tool_data(folder, "datasets/healing/budgets.csv", err);

    if (!st)
        *strrchr(*folder, '/') = 0;
    return st;
}

static int run(int argc, char **argv)
{
    arguments a = {
        .length = 256,
        .gpu = "24",
        .context = 32768,
        .batch = 1,
    };
    const mls_option options[] = {
        {"--output", 'o', MLS_OPT_OTHER, &a.output, 0, 0},
        {"--text", 'f', MLS_OPT_LIST, &a.texts, 0, 0},
        {"--eval", 'e', MLS_OPT_LIST, &a.evals, 0, 0},
        {"--gpu", 0, MLS_OPT_TEXT, &a.gpu, 0, 0},
        {"--context", 0, MLS_OPT_SIZE, &a.context, 1, 1 << 30},
        {"--batch", 0, MLS_OPT_SIZE, &a.batch, 1, 1 << 20},
        {"--serve", 0, MLS_OPT_TEXT, &a.serve, 0, 0},
        {"--heal", 0, MLS_OPT_SIZE, &a.heal, 0, 64},
        {"--no-quality", 0, MLS_OPT_FLAG, &a.no_quality, 0, 0},
        {"--history", 0, MLS_OPT_TEXT, &a.history, 0, 0},
        {"--force", 0, MLS_OPT_FLAG, &a.force, 0, 0},
        {"--replace", 0, MLS_OPT_FLAG, &a.replace, 0, 0},
        {"--exhaustive", 0, MLS_OPT_FLAG, &a.exhaustive, 0, 0},
        {"--no-plots", 0, MLS_OPT_FLAG, &a.no_plots, 0, 0},
        {"--sequences", 'N', MLS_OPT_SIZE, &a.sequences, 1, 1 << 24},
        {"--length", 'T', MLS_OPT_SIZE, &a.length, 2, 1 << 20},
        MLS_NO_BOS_OPTION(&a.no_bos),
        {"--eval-sequences", 0, MLS_OPT_SIZE, &a.eval_sequences, 1, 1 << 24},
        MLS_FORWARD_OPTIONS(a),
        MLS_THREADS_OPTION(&a.threads),
        {0}};
    const char *folder;
    char *beside[2] = {0}, *training = NULL;
    size_t n, known = SIZE_MAX, rows;
    int status;
    mls_err err = {0}, doubtful = {0};
    mls_model *model = NULL;
    mls_tokenizer *tok = NULL;
    mls_corpus corpus = {0}, held = {0};
    mls_capture *cap = NULL;
    named_texts named = {0};
    mls_pool *pool = NULL;
    mls_schedule plan;
    mls_gpu gpu;
    mls_serve serve = MLS_SERVE_MLA;
    char title[64], doubt[400], output[4096];
    mls_buf command = {0}, summary = {0};

    if (!mls_options_parse(&cmd_report, argc, argv, options, &folder, 1, 1, &n,
                           &status))
        return status;
    if (!a.output)
        return mls_usage_error(&cmd_report, "no output folder: give -o FOLDER");
    if (snprintf(output, sizeof output, "%s", a.output) >= (int)sizeof output)
        return mls_usage_error(&cmd_report,
                               "the name of the output folder is too long");
    for (size_t end = strlen(output); end > 1 && output[end - 1] == '/'; end--)
        output[end - 1] = '\0';
    a.output = output;
    if (a.history && a.no_quality)
        return mls_usage_error(&cmd_report,
                               "--history keeps measured answers, and --no-quality "
                               "measures none");
    if (mls_tool_named_texts(&named.names, &a.texts, &err))
        goto done;
    add_beside(&a.texts, folder, "calibration.txt", &beside[0]);
    if (beside[0])
        add_beside(&a.evals, folder, "evaluation.txt", &beside[1]);
    if (find_gpu(&gpu, title, sizeof title, a.gpu, &err) ||
        (a.serve && mls_serve_parse(&serve, a.serve, &err)) ||
        (a.history && mls_history_check(a.history, &err)))
        goto done;
    if (mls_tool_model(&model, folder, &err))
        goto done;
    if (!a.serve) {
        serve = mls_serve_usual(mls_model_config(model));
        a.serve = mls_serve_word(serve);
    }
    mls_tool_compute(model, a.compute, a.ram);
    usual_texts(&a, model);
    if (a.texts.n == 0) {
        status = mls_usage_error(
            &cmd_report, "%s ships no text of its own: give --text FILE", folder);
        goto release;
    }
    if (!a.no_plots && mls_plot_check(&err)) {
        mls_fail_in(&err, err.status, "--no-plots makes a report without pictures");
        goto done;
    }
    known = mls_folder_known(a.output);
    if (mls_folder_prepare(a.output, &err) || mls_tokenizer_open(&tok, folder, &err) ||
        read_texts(&a, &named, tok, &corpus, &held, &err) ||
        mls_pool_new(&pool, a.threads, &err))
        goto done;
    if (corpus.N < a.sequences)
        mls_progress_note(
            mls_tool_progress(),
            "the text gives %zu sequence%s of %zu tokens, %zu were asked for", corpus.N,
            mls_plural(corpus.N), a.length, a.sequences);
    if (!a.no_quality && held.N == 0)
        mls_progress_note(
            mls_tool_progress(),
            "the text is too short to hold some of it out: quality is not "
            "measured; give --eval FILE");
    settled_command(&command, &a, &named.names, folder);
    if (command.failed) {
        mls_fail(&err, MLS_E_NOMEM, "no memory for the record of the command");
        goto done;
    }
    mls_report report = {.folder = a.output,
                         .model_name = folder,
                         .command = command.data,
                         .model = model,
                         .evaluation = held.N ? &held : NULL,
                         .evaluation_name =
                             a.evals.n ? a.evals.item[0]
                                       : "the last sequences of the calibration text",
                         .exhaustive = a.exhaustive,
                         .calibration = &corpus,
                         .heal = a.heal,
                         .without_pictures = a.no_plots,
                         .gpu = gpu.title,
                         .memory = gpu.memory,
                         .context = a.context,
                         .batch = a.batch,
                         .serve = serve,
                         .pool = pool,
                         .text = named.shown,
                         .n_texts = named.names.n,
                         .schedule = &plan};

    if (claim(&a, folder, model, &corpus, &held, &err) ||
        (is_large(model) && mls_report_begin(&report, &err)) ||
        schedule(&plan, &a, model, &corpus, &held, pool, &err) ||
        capture(&a, &named, command.data, model, tok, &corpus, pool, &plan.progress,
                &cap, &err))
        goto done;

    if (a.heal && find_training(&training, &err))
        goto done;
    mls_foreign foreign = {.nll = mls_capture_nll(cap),
                           .V = mls_model_config(model)->V,
                           .byte_share =
                               mls_tokenizer_byte_share(tok, corpus.ids, corpus.n_ids)};

    report.capture = cap;
    report.training = training;
    report.progress = plan.outer;
    report.foreign = &foreign;
    if (mls_report_write(&report, &summary, &err) ||
        keep_answer(&summary, a.output, &err) || mls_report_seal(a.output, &err))
        goto done;
    say_seconds(&plan);
    mls_terminal_print(summary.data);
    printf("report: %s/index.html\n", a.output);
    if (mls_foreign_text(doubt, sizeof doubt, &foreign) && !a.force)
        mls_fail(&doubtful, MLS_E_INPUT,
                 "%s; the report is written all the same, and --force ends with 0",
                 doubt);
    if (a.history && held.N && !mls_history_add(a.history, a.output, &rows, &err))
        printf(rows ? "history: added to %s\n" : "history: already in %s\n", a.history);

done:
    mls_tool_stopped(&err, "the same command goes on from what is finished");
    status = mls_exit_status(&err);
release:
    if (status) {
        mls_report_unclaim(a.output);
        mls_folder_undo(a.output, known); /* stays when it holds anything */
    }
    mls_buf_free(&command);
    mls_buf_free(&summary);
    mls_pool_free(pool);
    mls_capture_close(cap);
    named_free(&named);
    mls_corpus_free(&held);
    mls_corpus_free(&corpus);
    mls_tokenizer_close(tok);
    mls_model_close(model);
    mls_free_all(training, beside[0], beside[1]);
    return status ? status : mls_exit_status(&doubtful);
}

MLS_COMMAND(report, "reports", "analyse a model and write the report, the main job");
