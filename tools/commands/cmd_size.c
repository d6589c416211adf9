/* mlascope size: bytes of the cache, exact, from config.json alone. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/latent/gpu.h"
#include "analysis/latent/size.h"
#include "bench/frame/method.h"
#include "common/system/files.h"
#include "datasets/checkpoint/checkpoint.h"
#include "datasets/family/class.h"
#include "datasets/family/rules.h"
#include "reports/page/plot.h"
#include "reports/tables/engine_table.h"
#include "reports/tables/size_plots.h"
#include "reports/tables/size_table.h"
#include "tools/base/data.h"
#include "tools/base/inputs.h"
#include "tools/base/options.h"
#include "tools/commands/help.h"

#define GIB 1073741824.0

extern const mls_command cmd_size;

enum { DEVICES_MAX = 64, SWEEP_ROWS_MAX = 100000, TOKENS_MAX = 1 << 30 };

/* The command line, and what is made of it. */
typedef struct {
    mls_texts settings;
    const char *tokens, *batch, *block, *tp, *dtype_bits, *gpu, *memory, *output,
        *plots, *engine, *cache_dtype;
    size_t dcp;
    bool dp_attention;
    double bandwidth, weights, active; /* GB/s, GiB, GiB; NaN: not given */
    bool formula;
    mls_format format;

    size_t *list[5];
    mls_setting *setting;
    mls_size_device device[DEVICES_MAX];
    char device_name[DEVICES_MAX][32];
    mls_size_sweep sweep;
} request;

static mls_status read_list(request *r, size_t i, mls_sizes *out, const char *name,
                            const char *text, size_t max, mls_err *err)
{
    const mls_status st = mls_size_list(name, text, 1, max, &r->list[i], &out->n, err);

    out->item = r->list[i];
    return st;
}

static mls_status read_lists(request *r, mls_err *err)
{
    mls_size_sweep *s = &r->sweep;
    mls_status st;

    if ((st = read_list(r, 0, &s->tokens, "--tokens", r->tokens, TOKENS_MAX, err)) ||
        (st = read_list(r, 1, &s->batch, "--batch", r->batch, 1 << 20, err)) ||
        (st = read_list(r, 2, &s->block, "--block", r->block, 1 << 20, err)) ||
        (st = read_list(r, 3, &s->tensor_parallel, "--tp", r->tp, 1 << 16, err)))
        return st;
    return read_list(r, 4, &s->dtype_bits, "--dtype-bits", r->dtype_bits, 64, err);
}

/* Every --setting, expanded; typical ones when there is none. */
static mls_status read_settings(request *r, const mls_config *config, mls_err *err)
{
    mls_size_sweep *s = &r->sweep;

    if (r->settings.n == 0) {
        s->skip_refused = true;
        const mls_status st =
            mls_method_typical(config, &r->setting, &s->n_settings, err);
        s->setting = r->setting;
        return st;
    }
    for (size_t i = 0; i < r->settings.n; i++) {
        mls_setting *more, *all;
        size_t n;
        const mls_status st = mls_setting_expand(r->settings.item[i], &more, &n, err);

        if (st)
            return st;
        all = n + s->n_settings <= MLS_SETTINGS_MAX
                  ? realloc(r->setting, (s->n_settings + n) * sizeof *all)
                  : NULL;
        if (!all) {
            free(more);
            return mls_fail(err, MLS_E_ARG, "more than %d settings", MLS_SETTINGS_MAX);
        }
        memcpy(all + s->n_settings, more, n * sizeof *all);
        free(more);
        r->setting = all;
        s->setting = all;
        s->n_settings += n;
    }
    return MLS_OK;
}

static mls_status add_device(request *r, const char *name, double memory,
                             double bandwidth, mls_err *err)
{
    mls_size_sweep *s = &r->sweep;

    if (s->n_devices == DEVICES_MAX)
        return mls_fail(err, MLS_E_ARG, "more than %d devices", DEVICES_MAX);
    snprintf(r->device_name[s->n_devices], sizeof r->device_name[0], "%s", name);
    r->device[s->n_devices] =
        (mls_size_device){r->device_name[s->n_devices], memory, bandwidth};
    s->device = r->device;
    s->n_devices++;
    return MLS_OK;
}

static mls_status read_gpus(request *r, mls_err *err)
{
    char *copy = strdup(r->gpu), *state = NULL;
    mls_status st = MLS_OK;

    if (!copy)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the names of GPUs");
    for (char *name = strtok_r(copy, ",", &state); name && !st;
         name = strtok_r(NULL, ",", &state)) {
        const mls_gpu *gpu;

        st = mls_gpu_find(&gpu, name, err);
        if (!st)
            st = add_device(r, gpu->name, gpu->memory,
                            isnan(r->bandwidth) ? gpu->bandwidth : 1e9 * r->bandwidth,
                            err);
    }
    free(copy);
    return st;
}

static mls_status read_devices(request *r, mls_err *err)
{
    const double bandwidth = isnan(r->bandwidth) ? 0 : 1e9 * r->bandwidth;
    size_t *list = NULL, n = 0;
    mls_status st = MLS_OK;

    if (r->gpu && r->memory)
        return mls_fail(err, MLS_E_ARG, "--gpu and --memory exclude each other");
    if (r->gpu)
        return read_gpus(r, err);
    if (!r->memory)
        return bandwidth > 0 ? add_device(r, "bandwidth", 0, bandwidth, err) : MLS_OK;
    if (strpbrk(r->memory, "gG"))
        return mls_fail(err, MLS_E_ARG,
                        "--memory: \"%s\": a list of GiB has no unit; did you mean "
                        "%.*s?",
                        r->memory, (int)strcspn(r->memory, "gG"), r->memory);
    if ((st = mls_size_list("--memory", r->memory, 1, 1 << 20, &list, &n, err)))
        return st;
    for (size_t i = 0; i < n && !st; i++) {
        char name[32];

        snprintf(name, sizeof name, "%zu GiB", list[i]);
        st = add_device(r, name, GIB * (double)list[i], bandwidth, err);
    }
    free(list);
    return st;
}

static bool has_weights(const char *folder)
{
    static const char *const names[] = {"model.safetensors",
                                        "model.safetensors.index.json"};
    bool found = false;

    for (size_t i = 0; i < 2 && !found; i++) {
        char *path = mls_path_join(folder, names[i]);

        found = path && mls_file_exists(path);
        free(path);
    }
    return found;
}

/* Bytes of the model's weights: as told, as stored, or as config.json implies. */
static mls_status all_weights(request *r, const mls_config *config, const char *model,
                              mls_err *err)
{
    double parameters, read;

    if (!isnan(r->weights)) {
        r->sweep.weight_bytes = GIB * r->weights;
        return MLS_OK;
    }
    if (mls_gguf_is(model) || (mls_folder_exists(model) && has_weights(model))) {
        mls_checkpoint *c;
        const mls_status st = mls_checkpoint_open(&c, model, err);

        if (st)
            return st;
        r->sweep.weight_bytes = (double)mls_checkpoint_bytes(c);
        const bool stored = mls_checkpoint_tensors(c) > 0; /* not metadata alone */

        mls_checkpoint_close(c);
        if (stored)
            return MLS_OK;
    }
    if (!mls_size_parameters(config, &parameters, &read))
        return mls_fail(err, MLS_E_INPUT,
                        "%s: the size of the weights does not follow from this config "
                        "(%s); give --weights GIB, or --weights 0 for the cache alone",
                        model, config->model_type);
    r->sweep.weight_bytes =
        parameters * (strcmp(config->dtype, "float32") == 0 ? 4 : 2);
    return MLS_OK;
}

/*
 * The weights, and what of them a decode step reads; unknown where there are experts.
 */
static mls_status find_weights(request *r, const mls_config *config, const char *model,
                               mls_err *err)
{
    mls_size_sweep *s = &r->sweep;
    const mls_status st = all_weights(r, config, model, err);
    double parameters, read;

    s->active_bytes = (double)NAN;
    if (!isnan(r->active))
        s->active_bytes = GIB * r->active;
    else if (s->weight_bytes == 0)
        s->active_bytes = 0;
    else if (mls_size_parameters(config, &parameters, &read))
        s->active_bytes = s->weight_bytes * (read / parameters);
    return st;
}

/* What every row has in common, above the table. */
static void describe(mls_table *t, const request *r, const mls_config *config,
                     const char *model)
{
    const mls_size_sweep *s = &r->sweep;
    char text[256], shape[192];

    mls_table_meta(t, "model", model);
    mls_table_meta(t, "attention", mls_size_describe(config, shape, sizeof shape));
    if (config->doubt[0])
        mls_table_meta(t, "at most", config->doubt);
    else if (!mls_class_find(mls_family_like(config->model_type))) {
        snprintf(text, sizeof text,
                 "model_type \"%s\" is in no list; counted from its keys, all of which "
                 "are understood",
                 config->model_type);
        mls_table_meta(t, "family", text);
    }
    snprintf(text, sizeof text,
             "T = %s, batch %s, pages of %s tokens, %s GPU%s, %s bits", r->tokens,
             r->batch, r->block, r->tp, strcmp(r->tp, "1") ? "s" : "", r->dtype_bits);
    mls_table_meta(t, "use", text);
    if (!s->n_devices)
        return;
    if (config->max_position) {
        snprintf(text, sizeof text, "%zu positions; contexts below count memory alone",
                 config->max_position);
        mls_table_meta(t, "trained for", text);
    }
    snprintf(text, sizeof text, "%.3f GiB, divided by the GPUs", s->weight_bytes / GIB);
    mls_table_meta(t, "weights", text);
    for (size_t i = 0; i < s->n_devices; i++) {
        int at = snprintf(text, sizeof text, "%s", s->device[i].name);

        if (r->gpu)
            at += snprintf(text + at, sizeof text - (size_t)at, ", %.0f GiB",
                           s->device[i].memory / GIB);
        if (s->device[i].bandwidth > 0)
            snprintf(text + at, sizeof text - (size_t)at, ", %.0f GB/s",
                     s->device[i].bandwidth / 1e9);
        mls_table_meta(t, "device", text);
    }
}

/* Without weights there is no picture of contexts. */
static mls_status draw(request *r, const mls_config *config, const char *model,
                       mls_err *err)
{
    if (!r->sweep.n_devices && all_weights(r, config, model, NULL))
        r->sweep.weight_bytes = (double)NAN;
    return mls_size_plots(r->plots, true, config, &r->sweep, err);
}

static mls_status check_parallel(const mls_size_sweep *s, const mls_config *config,
                                 mls_err *err)
{
    mls_status st = MLS_OK;

    for (size_t i = 0; !st && i < s->tensor_parallel.n; i++)
        st = mls_size_parallel(config, s->tensor_parallel.item[i], err);
    return st;
}

/* The engine's own layout, for the first of each list. */
static mls_status run_engine(request *r, const mls_config *config, const char *model,
                             mls_err *err)
{
    const mls_size_sweep *s = &r->sweep;
    mls_engine_request e = {.use = {.tokens = s->tokens.item[0],
                                    .batch = s->batch.item[0],
                                    .tensor_parallel = s->tensor_parallel.item[0],
                                    .context_parallel = r->dcp,
                                    .dp_attention = r->dp_attention},
                            .setting = s->setting,
                            .n = s->n_settings,
                            .skip_refused = s->skip_refused,
                            .weight_bytes = s->weight_bytes,
                            .memory = s->n_devices ? s->device[0].memory : 0};
    mls_engines all = {0};
    mls_table *t = NULL;
    char *path = NULL;
    mls_status st = mls_tool_data(&path, "datasets/serving/engines.csv", err);

    if (!st && e.use.tensor_parallel % r->dcp != 0)
        st = mls_fail(err, MLS_E_ARG, "--dcp %zu does not divide the %zu GPUs of --tp",
                      r->dcp, e.use.tensor_parallel);
    if (!st)
        st = mls_engines_read(&all, path, err);
    if (!st)
        st = mls_engines_find(&e.engine, &all, r->engine, r->cache_dtype, err);
    if (!st)
        st = mls_engine_table(&t, config, &e, err);
    if (!st) {
        char shape[128];

        mls_table_meta(t, "model", model);
        mls_table_meta(t, "attention", mls_size_describe(config, shape, sizeof shape));
        if (s->n_devices)
            mls_table_meta(t, "device", s->device[0].name);
        st = mls_tool_print(t, r->format, r->output, err);
    }
    mls_table_free(t);
    mls_engines_free(&all);
    free(path);
    return st;
}

static mls_status run_request(request *r, const char *model, mls_err *err)
{
    const bool people = r->format == MLS_FORMAT_TABLE || r->format == MLS_FORMAT_MD ||
                        r->format == MLS_FORMAT_HTML;
    mls_size_sweep *s = &r->sweep;
    mls_table *t = NULL;
    mls_config config;
    mls_status st;

    if ((st = read_lists(r, err)) || (st = read_devices(r, err)) ||
        (st = mls_tool_config(&config, model, err)) ||
        (st = check_parallel(s, &config, err)) ||
        (st = read_settings(r, &config, err)) ||
        (s->n_devices && (st = find_weights(r, &config, model, err))))
        return st;
    if (r->engine)
        return run_engine(r, &config, model, err);
    if ((double)s->n_settings * (double)s->tokens.n * (double)s->batch.n *
            (double)s->block.n * (double)s->tensor_parallel.n *
            (double)s->dtype_bits.n * (double)(s->n_devices ? s->n_devices : 1) >
        SWEEP_ROWS_MAX)
        return mls_fail(err, MLS_E_ARG, "the sweep has more than %d rows",
                        SWEEP_ROWS_MAX);
    s->formula = r->formula;
    if ((st = mls_size_table(&t, &config, s, people, err)))
        return st;
    describe(t, r, &config, model);
    st = mls_tool_print(t, r->format, r->output, err);
    mls_table_free(t);
    if (!st && r->plots)
        st = draw(r, &config, model, err);
    if (!st && r->plots)
        mls_tool_pictures(r->plots);
    /* Every figure is out; the exit status says that nobody stands for it. */
    if (!st && config.doubt[0])
        st = mls_fail(err, MLS_E_INPUT, "%s: the cache is at most what is shown: %s",
                      model, config.doubt);
    return st;
}

static int run(int argc, char **argv)
{
    request r = {.tokens = "4096",
                 .batch = "1",
                 .block = "16",
                 .tp = "1",
                 .dtype_bits = "16",
                 .output = "-",
                 .cache_dtype = "auto",
                 .dcp = 1,
                 .bandwidth = (double)NAN,
                 .weights = (double)NAN,
                 .active = (double)NAN};
    const mls_option options[] = {
        {"--setting", 's', MLS_OPT_LIST, &r.settings, 0, 0},
        {"--tokens", 'T', MLS_OPT_TEXT, &r.tokens, 0, 0},
        {"--batch", 'b', MLS_OPT_TEXT, &r.batch, 0, 0},
        {"--block", 0, MLS_OPT_TEXT, &r.block, 0, 0},
        {"--tp", 0, MLS_OPT_TEXT, &r.tp, 0, 0},
        {"--dtype-bits", 0, MLS_OPT_TEXT, &r.dtype_bits, 0, 0},
        {"--engine", 0, MLS_OPT_TEXT, &r.engine, 0, 0},
        {"--cache-dtype", 0, MLS_OPT_TEXT, &r.cache_dtype, 0, 0},
        {"--dcp", 0, MLS_OPT_SIZE, &r.dcp, 1, 1 << 16},
        {"--dp-attention", 0, MLS_OPT_FLAG, &r.dp_attention, 0, 0},
        {"--gpu", 0, MLS_OPT_TEXT, &r.gpu, 0, 0},
        {"--memory", 0, MLS_OPT_TEXT, &r.memory, 0, 0},
        {"--bandwidth", 0, MLS_OPT_REAL, &r.bandwidth, 1e-3, 1e9},
        {"--weights", 0, MLS_OPT_REAL, &r.weights, 0, 1e9},
        {"--active", 0, MLS_OPT_REAL, &r.active, 0, 1e9},
        {"--formula", 0, MLS_OPT_FLAG, &r.formula, 0, 0},
        {"--plots", 0, MLS_OPT_TEXT, &r.plots, 0, 0},
        MLS_TABLE_OPTIONS(r),
        {0},
    };
    const char *model;
    size_t n;
    int status;
    mls_err err = {0};

    if (!mls_options_parse(&cmd_size, argc, argv, options, &model, 1, 1, &n, &status))
        return status;
    const size_t known = r.plots ? mls_folder_known(r.plots) : 0;
    if ((!r.plots || (!mls_plot_check(&err) && !mls_folder_prepare(r.plots, &err))) &&
        run_request(&r, model, &err) && r.plots)
        mls_folder_undo(r.plots, known);
    for (size_t i = 0; i < sizeof r.list / sizeof r.list[0]; i++)
        free(r.list[i]);
    free(r.setting);
    return mls_exit_status(&err);
}

MLS_COMMAND(size, "analysis",
            "bytes of the cache for any setting, from config.json alone");
