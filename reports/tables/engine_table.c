/*
 * Every GPU holds a latent whole, while heads are divided: a converted model may take
 * more of each of eight GPUs than the original, which is what "kept per GPU" shows and
 * a warning says. Weights change by the parameters that the forms have more or less
 * than the model's attention.
 */
#include "reports/tables/engine_table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/frame/scheme.h"

#define GIB 1073741824.0

enum { LINE = 512 };

/* What is needed while the rows are written. */
typedef struct {
    mls_table *t;
    const mls_config *config;
    const mls_engine_request *r;
    mls_cache_layout *layout;
    double own_token;      /* of the unconverted model on one GPU */
    double own_parameters; /* of its attention */
    size_t grown;          /* settings that take more of a GPU than that */
} writer;

/* Parameters of the attention blocks in this form. */
static double attention(const mls_cache_layout *layout)
{
    double sum = 0;

    for (size_t l = 0; l < layout->L; l++)
        sum += (double)layout->layer[l].parameters;
    return sum;
}

static void add_columns(mls_table *t, bool memory)
{
    MLS_COLUMNS(t, {"setting", "setting", "", 0}, {"served_by", "served by", "", 0},
                {"row_bytes", "layout", "B/token/layer", 1},
                {"gpu_bytes_per_token", "per GPU", "B/token", 1},
                {"gpu_kept_percent", "kept per GPU", "%", 2},
                {"gpu_cache", "cache per GPU", "GiB", 3});
    if (!memory)
        return;
    MLS_COLUMNS(t, {"gpu_weights", "weights per GPU", "GiB", 2},
                {"fits", "fits", "", 0}, {"left", "left", "GiB", 2});
}

static void put_fit(writer *w, mls_serve serve, double cache)
{
    const double parameters = attention(w->layout) + mls_serve_head(serve, w->config);
    const double gpus = (double)w->r->use.tensor_parallel;
    const double weights =
        (w->r->weight_bytes + 2 * (parameters - w->own_parameters)) / gpus;
    const double usable = mls_engine_usable(w->r->engine, w->r->memory, weights);

    mls_table_cells(w->t, "%g %s %g", weights / GIB,
                    weights + cache <= usable ? "yes" : "no",
                    (usable - weights - cache) / GIB);
}

static mls_status put_setting(writer *w, const mls_setting *s, mls_err *err)
{
    const mls_engine_request *r = w->r;
    char text[LINE], note[2 * LINE];
    mls_err why = {0};
    mls_serve serve;
    mls_status st = mls_method_layout(w->layout, w->config, s, &why);

    mls_setting_text(s, text, sizeof text);
    if (st == MLS_E_INPUT && r->skip_refused)
        return MLS_OK;
    if (st)
        return mls_fail(err, st, "setting \"%.300s\": %s", text, why.text);
    st = mls_setting_serve(&serve, s, w->config, w->layout, err);
    if (st)
        return st;

    const double token = mls_engine_tokens(r->engine, w->layout, w->config, &r->use);
    const double cache = mls_engine_cache(r->engine, w->layout, w->config, &r->use);
    const bool served =
        !isnan(token) && (serve == MLS_SERVE_MLA || serve == MLS_SERVE_CACHE);

    mls_table_row(w->t);
    mls_table_cells(w->t, "%s %s", text, mls_serve_name(serve));
    if (!served) {
        snprintf(note, sizeof note, "%s: %s has no code for this form (%s)", text,
                 r->engine->name, mls_serve_name(serve));
        mls_table_note(w->t, note);
        for (int i = 0; i < 4; i++)
            mls_table_empty(w->t);
        if (r->memory > 0)
            mls_table_cells(w->t, "- %s -", "not served");
        return MLS_OK;
    }
    mls_table_cells(w->t, "%g %g %g %g",
                    mls_engine_token(r->engine, &w->layout->layer[0],
                                     &w->config->layer[0], &r->use),
                    token, 100 * token / w->own_token, cache / GIB);
    if (r->memory > 0)
        put_fit(w, serve, cache);
    w->grown += token > w->own_token;
    return MLS_OK;
}

static void add_notes(const writer *w)
{
    const mls_engine_request *r = w->r;
    char note[LINE];

    if (w->grown) {
        snprintf(note, sizeof note,
                 "WARNING: %zu setting%s take%s more of each GPU than the unconverted "
                 "model: %zu GPUs divide its KV heads, and every GPU holds the whole "
                 "latent; --dcp N divides its tokens, --dp-attention the sequences",
                 w->grown, w->grown == 1 ? "" : "s", w->grown == 1 ? "s" : "",
                 r->use.tensor_parallel);
        mls_table_note(w->t, note);
    }
    snprintf(note, sizeof note,
             "%s, cache type %s: pages of %.0f tokens%s; layout checked %s: %.250s",
             r->engine->name, r->engine->cache, r->engine->page,
             r->engine->windows_full ? ", whole contexts for sliding windows" : "",
             r->engine->checked, r->engine->source);
    mls_table_note(w->t, note);
    snprintf(note, sizeof note,
             "%zu sequence%s of %zu tokens on %zu GPU%s%s; kept: of the unconverted "
             "model's cache on one GPU under the same engine",
             r->use.batch, r->use.batch == 1 ? "" : "s", r->use.tokens,
             r->use.tensor_parallel, r->use.tensor_parallel == 1 ? "" : "s",
             r->use.dp_attention ? ", attention data-parallel" : "");
    mls_table_note(w->t, note);
    if (r->memory <= 0)
        return;
    snprintf(note, sizeof note,
             "fits: weights of the converted model and cache within %.0f %% of %s",
             100 * r->engine->reserve,
             r->engine->reserve_of_free ? "what the weights leave"
                                        : "the GPU's memory");
    mls_table_note(w->t, note);
}

/* The unconverted model as this engine holds it. */
static mls_status measure_own(writer *w, mls_err *err)
{
    mls_setting own;
    mls_engine_use use = w->r->use;
    mls_status st = mls_setting_parse(&own, "baseline", err);

    use.context_parallel = w->config->mla_kv_lora_rank ? use.context_parallel : 1;
    if (!st)
        st = mls_method_layout(w->layout, w->config, &own, err);
    if (st)
        return st;
    w->own_token = mls_engine_tokens(w->r->engine, w->layout, w->config, &use);
    w->own_parameters = attention(w->layout);
    return MLS_OK;
}

mls_status mls_engine_table(mls_table **out, const mls_config *config,
                            const mls_engine_request *r, mls_err *err)
{
    writer w = {.t = mls_table_new("Cache as the engine allocates it"),
                .config = config,
                .r = r,
                .layout = calloc(1, sizeof *w.layout)};
    mls_status st = w.t && w.layout
                        ? measure_own(&w, err)
                        : mls_fail(err, MLS_E_NOMEM, "no memory for a table of sizes");

    *out = NULL;
    if (!st)
        add_columns(w.t, r->memory > 0);
    for (size_t i = 0; !st && i < r->n; i++)
        st = put_setting(&w, &r->setting[i], err);
    if (!st)
        add_notes(&w);
    free(w.layout);
    if (st)
        mls_table_free(w.t);
    else
        *out = w.t;
    return st;
}
