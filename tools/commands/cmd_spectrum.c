/* mlascope spectrum: singular values of the projections, and the ranks they suggest. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/spectrum/spectra.h"
#include "common/base/words.h"
#include "common/system/files.h"
#include "tools/base/inputs.h"
#include "tools/base/options.h"
#include "tools/base/spectrum_methods.h"

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

/* bounds: only spectra of weights alone have them. */
static void name_columns(mls_table *t, bool values, bool bounds)
{
    mls_table_column(t, "layer", "layer", "", 0);
    mls_table_column(t, "matrix", "matrix", "", 0);
    mls_table_column(t, "head", "head", "", 0);
    if (values) {
        mls_table_column(t, "index", "index", "", 0);
        mls_table_column(t, "sigma", "sigma", "", -1);
        if (bounds)
            mls_table_column(t, "sigma_error", "error", "bound", -1);
        mls_table_column(t, "energy_share", "energy", "share", 5);
        mls_table_column(t, "cumulative_share", "cumulative", "share", 5);
        return;
    }
    mls_table_column(t, "values", "values", "", 0);
    mls_table_column(t, "sigma_first", "first", "sigma", 4);
    mls_table_column(t, "sigma_last", "last", "sigma", 4);
    mls_table_column(t, "energy", "energy", "sigma^2", 4);
    mls_table_column(t, "effective_rank", "eff. rank", "sigma", 1);
    mls_table_column(t, "effective_rank_energy", "eff. rank", "sigma^2", 1);
    mls_table_column(t, "stable_rank", "stable", "rank", 2);
    mls_table_column(t, "rank_90", "90 %", "rank", 0);
    mls_table_column(t, "rank_95", "95 %", "rank", 0);
    mls_table_column(t, "rank_99", "99 %", "rank", 0);
    if (bounds) {
        mls_table_column(t, "sigma_error", "error", "sigma", -1);
        mls_table_column(t, "figure_error", "error", "share", -1);
        mls_table_column(t, "rank_error", "error", "ranks", 0);
    }
}

static void begin_row(mls_table *t, const mls_spectra_row *row)
{
    mls_table_row(t);
    mls_table_count(t, (long long)row->layer);
    mls_table_text(t, mls_matrix_name(row->matrix));
    if (row->head == MLS_WHOLE_LAYER)
        mls_table_text(t, "all");
    else
        mls_table_count(t, (long long)row->head);
}

static mls_status add_values(mls_table *t, const mls_spectra_row *row, bool bounds,
                             mls_err *err)
{
    const mls_spectrum *s = &row->spectrum;
    const double energy = mls_spectrum_summarize(s->sigma, s->n).energy;
    double sum = 0.0;

    for (size_t i = 0; i < s->n; i++) {
        const double square = s->sigma[i] * s->sigma[i];

        sum += square;
        begin_row(t, row);
        mls_table_count(t, (long long)i);
        mls_table_real(t, s->sigma[i]);
        if (bounds)
            mls_table_real(t, mls_spectrum_value_error(s, i));
        mls_table_real(t, square / energy); /* NaN, so empty, for a matrix of zeros */
        mls_table_real(t, sum / energy);
    }
    (void)err;
    return MLS_OK;
}

static mls_status add_summary(mls_table *t, const mls_spectra_row *row, bool bounds,
                              mls_err *err)
{
    const mls_spectrum_summary y =
        mls_spectrum_summarize(row->spectrum.sigma, row->spectrum.n);

    begin_row(t, row);
    mls_table_count(t, (long long)row->spectrum.n);
    mls_table_real(t, y.largest);
    mls_table_real(t, y.smallest);
    mls_table_real(t, y.energy);
    mls_table_real(t, y.effective_rank);
    mls_table_real(t, y.effective_rank_energy);
    mls_table_real(t, y.stable_rank);
    mls_table_count(t, (long long)y.rank_90);
    mls_table_count(t, (long long)y.rank_95);
    mls_table_count(t, (long long)y.rank_99);
    if (bounds) {
        mls_spectrum_bounds b;
        const mls_status st = mls_spectrum_bound(&row->spectrum, &b, err);

        if (st)
            return st;
        mls_table_real(t, b.value);
        mls_table_real(t, b.figure);
        mls_table_count(t, (long long)b.rank);
    }
    return MLS_OK;
}

static mls_status show(const mls_spectra *s, bool values, const char *of,
                       const char *model, const char *capture, mls_format format,
                       const char *path, mls_err *err)
{
    mls_table *t = mls_table_new("Singular values");
    const bool bounds = model && !capture;
    mls_status st = MLS_OK;

    if (!t)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a table");
    if (model)
        mls_table_meta(t, "model", model);
    if (capture)
        mls_table_meta(t, "capture", capture);
    mls_table_meta(t, "of", of);
    name_columns(t, values, bounds);
    for (size_t i = 0; !st && i < s->n; i++)
        st = (values ? add_values : add_summary)(t, &s->row[i], bounds, err);
    mls_table_note(t, "Energy is sigma^2; a rank at p % is the smallest one that holds "
                      "p % of it.");
    if (bounds && !values)
        mls_table_note(t, "error: bounds of what rounding can do to any sigma "
                          "(absolute), to the other figures (relative), and to ranks.");
    if (!st)
        st = mls_tool_print(t, format, path, err);
    mls_table_free(t);
    return st;
}

static int run(int argc, char **argv)
{
    const char *input, *what = "q,k,v,kv", *per = "layer", *weighted = NULL;
    const char *output = "-", *model_path = NULL, *capture_path = NULL;
    size_t n_operands, threads = 0;
    bool values = false;
    mls_texts settings = {0};
    mls_table *methods = NULL;
    mls_format format = MLS_FORMAT_TABLE;
    mls_spectra_request request = {0};
    mls_spectra spectra = {0};
    mls_model *model = NULL;
    mls_capture *capture = NULL;
    mls_pool *pool = NULL;
    mls_err err = {0};
    int status;
    const mls_option options[] = {
        {"--what", 0, MLS_OPT_TEXT, &what, 0, 0},
        {"--per", 0, MLS_OPT_TEXT, &per, 0, 0},
        {"--weighted", 'w', MLS_OPT_TEXT, &weighted, 0, 0},
        {"--values", 0, MLS_OPT_FLAG, &values, 0, 0},
        {"--setting", 's', MLS_OPT_LIST, &settings, 0, 0},
        MLS_THREADS_OPTION(&threads),
        {"--format", 0, MLS_OPT_FORMAT, &format, 0, 0},
        {"--output", 'o', MLS_OPT_TABLE, &output, 0, 0},
        {0},
    };

    if (!mls_options_parse(&cmd_spectrum, argc, argv, options, &input, 1, 1,
                           &n_operands, &status))
        return status;
    status = parse_what(&request, what);
    if (status)
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

    if (settings.n && (!model_path || !capture_path))
        return mls_usage_error(&cmd_spectrum, "--setting needs a model and --weighted");
    if (mls_pool_new(&pool, threads, &err) ||
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
    if (mls_spectra_run(&spectra, model, capture, &request, pool, mls_tool_progress(),
                        &err))
        goto done;
    show(&spectra, values,
         !model    ? "captured outputs"
         : capture ? "weights times data"
                   : "weights",
         model_path, capture_path, format, output, &err);

done:
    mls_table_free(methods);
    mls_spectra_free(&spectra);
    mls_capture_close(capture);
    mls_model_close(model);
    mls_pool_free(pool);
    return mls_exit_status(&err);
}

const mls_command cmd_spectrum = {
    .group = "analysis",
    .name = "spectrum",
    .summary = "singular values of the projections, energy and effective rank",
    .usage =
        "Usage: mlascope spectrum MODEL|CAPTURE [OPTIONS]\n"
        "\n"
        "Print the singular values of W_q, W_k, W_v and [W_k; W_v]: how many are\n"
        "needed for 90, 95 and 99 % of the energy (sigma^2), the effective rank\n"
        "(exp of the entropy of sigma, and of sigma^2) and the stable rank.\n"
        "\n"
        "MODEL is a folder or a GGUF file: spectra of the weights, or with --weighted\n"
        "of the weights times the captured data (eigenvalues of W C W^T, C the\n"
        "second moment of the input; sigma is their root). CAPTURE is a file of\n"
        "`mlascope capture`: spectra of what each head puts out, biases and\n"
        "QK-norm included; it takes --per head only.\n"
        "\n"
        "      --what LIST      q, k, v, kv [q,k,v,kv]\n"
        "      --per layer|head one spectrum per layer or per head [layer]\n"
        "  -w, --weighted FILE  weight MODEL by the data of this capture\n"
        "  -s, --setting TEXT   instead: the rank that a method's own rule gives "
        "every\n"
        "                       layer, and the errors it leaves; lists and ranges; "
        "may\n"
        "                       be repeated; needs --weighted\n"
        "      --values         every singular value instead of a summary\n"
        "  -t, --threads N      [all CPUs]\n"
        "      --format F       table, md, csv, json, jsonl, html [table]\n"
        "  -o, --output FILE    - is standard output [-]\n"
        "\n"
        "Example: mlascope spectrum datasets/demo --what k,v --per head\n",
    .run = run,
};
