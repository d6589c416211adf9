/* mlascope heal: fit a setting's attention to the original's, layer by layer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/heal/heal.h"
#include "common/base/words.h"
#include "tools/base/command.h"
#include "tools/base/inputs.h"
#include "tools/base/options.h"
#include "tools/base/parts.h"
#include "tools/commands/help.h"

extern const mls_command cmd_heal;

typedef struct {
    const char *setting, *plan, *capture, *output, *inputs, *shard;
    mls_texts texts;
    size_t length, windows, distil_windows, threads;
    mls_format format;
    bool no_bos;
    mls_compute compute;
    double ram;
} arguments;

/*
 * Windows of the text, threads, the capture. To heal on the calibration text is no
 * fault, so the remark that mls_tool_read() makes of it is not wanted here.
 */
static mls_status read_text(mls_tool_subject *s, const arguments *a, mls_err *err)
{
    const size_t most = a->distil_windows > a->windows ? a->distil_windows : a->windows;
    const mls_tool_windows windows = {&a->texts,  a->length, most, NULL,
                                      a->threads, a->no_bos, false};
    mls_status st = MLS_OK;

    if (a->texts.n > 0)
        st = mls_tool_read(s, &windows, true, err);
    if (!st && a->capture)
        st = mls_tool_capture(&s->capture, a->capture, s->model, err);
    if (!st && a->texts.n == 0 &&
        !(st = mls_tool_captured_text(&s->corpus, s->capture, most, err)) &&
        !(st = mls_pool_new(&s->pool, a->threads, err)))
        st = mls_checkpoint_sha256(mls_model_checkpoint(s->model), s->model_sha256,
                                   mls_tool_progress(), err);
    s->in = (mls_method_input){.config = mls_model_config(s->model),
                               .model = s->model,
                               .capture = s->capture,
                               .pool = s->pool};
    return st;
}

static mls_status read_scheme(mls_scheme *scheme, const arguments *a,
                              const mls_model *model, mls_err *err)
{
    mls_setting *all = NULL;
    size_t n = 0;
    mls_status st;

    if (a->plan)
        return mls_tool_plan(scheme, a->plan, model, a->capture, err);
    st = mls_setting_expand(a->setting, &all, &n, err);
    if (!st && n != 1)
        st = mls_fail(err, MLS_E_ARG, "one setting is healed, and \"%s\" is %zu",
                      a->setting, n);
    if (!st)
        st = mls_scheme_uniform(scheme, &all[0], mls_model_config(model)->L, err);
    free(all);
    return st;
}

static mls_table *make_table(const mls_heal_job *job, const mls_heal_layer_result *r,
                             const mls_distilled *all, size_t L)
{
    mls_table *t = mls_table_new(NULL);
    size_t kept = 0;

    MLS_COLUMNS(t, {"layer", "layer", "", 0}, {"held_before", "before", "", 4},
                {"held_closed", "closed form", "", 4}, {"held_after", "healed", "", 4},
                {"train_after", "in training", "", 4},
                {"best_step", "best step", "", 0}, {"seconds", "time", "s", 1});
    mls_table_meta(t, "command", mls_tool_command_line());
    for (size_t l = 0; l < L; l++) {
        if (!r[l].converted)
            continue;
        mls_table_line(t, "%zu %g %g %g %g %zu %g", l, r[l].losses.held_before,
                       r[l].losses.closed, r[l].losses.held_after,
                       r[l].losses.train_after, r[l].losses.best, r[l].seconds);
        kept += r[l].losses.kept;
    }
    mls_table_say(
        t,
        "losses: error of the attention output, |o_hat - o|^2 / |o|^2, on the %zu "
        "window%s that were held out; in training: on the %zu others",
        job->n_held, mls_plural(job->n_held), job->corpus->N - job->n_held);
    if (kept) {
        mls_table_say(
            t,
            "%zu layer%s stayed as the method made them: nothing was better on "
            "the held-out windows",
            kept, mls_plural(kept));
    }
    if (job->distil) {
        mls_table_say(
            t,
            "all layers together: KL to the original %.4f before, %.4f after %zu "
            "steps (the lowest on the way) on the windows held out; %.4f, %.4f in "
            "training",
            all->held_before, all->held_after, all->best, all->train_before,
            all->train_after);
    }
    return t;
}

static int run(int argc, char **argv)
{
    mls_heal_job job = mls_heal_defaults();
    arguments a = {.length = 256, .windows = 320, .inputs = "original"};
    const mls_option options[] = {
        {"--setting", 's', MLS_OPT_TEXT, &a.setting, 0, 0},
        {"--plan", 0, MLS_OPT_TEXT, &a.plan, 0, 0},
        {"--capture", 0, MLS_OPT_TEXT, &a.capture, 0, 0},
        {"--text", 'f', MLS_OPT_LIST, &a.texts, 0, 0},
        {"--length", 'T', MLS_OPT_SIZE, &a.length, 2, 1 << 20},
        MLS_NO_BOS_OPTION(&a.no_bos),
        {"--windows", 0, MLS_OPT_SIZE, &a.windows, 2, 1 << 20},
        {"--held", 0, MLS_OPT_SIZE, &job.n_held, 1, 1 << 20},
        {"--steps", 0, MLS_OPT_SIZE, &job.steps, 0, 1 << 20},
        {"--batch", 0, MLS_OPT_SIZE, &job.batch, 1, 1 << 16},
        {"--rate", 0, MLS_OPT_REAL, &job.rate, 1e-6, 1},
        {"--inputs", 0, MLS_OPT_TEXT, &a.inputs, 0, 0},
        {"--repair", 0, MLS_OPT_REAL, &job.repair, 0, 1},
        {"--damping", 0, MLS_OPT_REAL, &job.damping, 1e-6, 1e6},
        {"--distil", 0, MLS_OPT_SIZE, &job.distil, 0, 1 << 20},
        {"--distil-batch", 0, MLS_OPT_SIZE, &job.distil_batch, 1, 1 << 16},
        {"--distil-rate", 0, MLS_OPT_REAL, &job.distil_rate, 1e-6, 1},
        {"--distil-windows", 0, MLS_OPT_SIZE, &a.distil_windows, 2, 1 << 20},
        MLS_COMPUTE_OPTION(&a.compute),
        {"--ram", 0, MLS_OPT_GIB, &a.ram, 1e-6, 1e6},
        MLS_SHARD_OPTION(&a.shard),
        MLS_THREADS_OPTION(&a.threads),
        {"--format", 0, MLS_OPT_FORMAT, &a.format, 0, 0},
        {"--output", 'o', MLS_OPT_OTHER, &a.output, 0, 0},
        {0}};
    const char *folder;
    size_t n;
    int status;
    mls_err err = {0};
    mls_tool_subject s = {0};
    mls_scheme scheme = {0};
    mls_heal_layer_result *result = NULL;
    mls_distilled all = {0};
    mls_corpus last = {0};
    mls_table *t = NULL;
    mls_parts *parts = NULL;

    if (!mls_options_parse(&cmd_heal, argc, argv, options, &folder, 1, 1, &n, &status))
        return status;
    if ((!a.setting && !a.plan) || !a.output || (!a.capture && a.texts.n == 0))
        return mls_usage_error(&cmd_heal, "%s is missing",
                               !a.setting && !a.plan ? "--setting TEXT or --plan FILE"
                               : !a.output           ? "-o FOLDER"
                                                     : "--capture FILE or --text FILE");
    if (job.distil && !a.distil_windows)
        a.distil_windows = job.distil * job.distil_batch + job.n_held;
    if (a.setting && a.plan)
        return mls_usage_error(&cmd_heal, "--setting and --plan exclude each other");
    if (strcmp(a.inputs, "healed") != 0 && strcmp(a.inputs, "original") != 0)
        return mls_usage_error(&cmd_heal, "--inputs takes original or healed, found %s",
                               a.inputs);
    if (mls_tool_parts(&parts, &cmd_heal, argc, argv, options, &err) ||
        mls_tool_model(&s.model, folder, &err) ||
        read_scheme(&scheme, &a, s.model, &err) ||
        (a.setting &&
         mls_method_possible(mls_model_config(s.model), &scheme.setting[0], &err)) ||
        read_text(&s, &a, &err) || mls_tool_parts_about(parts, &s, &err))
        goto done;
    s.in.parts = parts;
    job.corpus = &s.corpus;
    if (job.distil && s.corpus.N > a.windows) {
        if (mls_corpus_part(&last, &s.corpus, s.corpus.N - a.windows, a.windows, &err))
            goto done;
        job.corpus = &last;
        job.distil_corpus = &s.corpus;
    }
    mls_tool_compute(s.model, a.compute, a.ram);
    result = calloc(s.in.config->L, sizeof *result);
    if (!result) {
        mls_fail(&err, MLS_E_NOMEM, "no memory for the results of %zu layers",
                 s.in.config->L);
        goto done;
    }
    job.in = &s.in;
    job.model_sha256 = s.model_sha256;
    job.scheme = &scheme;
    job.healed_inputs = strcmp(a.inputs, "healed") == 0;
    job.folder = a.output;
    job.progress = mls_tool_progress();
    if (mls_heal_run(result, &all, &job, &err)) {
        mls_tool_stopped(&err, "the same command goes on from there");
        goto done;
    }
    if (mls_parts_making(parts)) {
        mls_tool_parts_finish(parts, &err);
        goto done;
    }
    t = make_table(&job, result, &all, s.in.config->L);
    mls_tool_print(t, a.format, "-", &err);

done:
    mls_tool_parts_close(parts);
    mls_table_free(t);
    free(result);
    mls_scheme_free(&scheme);
    mls_corpus_free(&last);
    mls_tool_close(&s);
    return mls_exit_status(&err);
}

MLS_COMMAND(heal, "bench",
            "fit a setting's attention to the original's, layer by layer");
