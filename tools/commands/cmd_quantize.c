/* mlascope quantize: the error of cache quantizers on captured keys and values. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/survey/quant_survey.h"
#include "common/base/words.h"
#include "common/system/files.h"
#include "tools/base/options.h"
#include "tools/commands/help.h"

extern const mls_command cmd_quantize;

typedef struct {
    mls_texts lists;
    const char *output;
    size_t tokens, queries, threads;
    bool before, after, layers, channels, formats;
    mls_format format;

    mls_quant *quant;
    size_t n;
    char left_out[1024]; /* typical ones that the head dimension cannot take */
} request;

static mls_status append_list(request *r, const char *text, mls_err *err)
{
    mls_quant *more, *all;
    size_t n;
    const mls_status st = mls_quant_list(text, &more, &n, err);

    if (st)
        return st;
    all = realloc(r->quant, (r->n + n) * sizeof *all);
    if (!all) {
        free(more);
        return mls_fail(err, MLS_E_NOMEM, "no memory for a list of quantizers");
    }
    memcpy(all + r->n, more, n * sizeof *all);
    free(more);
    r->quant = all;
    r->n += n;
    return MLS_OK;
}

/*
 * Those named must fit; of a general choice those that do not are left out, and named.
 */
static mls_status choose(request *r, size_t D, mls_err *err)
{
    mls_status st = MLS_OK;
    bool general = r->lists.n == 0;
    size_t kept = 0;

    for (size_t i = 0; !st && r->lists.n == 0 && mls_quant_typical[i]; i++)
        st = append_list(r, mls_quant_typical[i], err);
    for (size_t i = 0; !st && i < r->lists.n; i++) {
        general |= strcmp(r->lists.item[i], "all") == 0;
        st = append_list(r, r->lists.item[i], err);
    }
    for (size_t i = 0; !st && i < r->n; i++) {
        mls_err why = {0};
        const size_t used = strlen(r->left_out);
        char name[MLS_QUANT_NAME];

        if (mls_quant_fits(&r->quant[i], D, general ? &why : err) == MLS_OK)
            r->quant[kept++] = r->quant[i];
        else if (!general)
            st = MLS_E_INPUT;
        else
            snprintf(r->left_out + used, sizeof r->left_out - used, "%s%s",
                     used ? ", " : "", mls_quant_name(&r->quant[i], name, sizeof name));
    }
    if (!st)
        r->n = kept;
    return st;
}

/* Bits of keys and values per number, without what is stored once. */
static double mean_bits(const mls_quant *q, bool is_key, size_t D, size_t T)
{
    const mls_quant_cost c = mls_quant_bits(q, is_key, D, T);

    return (c.payload + c.metadata + c.window) / ((double)D * (double)T);
}

static double decibels(double relative)
{
    return relative > 0.0 ? -10.0 * log10(relative) : (double)NAN;
}

static void name_columns(mls_table *t, const request *r, size_t T)
{
    char heading[32];

    mls_table_column(t, "quantizer", "quantizer", "", 0);
    if (r->layers)
        mls_table_column(t, "layer", "layer", "", 0);
    mls_table_column(t, "keys_quantized", "keys", "RoPE", 0);
    snprintf(heading, sizeof heading, "K at %zu", T);
    mls_table_column(t, "key_bits", heading, "bits", 3);
    snprintf(heading, sizeof heading, "V at %zu", T);
    mls_table_column(t, "value_bits", heading, "bits", 3);
    snprintf(heading, sizeof heading, "at %zu", r->tokens);
    MLS_COLUMNS(
        t, {"bits_at_tokens", heading, "bits", 3},
        {"constant_bytes", "once", "B/layer", 0},
        {"key_error_percent", "K error", "%", 3}, {"key_snr_db", "K SNR", "dB", 1},
        {"value_error_percent", "V error", "%", 3}, {"value_snr_db", "V SNR", "dB", 1},
        {"score_error_percent", "scores", "%", 2},
        {"score_error_nat", "scores", "nat", 4},
        {"output_error_key_percent", "output, K", "%", 3},
        {"output_error_value_percent", "output, V", "%", 3},
        {"output_error_percent", "output", "%", 3},
        {"output_error_half_percent", "±", "%", 3});
}

static mls_status add_row(mls_table *t, const request *r, const mls_quant_survey *s,
                          const mls_config *config, size_t T, size_t i,
                          mls_quant_stage stage, int layer, mls_err *err)
{
    const mls_quant *q = &r->quant[i];
    const size_t D = config->D;
    mls_quant_figures f;
    mls_status st = mls_quant_survey_figures(&f, s, i, stage, layer, err);
    char name[MLS_QUANT_NAME];

    if (st)
        return st;
    mls_table_line(t, "%s", mls_quant_name(q, name, sizeof name));
    if (r->layers && layer == MLS_ALL_LAYERS)
        mls_table_text(t, "all");
    else if (r->layers)
        mls_table_count(t, layer);
    mls_table_cells(
        t, "%s %g %g %g %g %g %g %g %g %g %g %g %g %g %g",
        stage == MLS_BEFORE_ROPE ? "before" : "after", mean_bits(q, true, D, T),
        mean_bits(q, false, D, T),
        0.5 * (mean_bits(q, true, D, r->tokens) + mean_bits(q, false, D, r->tokens)),
        (double)config->G / 8.0 *
            (mls_quant_bits(q, true, D, r->tokens).constant +
             mls_quant_bits(q, false, D, r->tokens).constant),
        100 * f.key.mean, decibels(f.key.mean), 100 * f.value.mean,
        decibels(f.value.mean), 100 * f.score.mean, f.score_nat.mean,
        100 * f.output_key.mean, 100 * f.output_value.mean, 100 * f.output.mean,
        100 * f.output.half);
    return MLS_OK;
}

static mls_status fill_errors(mls_table *t, const request *r, const mls_quant_survey *s,
                              const mls_config *config, size_t T, mls_err *err)
{
    mls_status st = MLS_OK;

    name_columns(t, r, T);
    for (size_t i = 0; !st && i < s->n; i++)
        for (int stage = 0; !st && stage < MLS_QUANT_STAGES; stage++) {
            if (r->before != r->after && r->before != (stage == MLS_BEFORE_ROPE))
                continue;
            for (int l = MLS_ALL_LAYERS; !st && l < (r->layers ? (int)s->L : 0); l++)
                st = add_row(t, r, s, config, T, i, (mls_quant_stage)stage, l, err);
        }
    mls_table_note(t, "K error, V error, output: squared error over squared norm; "
                      "scores: rms error over rms score, both about the mean over a "
                      "query's keys, which a softmax does not see");
    mls_table_note(t, "bits: codes, scales and the tokens kept in 16 bits; once: "
                      "codebooks and calibrated ranges of a layer");
    return st;
}

static void fill_channels(mls_table *t, const mls_quant_survey *s)
{
    static const char *const part[] = {"keys before RoPE", "keys after RoPE", "values"};

    MLS_COLUMNS(t, {"layer", "layer", "", 0}, {"part", "of", "", 0},
                {"range_ratio", "widest channel", "x median", 2},
                {"peak", "peak", "x rms", 2},
                {"peak_hadamard", "after Hadamard", "x rms", 2},
                {"hadamard_bits", "worth", "bits", 2},
                {"first_token", "first token", "x mean energy", 2});
    for (size_t l = 0; l < s->L; l++)
        for (size_t p = 0; p < MLS_QUANT_PARTS; p++) {
            mls_channel_stats mean = {0};

            for (size_t w = 0; w < s->W; w++) {
                const mls_channel_stats *c =
                    &s->channels[(l * s->W + w) * MLS_QUANT_PARTS + p];

                mean.range_ratio += c->range_ratio / (double)s->W;
                mean.peak += c->peak / (double)s->W;
                mean.peak_hadamard += c->peak_hadamard / (double)s->W;
                mean.first_token += c->first_token / (double)s->W;
            }
            mls_table_line(t, "%zu %s %g %g %g %g %g", l, part[p], mean.range_ratio,
                           mean.peak, mean.peak_hadamard,
                           log2(mean.peak / mean.peak_hadamard), mean.first_token);
        }
    mls_table_note(t, "means over heads and windows; peak: largest number of a token's "
                      "vector; worth: log2 of the peaks' ratio, about the bits that a "
                      "rotation saves a format with one scale per vector");
}

static mls_status print_formats(const request *r, mls_err *err)
{
    mls_table *t = mls_table_new("Cache quantizers");
    mls_status st;

    if (!t)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a table");
    mls_table_column(t, "format", "format", "", 0);
    mls_table_column(t, "description", "what it does", "", 0);
    for (const mls_quant_format *const *f = mls_quant_formats(); *f; f++) {
        char pattern[64];

        mls_table_line(t, "%s %s",
                       mls_quant_format_pattern(*f, pattern, sizeof pattern),
                       mls_quant_format_help(*f));
    }
    mls_table_note(t, "[h:]FORMAT[/GROUP][+WINDOW][@SINKS][#SEED]: h: rotates by "
                      "Hadamard; WINDOW newest and SINKS first tokens stay in 16 bits");
    st = mls_tool_print(t, r->format, r->output, err);
    mls_table_free(t);
    return st;
}

static mls_status print_survey(const request *r, const mls_quant_survey *s,
                               const mls_capture *capture, const char *path,
                               mls_err *err)
{
    const size_t T = mls_capture_window_length(capture);
    mls_table *t = mls_table_new(r->channels ? "Outliers of captured keys and values"
                                             : "Errors of cache quantizers");
    mls_status st = MLS_OK;

    if (!t)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a table");
    mls_table_meta(t, "capture", path);
    mls_table_meta(t, "model", mls_capture_model_sha256(capture));
    if (r->channels)
        fill_channels(t, s);
    else
        st = fill_errors(t, r, s, mls_capture_config(capture), T, err);
    mls_table_say(t, "%zu window%s of %zu tokens%s", s->W, mls_plural(s->W), T,
                  s->W > 1 && !r->channels ? ", intervals 95 % over windows" : "");
    if (r->left_out[0]) {
        mls_table_say(t, "left out, a head of %zu numbers does not fit: %s",
                      mls_capture_config(capture)->D, r->left_out);
    }
    if (!st)
        st = mls_tool_print(t, r->format, r->output, err);
    mls_table_free(t);
    return st;
}

static int run(int argc, char **argv)
{
    request r = {.output = "-", .tokens = 4096, .queries = 64};
    const mls_option options[] = {
        {"--quant", 'q', MLS_OPT_LIST, &r.lists, 0, 0},
        {"--pre-rope", 0, MLS_OPT_FLAG, &r.before, 0, 0},
        {"--post-rope", 0, MLS_OPT_FLAG, &r.after, 0, 0},
        {"--layers", 0, MLS_OPT_FLAG, &r.layers, 0, 0},
        {"--channels", 0, MLS_OPT_FLAG, &r.channels, 0, 0},
        {"--formats", 0, MLS_OPT_FLAG, &r.formats, 0, 0},
        {"--tokens", 'T', MLS_OPT_SIZE, &r.tokens, 1, 1 << 30},
        {"--queries", 0, MLS_OPT_SIZE, &r.queries, 1, 1 << 20},
        MLS_THREADS_OPTION(&r.threads),
        MLS_TABLE_OPTIONS(r),
        {0}};
    const char *path = NULL;
    size_t n_operands;
    int status;
    mls_err err = {0};
    mls_capture *capture = NULL;
    mls_pool *pool = NULL;
    mls_quant_survey survey = {0};

    if (!mls_options_parse(&cmd_quantize, argc, argv, options, &path, 0, 1, &n_operands,
                           &status))
        return status;
    if (r.formats) {
        print_formats(&r, &err);
        return mls_exit_status(&err);
    }
    if (n_operands == 0)
        return mls_usage_error(&cmd_quantize, "no capture file given");
    if (strcmp(r.output, "-") != 0 && mls_file_writable(r.output, &err))
        goto done;
    if (mls_capture_open(&capture, path, &err) ||
        (!r.channels && choose(&r, mls_capture_config(capture)->D, &err)) ||
        mls_pool_new(&pool, r.threads, &err))
        goto done;
    if (mls_quant_survey_run(&survey, capture, r.quant, r.n, r.queries, pool,
                             mls_tool_progress(), &err)) {
        mls_fail_in(&err, err.status, "%s", path);
        goto done;
    }
    print_survey(&r, &survey, capture, path, &err);

done:
    mls_quant_survey_free(&survey);
    mls_pool_free(pool);
    mls_capture_close(capture);
    free(r.quant);
    return mls_exit_status(&err);
}

MLS_COMMAND(quantize, "analysis",
            "errors and true bits of cache quantizers on captured keys and values");
