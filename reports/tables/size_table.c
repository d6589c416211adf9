/*
 * A sweep is settings times lengths, batches, blocks and so on, a row each; figures
 * come from mls_size() alone and are never added up here.
 */
#include "reports/tables/size_table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/latent/size.h"
#include "bench/frame/scheme.h"
#include "common/base/buf.h"
#include "common/base/checked.h"
#include "common/base/words.h"

#define MIB 1048576.0

enum { LINE = 1024, QUANT_NAME = 64 };

/* What is needed while the rows are written. */
typedef struct {
    mls_table *t;
    const mls_config *config;
    const mls_size_sweep *sweep;
    bool people;
    mls_cache_layout *layout, *baseline; /* of the row's setting, of the model */
    mls_serve serve;                     /* of the row's setting */
    char formula[LINE];
} writer;

const char *mls_size_describe(const mls_config *config, char *out, size_t size)
{
    const size_t L = config->L;
    size_t kept = 0, sliding = 0, still = 0;
    int used;

    for (size_t l = 0; l < L; l++) {
        const mls_layer_shape *s = &config->layer[l];

        kept += mls_layer_numbers(s) > 0;
        sliding += mls_layer_numbers(s) > 0 && mls_layer_slides(s);
        still += s->conv_numbers || s->state_numbers;
    }
    if (kept == 0)
        used = snprintf(out, size, "no attention, %zu layer%s", L, mls_plural(L));
    else if (config->mla_kv_lora_rank)
        used =
            snprintf(out, size, "MLA, latent of %zu and rope key of %zu, %zu layer%s",
                     config->mla_kv_lora_rank, config->mla_rope_dim, L, mls_plural(L));
    else
        used = snprintf(out, size,
                        "%s, %zu KV head%s of %zu for %zu query head%s, %zu layer%s",
                        config->G == config->H ? "MHA"
                        : config->G == 1       ? "MQA"
                                               : "GQA",
                        config->G, mls_plural(config->G), config->D, config->H,
                        mls_plural(config->H), L, mls_plural(L));
    if (kept && kept < L && (size_t)used < size)
        used +=
            snprintf(out + used, size - (size_t)used, ", %zu of them with keys", kept);
    if (sliding && (size_t)used < size)
        used +=
            snprintf(out + used, size - (size_t)used, ", %zu with a window", sliding);
    if (still && (size_t)used < size)
        snprintf(out + used, size - (size_t)used, ", %zu with a state", still);
    return out;
}

/* --- Formulas with their numbers --- */

static const char *const kind_words[] = {
    [MLS_PART_KEY] = "keys",          [MLS_PART_VALUE] = "values",
    [MLS_PART_LATENT] = "latent",     [MLS_PART_KEY_LATENT] = "key latent",
    [MLS_PART_ROPE_KEY] = "rope key", [MLS_PART_KEY_SCALE] = "1/rms of keys",
};

static void write_extra(mls_buf *b, const mls_layer_extra *extra, const char *word)
{
    if (!extra->n)
        return;
    mls_buf_printf(b, " + %u (%s", extra->n, word);
    if (extra->ratio > 1)
        mls_buf_printf(b, " for %u tokens", extra->ratio);
    mls_buf_puts(b, ")");
}

/* "32 x 16 (rope key) + 2048 (latent, int4/64+128) = 2560" */
static void write_layer(mls_buf *b, const mls_cache_layer *layer)
{
    char quant[QUANT_NAME];

    if (layer->shares_other) {
        mls_buf_puts(b, "another layer's cache = 0");
        return;
    }
    if (layer->n_parts == 0)
        mls_buf_puts(b, "nothing for a token");
    for (size_t i = 0; i < layer->n_parts; i++) {
        const mls_cache_part *p = &layer->part[i];

        mls_buf_puts(b, i ? " + " : "");
        if (p->count > 1)
            mls_buf_printf(b, "%zu x ", p->count);
        mls_buf_printf(b, "%zu (%s", p->n, kind_words[p->kind]);
        if (p->quant.format)
            mls_buf_printf(b, ", %s", mls_quant_name(&p->quant, quant, sizeof quant));
        mls_buf_puts(b, ")");
    }
    write_extra(b, &layer->index, "index key");
    write_extra(b, &layer->compressed, "compressed tokens");
    mls_buf_printf(b, " = %zu", mls_cache_elements(layer));
    if (layer->conv_numbers || layer->state_numbers)
        mls_buf_printf(
            b, ", state of %llu numbers",
            (unsigned long long)(layer->conv_numbers + layer->state_numbers));
    if (layer->window)
        mls_buf_printf(b, ", window of %zu tokens", layer->window);
    if (layer->token_budget < 1)
        mls_buf_printf(b, ", %g of the tokens, at least %d", layer->token_budget,
                       MLS_BUDGET_SINKS + 1);
}

/* Like layers once, with how many there are. */
static void write_layers(mls_buf *out, const mls_cache_layout *layout)
{
    bool done[MLS_LAYERS_MAX] = {false};
    size_t groups = 0;

    for (size_t l = 0; l < layout->L; l++) {
        mls_buf one = {0}, other = {0};
        size_t times = 0;

        if (done[l])
            continue;
        write_layer(&one, &layout->layer[l]);
        for (size_t m = l; m < layout->L; m++) {
            other.len = 0;
            write_layer(&other, &layout->layer[m]);
            if (one.failed || other.failed || strcmp(one.data, other.data) != 0)
                continue;
            done[m] = true;
            times++;
        }
        mls_buf_printf(out, "%s%zu layer%s: %s", groups++ ? "; " : "", times,
                       times == 1 ? "" : "s", one.data ? one.data : "");
        mls_buf_free(&one);
        mls_buf_free(&other);
    }
}

static mls_status write_formula(writer *w, const mls_method *method,
                                const mls_size_result *r, const mls_size_result *base,
                                mls_err *err)
{
    mls_buf b = {0};

    mls_buf_printf(&b, "%s: ", method->formula);
    write_layers(&b, w->layout);
    mls_buf_printf(&b,
                   "; %.15g of the model's %.15g numbers per token, %.15g of its %.15g "
                   "bytes, kept %.5f %%",
                   r->elements_per_token, base->elements_per_token,
                   r->payload_bytes_per_token, base->payload_bytes_per_token,
                   100 * r->payload_bytes_per_token / base->payload_bytes_per_token);
    if (b.failed) {
        mls_buf_free(&b);
        return mls_fail(err, MLS_E_NOMEM, "no memory for a formula");
    }
    snprintf(w->formula, sizeof w->formula, "%s", b.data);
    mls_buf_free(&b);
    return MLS_OK;
}

/* --- Columns --- */

/* A swept option has a column for people; for machines there is always one. */
static bool shown(const writer *w, const mls_sizes *s)
{
    return !w->people || s->n > 1;
}

/* More than one copy of the cache is asked for somewhere. */
static bool has_copies(const mls_size_sweep *s)
{
    return s->batch.n > 1 || s->batch.item[0] > 1 || s->tensor_parallel.n > 1 ||
           s->tensor_parallel.item[0] > 1;
}

static bool asks_memory(const mls_size_sweep *s)
{
    return s->n_devices > 0 && s->device[0].memory > 0;
}

static bool asks_time(const mls_size_sweep *s)
{
    for (size_t i = 0; i < s->n_devices; i++)
        if (s->device[i].bandwidth > 0)
            return true;
    return false;
}

static void add_columns(const writer *w)
{
    const mls_size_sweep *s = w->sweep;
    mls_table *t = w->t;

    mls_table_column(t, "setting", "setting", "", 0);
    mls_table_column(t, "served_by", "served by", "", 0);
    if (shown(w, &s->tokens))
        mls_table_column(t, "tokens", "T", "", 0);
    if (shown(w, &s->batch))
        mls_table_column(t, "batch", "batch", "", 0);
    if (shown(w, &s->block))
        mls_table_column(t, "block", "block", "", 0);
    if (shown(w, &s->tensor_parallel))
        mls_table_column(t, "gpus", "GPUs", "", 0);
    if (shown(w, &s->dtype_bits))
        mls_table_column(t, "dtype_bits", "dtype", "bits", 0);
    MLS_COLUMNS(t, {"rope_chunks", "RoPE chunks", "", 0}, {"rope_dims", "dims", "", 0},
                {"elements_per_token_layer", "numbers", "/token/layer", 1},
                {"payload_bytes_per_token", "payload", "B/token", 1},
                {"payload_kept_percent", "payload kept", "%", 5},
                {"payload_reduction_percent", "payload reduction", "%", 5},
                {"bytes_per_token", "cache", "B/token", 1},
                {"kept_percent", "kept", "%", 5},
                {"reduction_percent", "reduction", "%", 5});
    if (!w->people || mls_size_has_fixed(w->config)) {
        mls_table_column(t, "growing_bytes_per_token", "grows", "B/token", 1);
        mls_table_column(t, "fixed_bytes", "fixed", "B", 0);
    }
    if (w->people) {
        mls_table_column(t, "sequence", "sequence", "MiB", 2);
        if (has_copies(s)) {
            MLS_COLUMNS(t, {"batch_total", "all", "MiB", 2},
                        {"gpu", "per GPU", "MiB", 2},
                        {"gpu_kept_percent", "kept per GPU", "%", 2});
        }
    } else {
        MLS_COLUMNS(t, {"payload_part", "codes", "B/token", 1},
                    {"metadata_part", "metadata", "B/token", 1},
                    {"window_part", "window", "B/token", 1},
                    {"key_part", "keys", "B/token", 1},
                    {"value_part", "values", "B/token", 1},
                    {"latent_part", "latents", "B/token", 1},
                    {"rope_key_part", "rope keys", "B/token", 1},
                    {"other_part", "others", "B/token", 1},
                    {"state_part", "states", "B/token", 1},
                    {"sequence_bytes", "sequence", "B", 0},
                    {"batch_bytes", "all", "B", 0}, {"gpu_bytes", "per GPU", "B", 0},
                    {"gpu_kept_percent", "kept per GPU", "%", 2},
                    {"constant_bytes", "constants", "B", 0}, {"bound", "bound", "", 0});
    }
    if (s->n_devices > 1 || (s->n_devices && !w->people))
        mls_table_column(t, "device", "device", "", 0);
    if (asks_memory(s)) {
        mls_table_column(t, "max_tokens", "max context", "tokens", 0);
        mls_table_column(t, "max_batch", "max batch", "", 0);
    }
    if (asks_time(s)) {
        MLS_COLUMNS(t, {"cache_read_ms", "cache read", "ms", 3},
                    {"step_ms", "decode step", "ms", 3},
                    {"tokens_per_second", "at most", "tokens/s", 1});
    }
    if (s->formula && !w->people)
        mls_table_column(t, "formula", "formula", "", 0);
}

/* --- Cells --- */

/* Whole numbers without decimals. */
static void put_number(mls_table *t, double x)
{
    if (x == floor(x) && fabs(x) < 9e15)
        mls_table_count(t, (long long)x);
    else
        mls_table_real(t, x);
}

static void put_limit(const writer *w, size_t n)
{
    if (n < MLS_SIZE_UNLIMITED)
        mls_table_count(w->t, (long long)n);
    else if (w->people)
        mls_table_text(w->t, "any");
    else
        mls_table_empty(w->t);
}

static void put_device(const writer *w, const mls_size_request *request,
                       const mls_size_device *device)
{
    const mls_size_sweep *s = w->sweep;
    const double gpus = (double)request->tensor_parallel;
    const double weights = s->weight_bytes / gpus;
    mls_size_request unpaged = *request;
    mls_size_result read;

    if (s->n_devices > 1 || (s->n_devices && !w->people))
        mls_table_text(w->t, device->name);
    if (asks_memory(s)) {
        put_limit(w, mls_size_max_tokens(w->layout, request, weights, device->memory));
        put_limit(w, mls_size_max_batch(w->layout, request, weights, device->memory));
    }
    if (!asks_time(s))
        return;
    if (device->bandwidth <= 0) {
        for (int i = 0; i < 3; i++)
            mls_table_empty(w->t);
        return;
    }
    unpaged.block = 1; /* padding is not read */
    mls_size(&read, w->layout, &unpaged);
    const double step = (read.gpu_bytes + s->active_bytes / gpus) / device->bandwidth;
    mls_table_cells(w->t, "%g %g %g", 1e3 * read.gpu_bytes / device->bandwidth,
                    1e3 * step, (double)request->batch / step);
}

/* Dims of a key that carry its rotation. */
static size_t rope_dims(const writer *w, const mls_method *method)
{
    for (size_t l = 0; l < w->layout->L; l++)
        for (size_t i = 0; i < w->layout->layer[l].n_parts; i++)
            if (w->layout->layer[l].part[i].kind == MLS_PART_ROPE_KEY)
                return w->layout->layer[l].part[i].n;
    return method->full_rope ? w->config->D : 0;
}

static void put_bytes(const writer *w, const mls_size_result *r,
                      const mls_size_result *base)
{
    const double paper =
        base->payload_bytes_per_token > 0
            ? r->payload_bytes_per_token / base->payload_bytes_per_token
            : 1;
    const double kept = r->bytes_per_token / base->bytes_per_token;
    mls_table *t = w->t;

    put_number(t, r->elements_per_token / (double)w->layout->L);
    put_number(t, r->payload_bytes_per_token);
    mls_table_cells(t, "%g %g", 100 * paper, 100 * (1 - paper));
    put_number(t, r->bytes_per_token);
    mls_table_cells(t, "%g %g", 100 * kept, 100 * (1 - kept));
    if (!w->people || mls_size_has_fixed(w->config)) {
        put_number(t, r->growing_bytes_per_token);
        put_number(t, round(r->fixed_bytes));
    }
    if (w->people) {
        mls_table_real(t, r->sequence_bytes / MIB);
        if (has_copies(w->sweep)) {
            mls_table_cells(t, "%g %g %g", r->batch_bytes / MIB, r->gpu_bytes / MIB,
                            100 * r->gpu_bytes / base->gpu_bytes);
        }
        return;
    }
    put_number(t, r->payload);
    put_number(t, r->metadata);
    put_number(t, r->window);
    put_number(t, r->key);
    put_number(t, r->value);
    put_number(t, r->latent);
    put_number(t, r->rope_key);
    put_number(t, r->other);
    put_number(t, r->state);
    put_number(t, r->sequence_bytes);
    put_number(t, r->batch_bytes);
    put_number(t, r->gpu_bytes);
    mls_table_real(t, 100 * r->gpu_bytes / base->gpu_bytes);
    put_number(t, r->constant_bytes);
    mls_table_text(t, w->config->doubt[0] ? "at most" : "exact");
}

/* A latent is on every GPU, where heads are divided. */
static void note_growth(const writer *w, const char *setting,
                        const mls_size_request *request, double times)
{
    char note[LINE + 160];

    snprintf(note, sizeof note,
             "WARNING: %s takes %.0f %% of what the unconverted model takes on each of "
             "%zu GPUs",
             setting, 100 * times, request->tensor_parallel);
    mls_table_note(w->t, note);
}

static void put_row(writer *w, const char *setting, const mls_method *method,
                    const mls_size_request *request, const mls_size_device *device)
{
    const mls_size_sweep *s = w->sweep;
    const size_t dims = rope_dims(w, method);
    mls_size_result r, base;
    mls_table *t = w->t;

    mls_size(&r, w->layout, request);
    mls_size(&base, w->baseline, request);
    if (r.gpu_bytes > base.gpu_bytes)
        note_growth(w, setting, request, r.gpu_bytes / base.gpu_bytes);
    mls_table_line(t, "%s %s", setting, mls_serve_name(w->serve));
    if (shown(w, &s->tokens))
        mls_table_count(t, (long long)request->tokens);
    if (shown(w, &s->batch))
        mls_table_count(t, (long long)request->batch);
    if (shown(w, &s->block))
        mls_table_count(t, (long long)request->block);
    if (shown(w, &s->tensor_parallel))
        mls_table_count(t, (long long)request->tensor_parallel);
    if (shown(w, &s->dtype_bits))
        mls_table_count(t, (long long)request->dtype_bits);
    mls_table_cells(t, "%zu %zu", dims / 2, dims);
    put_bytes(w, &r, &base);
    if (device)
        put_device(w, request, device);
    if (s->formula && !w->people)
        mls_table_text(t, w->formula);
}

/* --- Sweeps --- */

static void put_rows(writer *w, const char *setting, const mls_method *method)
{
    const mls_size_sweep *s = w->sweep;
    const size_t devices = s->n_devices ? s->n_devices : 1;
    const size_t n = s->tokens.n * s->batch.n * s->block.n * s->tensor_parallel.n *
                     s->dtype_bits.n * devices;

    for (size_t i = 0; i < n; i++) { /* the device is fastest */
        size_t rest = i / devices;
        mls_size_request request;

        request.dtype_bits = s->dtype_bits.item[rest % s->dtype_bits.n];
        rest /= s->dtype_bits.n;
        request.tensor_parallel = s->tensor_parallel.item[rest % s->tensor_parallel.n];
        rest /= s->tensor_parallel.n;
        request.block = s->block.item[rest % s->block.n];
        rest /= s->block.n;
        request.batch = s->batch.item[rest % s->batch.n];
        request.tokens = s->tokens.item[rest / s->batch.n];
        put_row(w, setting, method, &request,
                s->n_devices ? &s->device[i % devices] : NULL);
    }
}

static void put_skipped(writer *w, const char *setting, const mls_err *why)
{
    char note[2 * LINE + 32];

    snprintf(note, sizeof note, "left out: %s (%s)", setting, why->text);
    mls_table_note(w->t, note);
}

static mls_status put_setting(writer *w, const mls_setting *s, mls_err *err)
{
    static const mls_size_request once = {1, 1, 1, 1, 16};
    char text[LINE], note[2 * LINE + 8];
    const mls_method *method;
    mls_size_result r, base;
    mls_err why = {0};
    mls_status st = mls_method_layout(w->layout, w->config, s, &why);

    mls_setting_text(s, text, sizeof text);
    if (st == MLS_E_INPUT && w->sweep->skip_refused) {
        put_skipped(w, text, &why);
        return MLS_OK;
    }
    if (st)
        return mls_fail(err, st, "setting \"%.300s\": %s", text, why.text);
    if ((st = mls_method_find(&method, s->method, err)) ||
        (st = mls_setting_serve(&w->serve, s, w->config, w->layout, err)))
        return st;
    mls_size(&r, w->layout, &once);
    mls_size(&base, w->baseline, &once);
    if (w->sweep->formula && (st = write_formula(w, method, &r, &base, err)))
        return st;
    put_rows(w, text, method);
    if (w->sweep->formula && w->people) {
        snprintf(note, sizeof note, "%s: %s", text, w->formula);
        mls_table_note(w->t, note);
    }
    return MLS_OK;
}

/* What the kept fractions are fractions of. */
static void put_baseline(const writer *w)
{
    char text[LINE], shape[192];

    snprintf(
        text, sizeof text,
        "kept: of this model's own cache (%s) at the same context and number width",
        mls_size_describe(w->config, shape, sizeof shape));
    if (w->people)
        mls_table_note(w->t, text);
    else
        mls_table_meta(w->t, "baseline", text);
}

/* What figures leave open: the first for everybody, the second for hybrids. */
static void put_doubts(const writer *w)
{
    static const mls_size_request once = {1, 1, 1, 1, 16};
    mls_size_result r;
    char text[LINE];

    if (w->config->doubt[0]) {
        snprintf(text, sizeof text, "figures are at most: %s", w->config->doubt);
        if (w->people)
            mls_table_note(w->t, text);
        else
            mls_table_meta(w->t, "doubt", text);
    }
    mls_size(&r, w->baseline, &once);
    if (r.recurrent_bytes <= 0 || !w->people)
        return;
    snprintf(
        text, sizeof text,
        "states: %.0f B of a sequence, counted at the number width; a runtime that "
        "keeps the recurrent part in 32 bits instead of 16 needs %.0f B more",
        r.state_bytes, r.recurrent_bytes);
    mls_table_note(w->t, text);
}

mls_status mls_size_table(mls_table **out, const mls_config *config,
                          const mls_size_sweep *sweep, bool people, mls_err *err)
{
    writer w = {.config = config, .sweep = sweep, .people = people};
    mls_status st = MLS_OK;

    *out = NULL;
    w.t = mls_table_new("Cache size");
    w.layout = malloc(sizeof *w.layout);
    w.baseline = malloc(sizeof *w.baseline);
    if (!w.t || !w.layout || !w.baseline) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for a table of sizes");
        goto done;
    }
    mls_size_baseline(w.baseline, config);
    add_columns(&w);
    put_baseline(&w);
    put_doubts(&w);
    for (size_t i = 0; i < sweep->n_settings && !st; i++)
        st = put_setting(&w, &sweep->setting[i], err);

done:
    mls_free_all(w.layout, w.baseline);
    if (st)
        mls_table_free(w.t);
    else
        *out = w.t;
    return st;
}
