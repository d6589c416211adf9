/* mlascope spectrum: singular values of the projections, and the ranks they suggest. */
#include <stdlib.h>
#include <string.h>

#include "analysis/spectrum/spectra.h"
#include "bench/setting/setting.h"
#include "common/system/files.h"
#include "reports/tables/rank_tables.h"
#include "tools/base/inputs.h"
#include "tools/base/options.h"
#include "tools/base/parts.h"
#include "tools/base/spectrum_methods.h"
#include "tools/commands/help.h"

extern const mls_command cmd_spectrum;

/* "k,kv" */
static int parse_what(mls_spectra_request *request, const char *text)
{
    const char *names[MLS_MATRICES + 1] = {0};

    for (int k = 0; k < MLS_MATRICES; k++)
        names[k] = mls_matrix_name((mls_matrix)k);
    for (const char *p = text; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
        const size_t len = strcspn(p, ",");
        bool found = false;

        for (int k = 0; k < MLS_MATRICES; k++)
            if (strlen(names[k]) == len && memcmp(names[k], p, len) == 0)
                found = request->matrix[k] = true;
        if (!found)
            return mls_usage_error(&cmd_spectrum,
                                   "--what: there is no matrix \"%.*s\"; q, k, v and "
                                   "kv exist",
                                   (int)len, p);
    }
    return 0;
}

static mls_status show(const mls_spectra *s, bool values, const char *of,
                       const char *model, const char *capture, mls_format format,
                       const char *path, mls_err *err)
{
    mls_table *t = mls_table_new("Singular values");
    const mls_rank_source source =
        model && !capture ? MLS_RANK_OF_WEIGHTS : MLS_RANK_OF_DATA;
    mls_status st = MLS_OK;

    if (!t)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a table");
    if (model)
        mls_table_meta(t, "model", model);
    if (capture)
        mls_table_meta(t, "capture", capture);
    mls_table_meta(t, "of", of);
    if (values)
        mls_sigma_table(t, s, source);
    else
        st = mls_rank_table(t, s, source, err);
    mls_table_note(t, "Energy is sigma^2; a rank at p % is the smallest one that holds "
                      "p % of it.");
    if (source == MLS_RANK_OF_WEIGHTS && !values)
        mls_table_note(t, "error: bounds of what rounding can do to any sigma "
                          "(absolute), to the other figures (relative), and to ranks.");
    if (!st)
        st = mls_tool_print(t, format, path, err);
    mls_table_free(t);
    return st;
}

/* A table of what only windows show, printed. */
static void print_windows(mls_table *t, const char *capture, mls_format format,
                          const char *path, mls_err *err)
{
    if (t) {
        mls_table_meta(t, "capture", capture);
        mls_table_meta(t, "command", mls_tool_command_line());
    }
    mls_tool_print(t, format, path, err);
    mls_table_free(t);
}

/* --neighbours and --top-tokens. */
static void show_windows(mls_capture *capture, bool neighbours, const char *ranks,
                         const mls_spectra_request *request, mls_pool *pool,
                         mls_format format, const char *path, mls_err *err)
{
    const char *name = mls_capture_path(capture);
    mls_neighbours n = {0};
    mls_latent_top top = {0};
    size_t *rank = NULL, n_ranks = 0;

    if (neighbours) {
        if (!mls_neighbours_run(&n, capture, request->draws, request->seed, pool,
                                mls_tool_progress(), err))
            print_windows(mls_neighbours_table(&n), name, format, path, err);
    } else if (!mls_size_list("--top-tokens", ranks, 1, 1 << 20, &rank, &n_ranks,
                              err) &&
               !mls_latent_top_run(&top, capture, rank, n_ranks, pool,
                                   mls_tool_progress(), err)) {
        print_windows(mls_latent_top_table(&top), name, format, path, err);
    }
    free(rank);
    mls_neighbours_free(&n);
    mls_latent_top_free(&top);
}

/* What the spectra depend on. */
static mls_status about(mls_parts *parts, mls_model *model, mls_capture *capture,
                        mls_err *err)
{
    mls_tool_subject s = {.model = model, .capture = capture};
    const mls_status st =
        model ? mls_checkpoint_sha256(mls_model_checkpoint(model), s.model_sha256,
                                      mls_tool_progress(), err)
              : MLS_OK;

    return st ? st : mls_tool_parts_about(parts, &s, err);
}

static int run(int argc, char **argv)
{
    const char *input, *what = NULL, *ranks = NULL, *per = "layer", *weighted = NULL;
    const char *output = "-", *model_path = NULL, *capture_path = NULL, *shard = NULL;
    size_t n_operands, threads = 0;
    bool values = false, neighbours = false;
    mls_texts settings = {0};
    mls_table *methods = NULL;
    mls_format format = MLS_FORMAT_TABLE;
    mls_spectra_request request = {.draws = MLS_SPECTRA_DRAWS, .seed = 1};
    mls_spectra spectra = {0};
    mls_model *model = NULL;
    mls_capture *capture = NULL;
    mls_pool *pool = NULL;
    mls_parts *parts = NULL;
    mls_err err = {0};
    int status;
    const mls_option options[] = {
        {"--what", 0, MLS_OPT_TEXT, &what, 0, 0},
        {"--per", 0, MLS_OPT_TEXT, &per, 0, 0},
        {"--weighted", 'w', MLS_OPT_TEXT, &weighted, 0, 0},
        {"--values", 0, MLS_OPT_FLAG, &values, 0, 0},
        {"--neighbours", 0, MLS_OPT_FLAG, &neighbours, 0, 0},
        {"--top-tokens", 0, MLS_OPT_TEXT, &ranks, 0, 0},
        {"--draws", 0, MLS_OPT_SIZE, &request.draws, 0, 1 << 20},
        {"--seed", 0, MLS_OPT_SIZE, &request.seed, 0, 1e15},
        {"--setting", 's', MLS_OPT_LIST, &settings, 0, 0},
        MLS_SHARD_OPTION(&shard),
        MLS_THREADS_OPTION(&threads),
        {"--format", 0, MLS_OPT_FORMAT, &format, 0, 0},
        {"--output", 'o', MLS_OPT_TABLE, &output, 0, 0},
        {0},
    };

    if (!mls_options_parse(&cmd_spectrum, argc, argv, options, &input, 1, 1,
                           &n_operands, &status))
        return status;
    if (strcmp(per, "layer") != 0 && strcmp(per, "head") != 0)
        return mls_usage_error(&cmd_spectrum,
                               "--per: expected layer or head, found \"%s\"", per);
    request.per_head = strcmp(per, "head") == 0;
    /* A model is a folder or a GGUF file, so another file is a capture. */
    if (mls_file_exists(input) && !mls_gguf_is(input)) {
        if (weighted)
            return mls_usage_error(
                &cmd_spectrum, "--weighted needs a model, found the file %s", input);
        capture_path = input;
    } else {
        model_path = input;
        capture_path = weighted;
    }

    status = parse_what(&request, what         ? what
                                  : model_path ? "q,k,v,kv"
                                               : "q,k,k_rot,v,kv");
    if (status)
        return status;
    if (model_path && (neighbours || ranks))
        return mls_usage_error(&cmd_spectrum,
                               "--neighbours and --top-tokens are of a capture: give "
                               "RUN.h5 instead of the model");
    if (settings.n && (!model_path || !capture_path))
        return mls_usage_error(&cmd_spectrum, "--setting needs a model and --weighted");
    if (shard && (settings.n || neighbours || ranks))
        return mls_usage_error(&cmd_spectrum,
                               "--shard splits singular values: not --setting, "
                               "--neighbours or --top-tokens");
    if (mls_tool_parts(&parts, &cmd_spectrum, argc, argv, options, &err) ||
        mls_pool_new(&pool, threads, &err) ||
        (model_path && mls_tool_model(&model, model_path, &err)) ||
        (capture_path &&
         (settings.n ? mls_tool_capture(&capture, capture_path, model, &err)
                     : mls_capture_open(&capture, capture_path, &err))))
        goto done;
    if (settings.n) {
        methods = mls_table_new(NULL);
        if (!mls_spectrum_methods(methods, model, capture, &settings, pool, &err))
            mls_tool_print(methods, format, output, &err);
        goto done;
    }
    if (neighbours || ranks) {
        show_windows(capture, neighbours, ranks, &request, pool, format, output, &err);
        goto done;
    }
    if (parts && about(parts, model, capture, &err))
        goto done;
    request.parts = parts;
    if (mls_spectra_run(&spectra, model, capture, &request, pool, mls_tool_progress(),
                        &err))
        goto done;
    if (mls_parts_making(parts)) {
        mls_tool_parts_finish(parts, &err);
        goto done;
    }
    show(&spectra, values,
         !model    ? "captured outputs"
         : capture ? "weights times data"
                   : "weights",
         model_path, capture_path, format, output, &err);

done:
    mls_tool_parts_close(parts);
    mls_table_free(methods);
    mls_spectra_free(&spectra);
    mls_capture_close(capture);
    mls_model_close(model);
    mls_pool_free(pool);
    return mls_exit_status(&err);
}

MLS_COMMAND(spectrum, "analysis",
            "singular values of the projections, energy and effective rank");
