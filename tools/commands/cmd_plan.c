/* mlascope plan: ranks, chunks and bits of every layer under one budget. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/latent/gpu.h"
#include "bench/heal/heal.h"
#include "bench/plan/plan.h"
#include "common/base/buf.h"
#include "common/base/checked.h"
#include "common/base/words.h"
#include "common/system/files.h"
#include "reports/tables/plan_tables.h"
#include "tools/base/command.h"
#include "tools/base/data.h"
#include "tools/base/inputs.h"
#include "tools/base/options.h"
#include "tools/base/parts.h"
#include "tools/commands/help.h"

#define GIB 1073741824.0

enum {
    HEAL_WINDOWS = 320, /* of the calibration text, as compare heals on */
    METHODS_EACH = 2,   /* settings of a method, where nobody names one */
};

extern const mls_command cmd_plan;

typedef struct {
    mls_texts texts, methods;
    const char *capture, *bits, *gpu, *serve, *kernel, *output, *shard, *by;
    double keep, bytes, memory, max_kl, weights;
    size_t heal_steps, length, search, verify, context, batch, multiple, first_last,
        cap, threads;
    bool no_bos, projects, per_head;
    mls_format format;
    mls_compute compute;
    double ram;
} arguments;

/* The table of kernels, with this one in it. */
static mls_status read_kernels(mls_kernels *out, const char *name, mls_err *err)
{
    const mls_status st = mls_tool_kernels(out, err);

    return st ? st : mls_kernels_find(out, name, err);
}

static mls_status read_methods(mls_setting **out, size_t *n, const mls_texts *texts,
                               mls_err *err)
{
    static const char *const usual[] = {"kq"};
    const char *const *item = texts->n ? texts->item : usual;
    const size_t count = texts->n ? texts->n : 1;
    mls_status st = MLS_OK;

    *out = NULL;
    *n = 0;
    for (size_t i = 0; !st && i < count; i++) {
        mls_setting *some = NULL, *more;
        size_t k = 0;

        st = mls_setting_expand(item[i], &some, &k, err);
        if (st)
            break;
        more = realloc(*out, (*n + k) * sizeof *more);
        if (!more) {
            st = mls_fail(err, MLS_E_NOMEM, "no memory for %zu methods", *n + k);
        } else {
            *out = more;
            memcpy(more + *n, some, k * sizeof *more);
            *n += k;
        }
        free(some);
    }
    return st;
}

/* Bytes that --gpu or --memory leaves beside the weights; 0 when neither is given. */
static mls_status find_room(double *room, const arguments *a, const mls_config *config,
                            mls_err *err)
{
    double memory = GIB * a->memory, weights = GIB * a->weights, parameters, read;

    *room = 0;
    if (!a->gpu && isnan(a->memory))
        return MLS_OK;
    if (a->gpu) {
        const mls_gpu *gpu;
        const mls_status st = mls_gpu_find(&gpu, a->gpu, err);

        if (st)
            return st;
        memory = gpu->memory;
    }
    if (isnan(weights)) {
        if (!mls_size_parameters(config, &parameters, &read))
            return mls_fail(err, MLS_E_INPUT,
                            "the size of the weights does not follow from the config: "
                            "give --weights");
        weights = 2 * parameters;
    }
    if (weights >= memory)
        return mls_fail(err, MLS_E_INPUT,
                        "the weights take %.4g GiB and the memory is %.4g GiB: nothing "
                        "is left for a cache",
                        weights / GIB, memory / GIB);
    *room = memory - weights;
    return MLS_OK;
}

/* Bytes per token that the plan may take; NAN with --max-kl. */
static double find_budget(const arguments *a, double own, double room)
{
    return !isnan(a->keep)     ? a->keep * own
           : !isnan(a->bytes)  ? a->bytes
           : !isnan(a->max_kl) ? (double)NAN
                               : room / ((double)a->context * (double)a->batch);
}

/* What a budget is of the cache; a quarter where a loss is asked for instead. */
static double share_of(double budget, double own)
{
    return isnan(budget) ? 0.25 : fmin(budget / own, 1);
}

/* Tokens that so many bytes hold. */
static double fits(double bytes, double growing, double fixed)
{
    return fmax(0, floor((bytes - fixed) / growing));
}

/* The measured settings, with what their figures rest on. */
static mls_table *quality_table(const mls_plan *p, const mls_config *config,
                                const mls_size_result *own, double room, size_t batch)
{
    mls_table *t = mls_plan_quality_table(p, true);
    const double each = room / (double)batch;
    char left[512];

    if (*mls_common_left_alone(left, sizeof left, config))
        mls_table_note(t, left);

    mls_table_say(
        t,
        "budget %.6g B/token at %zu tokens; one more byte per token saves %.2g nat; "
        "no allocation of these costs is predicted below %.5f",
        p->budget, p->tokens, p->price, p->bound);
    mls_table_say(
        t,
        "costs from %zu window%s of %zu tokens, measured on %zu others; whole / sum "
        "of layers: %.3f; intervals 95 %% over windows",
        p->search_windows, mls_plural(p->search_windows), p->length, p->verify_windows,
        p->scale);
    if (room > 0) {
        char sequences[64] = "";

        if (batch > 1)
            snprintf(sequences, sizeof sequences, " in each of %zu sequences", batch);
        mls_table_say(
            t,
            "%.4g GiB beside the weights hold a context of %.0f tokens%s; %.0f "
            "with the model's own cache",
            room / GIB, fits(each, p->measured[0].growing, p->measured[0].fixed),
            sequences, fits(each, own->growing_bytes_per_token, own->fixed_bytes));
    }
    return t;
}

/* The first windows to make the plan on, the others to measure it. */
static mls_status part_text(mls_corpus *search, mls_corpus *verify,
                            const mls_corpus *all, size_t n, mls_err *err)
{
    mls_status st;

    if (all->N <= n)
        return mls_fail(
            err, MLS_E_INPUT,
            "the text gives %zu window%s of %zu tokens: --search %zu leaves "
            "none to measure the plan on",
            all->N, mls_plural(all->N), all->start[1] - all->start[0], n);
    st = mls_corpus_part(search, all, 0, n, err);
    return st ? st : mls_corpus_part(verify, all, n, all->N - n, err);
}

/* Exactly one budget; a memory may stand beside it. */
static bool one_budget(const arguments *a)
{
    const int budgets = !isnan(a->keep) + !isnan(a->bytes) + !isnan(a->max_kl);
    const int memories = !isnan(a->memory) + (a->gpu != NULL);

    return budgets <= 1 && memories <= 1 && budgets + memories > 0;
}

/* Before a text is read: where the rank is open, only the rest is known. */
static mls_status check_methods(const mls_setting *methods, size_t n,
                                const mls_config *config, mls_err *err)
{
    mls_status st = MLS_OK;

    for (size_t i = 0; !st && i < n; i++) {
        mls_parsed p;

        if (mls_setting_get(&methods[i], "rank")) {
            st = mls_method_possible(config, &methods[i], err);
            continue;
        }
        st = mls_method_parse(&p, config, &methods[i], err);
        mls_parsed_free(&p);
    }
    return st;
}

static int run(int argc, char **argv)
{
    arguments a = {.by = "method",
                   .heal_steps = 20,
                   .keep = NAN,
                   .bytes = NAN,
                   .memory = NAN,
                   .max_kl = NAN,
                   .weights = NAN,
                   .bits = "16",
                   .length = 256,
                   .search = 8,
                   .verify = 16,
                   .batch = 1,
                   .multiple = 8};
    const mls_option options[] = {
        {"--text", 'f', MLS_OPT_LIST, &a.texts, 0, 0},
        {"--capture", 0, MLS_OPT_TEXT, &a.capture, 0, 0},
        {"--keep", 0, MLS_OPT_SHARE, &a.keep, 1e-6, 1},
        {"--bytes-per-token", 0, MLS_OPT_REAL, &a.bytes, 1e-3, 1e15},
        {"--gpu", 0, MLS_OPT_TEXT, &a.gpu, 0, 0},
        {"--memory", 0, MLS_OPT_GIB, &a.memory, 1e-3, 1e9},
        {"--max-kl", 0, MLS_OPT_REAL, &a.max_kl, 1e-6, 100},
        {"--method", 0, MLS_OPT_LIST, &a.methods, 0, 0},
        {"--serve", 0, MLS_OPT_TEXT, &a.serve, 0, 0},
        {"--by", 0, MLS_OPT_TEXT, &a.by, 0, 0},
        {"--heal-steps", 0, MLS_OPT_SIZE, &a.heal_steps, 0, 1 << 20},
        {"--bits", 0, MLS_OPT_TEXT, &a.bits, 0, 0},
        {"--multiple", 0, MLS_OPT_SIZE, &a.multiple, 1, 4096},
        {"--first-last", 0, MLS_OPT_SIZE, &a.first_last, 1, 1 << 18},
        {"--cap", 0, MLS_OPT_SIZE, &a.cap, 1, 1 << 18},
        {"--kernel", 0, MLS_OPT_TEXT, &a.kernel, 0, 0},
        {"--per-head", 0, MLS_OPT_FLAG, &a.per_head, 0, 0},
        {"--projects", 0, MLS_OPT_FLAG, &a.projects, 0, 0},
        {"--length", 'T', MLS_OPT_SIZE, &a.length, 2, 1 << 20},
        MLS_NO_BOS_OPTION(&a.no_bos),
        {"--search", 0, MLS_OPT_SIZE, &a.search, 1, 1 << 20},
        {"--verify", 0, MLS_OPT_SIZE, &a.verify, 1, 1 << 20},
        {"--context", 0, MLS_OPT_SIZE, &a.context, 1, 1 << 30},
        {"--batch", 0, MLS_OPT_SIZE, &a.batch, 1, 1 << 20},
        {"--weights", 0, MLS_OPT_REAL, &a.weights, 0, 1e9},
        MLS_FORWARD_OPTIONS(a),
        MLS_SHARD_OPTION(&a.shard),
        MLS_THREADS_OPTION(&a.threads),
        {"--format", 0, MLS_OPT_FORMAT, &a.format, 0, 0},
        {"--output", 'o', MLS_OPT_OTHER, &a.output, 0, 1},
        {0}};
    const char *folder;
    size_t n, *bits = NULL, n_bits = 0, n_methods = 0;
    double room = 0;
    mls_size_result own = {0};
    int status;
    mls_err err = {0};
    mls_tool_subject s = {0};
    mls_corpus search = {0}, verify = {0}, calibration = {0};
    mls_heal_job heal = mls_heal_defaults();
    mls_buf heal_folder = {0};
    mls_setting *methods = NULL;
    mls_serve serve = MLS_SERVE_OWN_KERNEL;
    mls_kernels kernels = {0};
    mls_plan plan = {0};
    mls_table *layers = NULL, *quality = NULL;
    mls_parts *parts = NULL;

    if (!mls_options_parse(&cmd_plan, argc, argv, options, &folder, 1, 1, &n, &status))
        return status;
    if (a.texts.n == 0)
        return mls_usage_error(&cmd_plan, "no text to measure on: give --text FILE");
    if (!a.output)
        return mls_usage_error(&cmd_plan, "nowhere to write the plan: give -o FILE");
    if (!one_budget(&a))
        return mls_usage_error(&cmd_plan,
                               "give one budget: --keep, --bytes-per-token, --gpu, "
                               "--memory or --max-kl");
    const bool healed = strcmp(a.by, "healed") == 0;

    if (!healed && strcmp(a.by, "method") != 0)
        return mls_usage_error(&cmd_plan, "--by takes method or healed, found %s",
                               a.by);
    if (healed && (!a.capture || a.shard))
        return mls_usage_error(&cmd_plan,
                               "--by healed needs --capture FILE, whose text it heals "
                               "on, and one process: no --shard");
    if (a.context == 0)
        a.context = a.length;
    if (mls_tool_parts(&parts, &cmd_plan, argc, argv, options, &err) ||
        mls_size_list("--bits", a.bits, 2, 16, &bits, &n_bits, &err) ||
        (a.kernel && read_kernels(&kernels, a.kernel, &err)) ||
        (a.serve && mls_serve_parse(&serve, a.serve, &err)) ||
        ((!a.serve || a.methods.n) &&
         read_methods(&methods, &n_methods, &a.methods, &err)) ||
        mls_file_writable(a.output, &err) || mls_tool_model(&s.model, folder, &err) ||
        check_methods(methods, n_methods, mls_model_config(s.model), &err))
        goto done;
    mls_tool_compute(s.model, a.compute, a.ram);
    if (mls_size_own(&own, mls_model_config(s.model), a.context, &err) ||
        find_room(&room, &a, mls_model_config(s.model), &err) ||
        (!methods &&
         mls_plan_methods(
             &methods, &n_methods, mls_model_config(s.model), serve,
             share_of(find_budget(&a, own.bytes_per_token, room), own.bytes_per_token),
             METHODS_EACH, &err)) ||
        mls_tool_read(&s,
                      &(mls_tool_windows){&a.texts, a.length, a.search + a.verify,
                                          a.capture, a.threads, a.no_bos, false},
                      true, &err) ||
        part_text(&search, &verify, &s.corpus, a.search, &err) ||
        (healed &&
         mls_tool_captured_text(&calibration, s.capture, HEAL_WINDOWS, &err)) ||
        mls_tool_parts_about(parts, &s, &err))
        goto done;
    s.in.parts = parts;
    heal.in = &s.in;
    heal.model_sha256 = s.model_sha256;
    heal.corpus = &calibration;
    heal.steps = a.heal_steps;
    heal.progress = mls_tool_progress();
    mls_buf_printf(&heal_folder, "%s.healed", a.output);
    if (heal_folder.failed) {
        mls_fail(&err, MLS_E_NOMEM, "no memory for a folder name");
        goto done;
    }

    const mls_plan_request request = {.in = s.in,
                                      .model_sha256 = s.model_sha256,
                                      .search = &search,
                                      .verify = &verify,
                                      .method = methods,
                                      .n_methods = n_methods,
                                      .serve = a.serve ? &serve : NULL,
                                      .bits = bits,
                                      .n_bits = n_bits,
                                      .multiple = a.multiple,
                                      .first_last = a.first_last,
                                      .cap = a.cap,
                                      .kernels = &kernels,
                                      .kernel = a.kernel,
                                      .per_head = a.per_head,
                                      .tokens = a.context,
                                      .budget =
                                          find_budget(&a, own.bytes_per_token, room),
                                      .max_kl = isnan(a.max_kl) ? 0 : a.max_kl,
                                      .projects = a.projects,
                                      .heal = healed ? &heal : NULL,
                                      .heal_folder = heal_folder.data};

    if (mls_plan_make(&plan, &request, mls_tool_progress(), &err))
        goto done;
    if (mls_parts_making(parts)) {
        mls_tool_parts_finish(parts, &err);
        goto done;
    }
    if (mls_plan_write(&plan, a.output, mls_tool_command_line(), &err))
        goto done;
    layers = mls_plan_layers_table(&plan, false);
    if (layers) {
        mls_tool_record_model(layers, s.model);
        mls_tool_record_before(layers, s.before);
    }
    quality = quality_table(&plan, s.in.config, &own, room, a.batch);
    if (quality)
        mls_tool_record_model(quality, s.model);
    if (quality && healed)
        mls_table_note(quality, "KL and everything measured: of healed forms (mlascope "
                                "heal), which start better than the methods' own");
    if (!mls_tool_print(layers, a.format, "-", &err))
        mls_tool_print(quality, a.format, "-", &err);

done:
    mls_tool_parts_close(parts);
    mls_table_free(layers);
    mls_table_free(quality);
    mls_plan_free(&plan);
    mls_kernels_free(&kernels);
    mls_free_all(methods, bits);
    mls_corpus_free(&search);
    mls_corpus_free(&verify);
    mls_corpus_free(&calibration);
    mls_buf_free(&heal_folder);
    mls_tool_close(&s);
    return mls_exit_status(&err);
}

MLS_COMMAND(plan, "bench",
            "choose rank, chunks and bits of every layer under one budget");
