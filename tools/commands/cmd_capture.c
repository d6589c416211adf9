/* mlascope capture: one pass of a model over a text, into a file of statistics. */
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "analysis/capture/capture.h"
#include "analysis/numeric/interval.h"
#include "common/base/buf.h"
#include "common/system/files.h"
#include "datasets/tokenizer/tokenizer.h"
#include "tools/base/command.h"
#include "tools/base/inputs.h"
#include "tools/base/named_texts.h"
#include "tools/base/options.h"
#include "tools/commands/help.h"

extern const mls_command cmd_capture;

static const size_t no_seed = SIZE_MAX;

typedef struct {
    mls_texts texts;
    const char *folder, *output, *shard;
    mls_named_texts names;
    size_t sequences, length, seed, windows, windows_mb, threads;
    double save_every;
    mls_format format;
    mls_compute compute;
    double ram;
    bool no_bos;
} arguments;

/*
 * The command as it goes into the file: every setting that the result depends on, with
 * its default, and no other, so that the same work gives the same bytes.
 */
static void settled_command(mls_buf *command, mls_buf *names, const arguments *a)
{
    mls_buf_puts(command, "mlascope capture ");
    mls_buf_shell(command, a->folder);
    for (size_t i = 0; i < a->texts.n; i++) {
        mls_buf_puts(command, " --text ");
        mls_tool_named_shell(command, &a->names, a->texts.item[i]);
        mls_buf_printf(names, "%s\n", a->texts.item[i]);
    }
    mls_buf_printf(command, " --sequences %zu --length %zu --windows %zu", a->sequences,
                   a->length, a->windows);
    if (a->compute == MLS_COMPUTE_BF16)
        mls_buf_puts(command, " --compute bf16");
    if (a->no_bos)
        mls_buf_puts(command, " --no-bos");
    if (a->seed != no_seed)
        mls_buf_printf(command, " --seed %zu", a->seed);
}

/* The sequences to run: the first, or a random draw when there is a seed. */
static mls_status read_text(mls_corpus *corpus, const arguments *a, mls_tokenizer *tok,
                            const mls_config *config, mls_err *err)
{
    const bool random = a->seed != no_seed;
    const mls_progress *p = mls_tool_progress();
    const mls_status st =
        mls_corpus_read(corpus, tok, a->texts.item, a->texts.n, a->length,
                        random ? 0 : a->sequences, mls_tool_bos(a->no_bos), err);

    if (st)
        return st;
    if (random && corpus->N > a->sequences)
        mls_corpus_sample(corpus, a->sequences, a->seed);
    if (corpus->N < a->sequences)
        mls_progress_note(p,
                          "sequences: %zu instead of %zu, the text gives %zu tokens, "
                          "%zu per sequence",
                          corpus->N, a->sequences, corpus->tokens_available, a->length);
    if (config->max_position && a->length + corpus->lead > config->max_position)
        mls_progress_note(
            p,
            "sequences of %zu tokens are longer than the %zu positions of "
            "the model: what lies beyond is not what it was trained for",
            a->length + corpus->lead, config->max_position);
    return MLS_OK;
}

/* Neither is given: longer windows of as many tokens, where the model allows them. */
static void choose_length(arguments *a, const mls_model *model,
                          const mls_tokenizer *tok)
{
    const bool default_length = !a->length && !a->sequences;

    if (default_length) {
        a->length = mls_tool_length(model, tok, a->no_bos);
        mls_tool_length_note(model, a->length);
    }
    if (!a->length)
        a->length = 256;
    if (!a->sequences)
        a->sequences = default_length ? MLS_TOOL_TOKENS / a->length : 128;
}

/* Texts with names: a file of each, and their sum. */
static mls_status capture_named(const arguments *a, const mls_model *model,
                                mls_tokenizer *tok, const mls_capture_options *how,
                                mls_pool *pool, mls_err *err)
{
    const size_t n = a->names.n;
    mls_corpus each[MLS_NAMED_TEXTS] = {0};
    mls_capture *capture[MLS_NAMED_TEXTS] = {0};
    char *path[MLS_NAMED_TEXTS] = {0}, *stem = strdup(a->output);
    mls_status st = stem ? MLS_OK : mls_fail(err, MLS_E_NOMEM, "no memory for a name");

    if (!st && strlen(stem) > 3 && strcmp(stem + strlen(stem) - 3, ".h5") == 0)
        stem[strlen(stem) - 3] = '\0';
    if (!st)
        st = mls_tool_read_named(each, &a->names, tok, a->length,
                                 (a->sequences + n - 1) / n, mls_tool_bos(a->no_bos),
                                 err);
    for (size_t i = 0; !st && i < n; i++) {
        mls_buf name = {0};

        mls_buf_printf(&name, "%s-%s.h5", stem, a->names.text[i].name);
        path[i] = name.data;
        if (name.failed)
            st = mls_fail(err, MLS_E_NOMEM, "no memory for a name");
    }
    if (!st)
        st = mls_tool_capture_named(capture, &a->names, each, (const char *const *)path,
                                    a->output, model, how, pool, mls_tool_progress(),
                                    err);
    for (size_t i = 0; i < n; i++) {
        mls_capture_close(capture[i]);
        mls_corpus_free(&each[i]);
        free(path[i]);
    }
    free(stem);
    return st;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static mls_table *summary(const mls_capture *c, const char *path, const char *before)
{
    mls_table *t = mls_table_new(NULL);
    const size_t N = mls_capture_sequences(c),
                 tokens = mls_capture_start(c)[N] - N * mls_capture_lead(c);
    const double nll = mls_capture_nll(c);
    const mls_mean spread = mls_mean_of(mls_capture_nll_each(c), N);
    struct stat s = {0};

    MLS_COLUMNS(t, {"sequences", "sequences", "", 0}, {"tokens", "tokens", "", 0},
                {"nll", "NLL", "nat", 4}, {"nll_half", "±", "nat", 4},
                {"perplexity", "perplexity", "", 3}, {"perplexity_low", "low", "", 3},
                {"perplexity_high", "high", "", 3}, {"windows", "windows", "", 0},
                {"file_bytes", "file", "MB", 1});
    mls_table_line(t, "%zu %zu %g %g %g %g %g %zu", N, tokens, nll, spread.half,
                   exp(nll), exp(nll - spread.half), exp(nll + spread.half),
                   mls_capture_windows(c));
    stat(path, &s);
    mls_table_real(t, 1e-6 * (double)s.st_size);
    mls_table_say(
        t,
        "sequences of %zu tokens, the first of each not predicted; intervals 95 %% "
        "over sequences",
        mls_capture_length(c) - mls_capture_lead(c));
    mls_tool_record_before(t, before);
    return t;
}

static int run(int argc, char **argv)
{
    arguments a = {.seed = no_seed,
                   .windows = 16,

                   .save_every = 20};
    const mls_option options[] = {
        {"--text", 'f', MLS_OPT_LIST, &a.texts, 0, 0},
        {"--output", 'o', MLS_OPT_OTHER, &a.output, 0, 0},
        {"--sequences", 'N', MLS_OPT_SIZE, &a.sequences, 1, 1 << 20},
        {"--length", 'T', MLS_OPT_SIZE, &a.length, 2, 1 << 20},
        MLS_NO_BOS_OPTION(&a.no_bos),
        {"--seed", 0, MLS_OPT_SIZE, &a.seed, 0, 1e15},
        {"--windows", 0, MLS_OPT_SIZE, &a.windows, 0, 1 << 20},
        {"--windows-mb", 0, MLS_OPT_SIZE, &a.windows_mb, 1, 1 << 24},
        {"--save-every", 0, MLS_OPT_REAL, &a.save_every, 0, 1e6},
        {"--shard", 0, MLS_OPT_TEXT, &a.shard, 0, 0},
        MLS_FORWARD_OPTIONS(a),
        MLS_THREADS_OPTION(&a.threads),
        {"--format", 0, MLS_OPT_FORMAT, &a.format, 0, 0},
        {0}};
    size_t n, shard = 0, n_shards = 0;
    int status;
    mls_err err = {0};
    mls_model *model = NULL;
    mls_tokenizer *tok = NULL;
    mls_corpus corpus = {0};
    mls_pool *pool = NULL;
    mls_capture *capture = NULL;
    mls_table *t = NULL;
    mls_buf command = {0}, names = {0};
    char before[128];

    if (!mls_options_parse(&cmd_capture, argc, argv, options, &a.folder, 1, 1, &n,
                           &status))
        return status;
    if (a.texts.n == 0)
        return mls_usage_error(&cmd_capture, "no text to run on: give --text FILE");
    if (!a.output)
        return mls_usage_error(&cmd_capture, "no file to write: give -o RUN.h5");
    if (a.shard && mls_tool_shard(a.shard, &shard, &n_shards, &err))
        return mls_usage_error(&cmd_capture, "%s", err.text);
    if (mls_tool_named_texts(&a.names, &a.texts, &err))
        goto done;
    if (a.names.n && (a.shard || a.seed != no_seed))
        return mls_usage_error(&cmd_capture,
                               "texts with names go without --shard and --seed");
    if (mls_file_replaceable(a.output, &err) ||
        mls_tool_model(&model, a.folder, &err) ||
        mls_tokenizer_open(&tok, a.folder, &err))
        goto done;
    choose_length(&a, model, tok);
    if (read_text(&corpus, &a, tok, mls_model_config(model), &err) ||
        mls_pool_new(&pool, a.threads, &err))
        goto done;
    mls_tool_compute(model, a.compute, a.ram);
    settled_command(&command, &names, &a);
    if (command.failed || names.failed) {
        mls_fail(&err, MLS_E_NOMEM, "no memory for the record of the command");
        goto done;
    }
    const mls_capture_options how = {.n_windows = a.windows,
                                     .windows_bytes = (uint64_t)a.windows_mb * 1000000,
                                     .sampling = a.seed == no_seed ? "first" : "random",
                                     .seed = a.seed == no_seed ? 0 : a.seed,
                                     .command = command.data,
                                     .text_names = names.data,
                                     .tokenizer_sha256 = mls_tokenizer_sha256(tok),
                                     .shard = shard,
                                     .n_shards = n_shards,
                                     .keep_finished = n_shards > 0,
                                     .save_every = a.save_every};
    const double start = now();
    if (a.names.n ? capture_named(&a, model, tok, &how, pool, &err)
                  : mls_capture_run(model, &corpus, a.output, &how, pool,
                                    mls_tool_progress(), &err))
        goto done;
    const double took = now() - start;
    if (mls_capture_open(&capture, a.output, &err))
        goto done;
    const size_t tokens = mls_capture_start(capture)[mls_capture_sequences(capture)];
    mls_progress_note(mls_tool_progress(), "%s: %zu tokens in %.1f s, %.0f tokens/s",
                      a.output, tokens, took, (double)tokens / took);
    mls_tool_foreign(mls_model_config(model), mls_capture_nll(capture),
                     mls_tokenizer_byte_share(tok, corpus.ids, corpus.n_ids));
    mls_tool_before(before, sizeof before, tok, a.no_bos);
    t = summary(capture, a.output, before);
    mls_tool_print(t, a.format, "-", &err);

done:
    mls_table_free(t);
    mls_capture_close(capture);
    mls_buf_free(&names);
    mls_buf_free(&command);
    mls_pool_free(pool);
    mls_corpus_free(&corpus);
    mls_tokenizer_close(tok);
    mls_model_close(model);
    mls_tool_stopped(&err, "the same command goes on from what is finished");
    return mls_exit_status(&err);
}

MLS_COMMAND(capture, "analysis",
            "run a model over text, keep the statistics of its attention");
