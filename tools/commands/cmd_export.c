/* mlascope export: a setting as the files of a converter, or as the converted model. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/evaluate/isolated.h"
#include "bench/frame/scheme.h"
#include "reports/export/export.h"
#include "tools/base/command.h"
#include "tools/base/data.h"
#include "tools/base/inputs.h"
#include "tools/base/options.h"
#include "tools/commands/help.h"

extern const mls_command cmd_export;

static const char *dtype_of(const char *word)
{
    static const char *const words[] = {"f32", "bf16", "f16"};
    static const char *const dtypes[] = {"F32", "BF16", "F16"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(word, words[i]) == 0)
            return dtypes[i];
    return NULL;
}

static bool norm_of(mls_export_norm *norm, const char *word)
{
    static const char *const words[] = {
        [MLS_NORM_NONE] = "none",
        [MLS_NORM_LINEAR] = "linear",
        [MLS_NORM_FITTED] = "fitted",
    };

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(word, words[i]) == 0) {
            *norm = (mls_export_norm)i;
            return true;
        }
    return false;
}

/* One setting: a list would be several exports. */
static mls_status read_setting(mls_setting *out, const char *text, mls_err *err)
{
    mls_setting *all = NULL;
    size_t n = 0;
    mls_status st = mls_setting_expand(text, &all, &n, err);

    if (!st && n != 1)
        st = mls_fail(err, MLS_E_ARG, "an export is of one setting, and \"%s\" is %zu",
                      text, n);
    if (!st)
        *out = all[0];
    free(all);
    return st;
}

static int run(int argc, char **argv)
{
    const char *setting_text = NULL, *plan = NULL, *from = NULL, *target = NULL,
               *output = NULL, *capture_path = NULL;
    const char *dtype = NULL, *norm_word = NULL, *folder;
    mls_export_norm norm = MLS_NORM_LINEAR;
    bool first_release = false;
    size_t threads = 0, n;
    const mls_option options[] = {
        {"--setting", 's', MLS_OPT_TEXT, &setting_text, 0, 0},
        {"--plan", 0, MLS_OPT_TEXT, &plan, 0, 0},
        {"--from", 0, MLS_OPT_TEXT, &from, 0, 0},
        {"--for", 0, MLS_OPT_TEXT, &target, 0, 0},
        {"--capture", 0, MLS_OPT_TEXT, &capture_path, 0, 0},
        {"--dtype", 0, MLS_OPT_TEXT, &dtype, 0, 0},
        {"--norm", 0, MLS_OPT_TEXT, &norm_word, 0, 0},
        {"--first-release", 0, MLS_OPT_FLAG, &first_release, 0, 0},
        MLS_THREADS_OPTION(&threads),
        {"--output", 'o', MLS_OPT_OTHER, &output, 0, 0},
        {0}};
    int status;
    mls_err err = {0};
    mls_model *model = NULL;
    mls_capture *capture = NULL;
    mls_pool *pool = NULL;
    mls_scheme scheme = {0};
    mls_kernels kernels = {0};
    mls_setting setting = {.method = "converted"};

    if (!mls_options_parse(&cmd_export, argc, argv, options, &folder, 1, 1, &n,
                           &status))
        return status;
    const int sources = (setting_text != NULL) + (plan != NULL) + (from != NULL);

    if (!sources || !target || !output)
        return mls_usage_error(&cmd_export, "%s is missing",
                               !sources ? "--setting TEXT, --plan FILE or --from FOLDER"
                               : !target ? "--for TARGET"
                                         : "-o FOLDER");
    if (sources > 1)
        return mls_usage_error(&cmd_export,
                               "--setting, --plan and --from exclude each other");
    if (dtype && !dtype_of(dtype))
        return mls_usage_error(&cmd_export, "--dtype takes f32, bf16 or f16, found %s",
                               dtype);
    if (norm_word && !norm_of(&norm, norm_word))
        return mls_usage_error(
            &cmd_export, "--norm takes linear, fitted or none, found %s", norm_word);
    if (norm_word && strcmp(target, "deepseek") != 0)
        return mls_usage_error(&cmd_export, "--norm belongs to --for deepseek");
    if (first_release && strcmp(target, "mha2mla") != 0)
        return mls_usage_error(&cmd_export, "--first-release belongs to --for mha2mla");
    if ((setting_text && read_setting(&setting, setting_text, &err)) ||
        (from && mls_setting_set(&setting, "path", from, &err)) ||
        mls_tool_model(&model, folder, &err) ||
        (setting_text &&
         mls_method_possible(mls_model_config(model), &setting, &err)) ||
        (capture_path && mls_tool_capture(&capture, capture_path, model, &err)) ||
        mls_pool_new(&pool, threads, &err) ||
        (plan
             ? mls_tool_plan(&scheme, plan, model, capture_path, &err)
             : mls_scheme_uniform(&scheme, &setting, mls_model_config(model)->L, &err)))
        goto done;

    const mls_method_input in = {.config = mls_model_config(model),
                                 .model = model,
                                 .capture = capture,
                                 .pool = pool,
                                 .isolated_kl = mls_isolated_kl_of_model};
    if (mls_tool_kernels(&kernels, &err))
        goto done;

    const mls_export job = {.target = target,
                            .folder = output,
                            .model_name = folder,
                            .command = mls_tool_command_line(),
                            .in = &in,
                            .scheme = &scheme,
                            .dtype = dtype ? dtype_of(dtype) : NULL,
                            .first_release = first_release,
                            .norm = norm,
                            .kernels = kernels.n ? &kernels : NULL,
                            .progress = mls_tool_progress()};
    if (!mls_export_write(&job, &err))
        mls_progress_note(job.progress,
                          "%s: written; README.md there says what to type next",
                          output);

done:
    mls_kernels_free(&kernels);
    mls_scheme_free(&scheme);
    mls_pool_free(pool);
    mls_capture_close(capture);
    mls_model_close(model);
    return mls_exit_status(&err);
}

MLS_COMMAND(export, "reports",
            "write a setting as a converter's input or as the converted model");
