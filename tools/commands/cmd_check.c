/*
 * mlascope check: is a checkpoint complete and sane, and what does its attention cache.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "analysis/latent/size.h"
#include "analysis/model/rope.h"
#include "common/base/checked.h"
#include "common/base/words.h"
#include "common/numbers/finite.h"
#include "common/system/files.h"
#include "datasets/checkpoint/checkpoint.h"
#include "datasets/checkpoint/tensors.h"
#include "tools/base/command.h"
#include "tools/base/data.h"
#include "tools/base/options.h"
#include "tools/commands/help.h"

extern const mls_command cmd_check;

enum { PROBLEMS_SHOWN = 8 };

/* What is found, as rows "property, value". */
typedef struct report {
    mls_table *table;
    size_t problems;
    char first[512]; /* the first problem */
} report;

static mls_table *new_table(void)
{
    mls_table *t = mls_table_new(NULL);

    mls_table_column(t, "property", "property", "", 0);
    mls_table_column(t, "value", "value", "", 0);
    return t;
}

static void row_count(report *r, const char *property, uint64_t n)
{
    mls_table_row(r->table);
    mls_table_cells(r->table, "%s %zu", property, n);
}

__attribute__((format(printf, 3, 4))) static void
row_text(report *r, const char *property, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    mls_table_row(r->table);
    mls_table_cells(r->table, "%s %s", property, text);
}

__attribute__((format(printf, 2, 3))) static void problem(report *r, const char *format,
                                                          ...)
{
    char text[sizeof r->first];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (r->problems == 0)
        memcpy(r->first, text, sizeof text);
    if (r->problems++ < PROBLEMS_SHOWN)
        row_text(r, "problem", "%s", text);
}

/* ---- what the config says ---- */

/* Tokens per turn of a chunk. */
static double wavelength(double inv_freq)
{
    return 6.283185307179586476925 / inv_freq;
}

/* One RoPE of the model: that of its layers, or that of those with a window. */
static void report_rope(report *r, const mls_config *c, bool local)
{
    const mls_rope_config *rope = local ? &c->rope_local : &c->rope;
    const char *const name = local ? "local rope" : "rope";
    const char *const lengths = local ? "local wavelengths" : "wavelengths";
    const char *const slow = local ? "local slow chunks" : "slow chunks";
    const size_t D = c->mla_rope_dim ? c->mla_rope_dim : c->D;
    const size_t C = (rope->dims ? rope->dims : D) / 2;
    double inv_freq[MLS_DIM_MAX / 2];
    size_t longer = 0;

    switch (rope->type) {
    case MLS_ROPE_DEFAULT:
        row_text(r, name, "default, base %g", rope->theta);
        break;
    case MLS_ROPE_LINEAR:
        row_text(r, name, "linear, base %g, factor %g", rope->theta, rope->factor);
        break;
    case MLS_ROPE_LLAMA3:
        row_text(r, name,
                 "llama3, base %g, factor %g, band %g to %g turns in %.0f tokens",
                 rope->theta, rope->factor, rope->low_freq_factor,
                 rope->high_freq_factor, rope->original_max_position);
        break;
    case MLS_ROPE_DYNAMIC:
        row_text(r, name, "dynamic, base %g, factor %g beyond %.0f tokens", rope->theta,
                 rope->factor, rope->max_position);
        break;
    case MLS_ROPE_YARN:
        row_text(r, name,
                 "yarn, base %g, factor %g, ramp from %g to %g turns in %.0f tokens",
                 rope->theta, rope->factor, rope->beta_fast, rope->beta_slow,
                 rope->original_max_position);
        break;
    case MLS_ROPE_LONGROPE:
        row_text(r, name, "longrope, base %g, other factors beyond %.0f tokens",
                 rope->theta, rope->original_max_position);
        break;
    case MLS_ROPE_PROPORTIONAL:
        row_text(r, name, "proportional, base %g, %g of the chunks turn", rope->theta,
                 rope->partial);
        return;
    case MLS_ROPE_OTHER:
        row_text(r, name, "of a type that is not computed, base %g", rope->theta);
        return;
    }
    mls_rope_frequencies(inv_freq, rope, 2 * C);
    row_text(r, lengths, "%.4g to %.4g tokens", wavelength(inv_freq[0]),
             wavelength(inv_freq[C - 1]));
    for (size_t k = 0; k < C; k++)
        longer += wavelength(inv_freq[k]) > (double)c->max_position;
    if (c->max_position)
        row_text(r, slow, "%zu of %zu never turn once in %zu tokens", longer, C,
                 c->max_position);
}

static void report_cache(report *r, const mls_config *c)
{
    static mls_cache_layout layout; /* large for a stack */
    const mls_size_request request =
        mls_size_one(c->max_position ? c->max_position : 1);
    const size_t sliding = mls_layers_count(c->layer, c->L, mls_layer_slides);
    const size_t still = mls_layers_count(c->layer, c->L, mls_layer_is_still);
    mls_size_result size;
    size_t elements = 0, window = 0, states = 0, with_state = 0;

    mls_size_baseline(&layout, c);
    for (size_t l = 0; l < c->L; l++)
        elements += mls_cache_elements(&layout.layer[l]);
    for (size_t l = 0; l < c->L; l++)
        window = c->layer[l].window > window ? c->layer[l].window : window;
    for (size_t l = 0; l < c->L; l++) {
        const size_t n = layout.layer[l].conv_numbers + layout.layer[l].state_numbers;

        states += n;
        with_state += n > 0;
    }
    if (c->mla_kv_lora_rank)
        row_text(r, "attention",
                 "MLA: latent %zu and %zu RoPE dims shared by %zu heads",
                 c->mla_kv_lora_rank, c->mla_rope_dim, c->H);
    else
        row_text(r, "attention",
                 "%s: %zu query head%s, %zu KV head%s, head dim %zu, %zu chunk%s",
                 c->G == c->H ? "MHA"
                 : c->G == 1  ? "MQA"
                              : "GQA",
                 c->H, mls_plural(c->H), c->G, mls_plural(c->G), c->D, c->D / 2,
                 mls_plural(c->D / 2));
    if (sliding)
        row_text(r, "sliding window", "%zu tokens in %zu of %zu layers", window,
                 sliding, c->L);
    if (still)
        row_text(r, "layers without rope", "%zu of %zu", still, c->L);
    row_count(r,
              c->doubt[0] ? "16-bit cache bytes per token, at most"
                          : "16-bit cache bytes per token",
              2 * elements);
    if (c->doubt[0])
        row_text(r, "cache in doubt", "%s", c->doubt);
    if (states)
        row_text(r, "16-bit states of a sequence",
                 "%zu bytes that do not grow, in %zu "
                 "layers",
                 2 * states, with_state);
    if (c->max_position) {
        mls_size(&size, &layout, &request);
        row_text(r, "16-bit cache at full context", "%.0f bytes for %zu tokens",
                 size.sequence_bytes, c->max_position);
    }
}

/* Whose kernels read a latent of this size; without the table nothing is said. */
static void report_kernels(report *r, const mls_config *c)
{
    mls_kernels kernels = {0};
    mls_buf text = {0};

    if (c->mla_kv_lora_rank && !mls_tool_kernels(&kernels, NULL)) {
        mls_kernels_say(&text, &kernels, c->mla_kv_lora_rank, c->mla_rope_dim);
        row_text(r, "MLA kernels", "%s", text.data ? text.data : "");
    }
    mls_buf_free(&text);
    mls_kernels_free(&kernels);
}

static void report_config(report *r, const mls_config *c)
{
    row_text(r, "family", "%s%s%s%s", c->model_type, c->architecture[0] ? " (" : "",
             c->architecture, c->architecture[0] ? ")" : "");
    row_text(r, "shape", "%zu layer%s, hidden %zu, intermediate %zu, vocabulary %zu",
             c->L, mls_plural(c->L), c->E, c->F, c->V);
    report_cache(r, c);
    report_kernels(r, c);
    report_rope(r, c, false);
    if (!mls_layers_turn_alike(c))
        report_rope(r, c, true);
    row_text(r, "embeddings", "%s", c->tied_embeddings ? "tied" : "untied");
    row_text(r, "biases", "%s",
             c->qkv_bias ? (c->o_bias ? "q k v o" : "q k v")
             : c->o_bias ? "o"
                         : "none");
    if (c->qk_norm)
        row_text(r, "norm of q and k", "yes");
    if (c->unsupported[0])
        row_text(r, "computed", "no: %s", c->unsupported);
    else
        row_text(r, "computed", "yes");
}

/* ---- what the files hold ---- */

/* How many tensors of each dtype, in the order in which they appear. */
static void report_dtypes(report *r, const mls_checkpoint *c)
{
    enum { KINDS = 40 }; /* of safetensors and of GGUF */
    struct {
        const char *dtype;
        size_t n;
    } kinds[KINDS] = {{NULL, 0}};
    char text[256] = "";
    size_t used = 0;

    for (size_t i = 0; i < mls_checkpoint_tensors(c); i++) {
        const char *dtype = mls_checkpoint_tensor(c, i, NULL)->dtype;
        size_t j = 0;

        while (kinds[j].dtype && strcmp(kinds[j].dtype, dtype) != 0)
            j++;
        kinds[j].dtype = dtype;
        kinds[j].n++;
    }
    for (size_t j = 0; kinds[j].dtype && used < sizeof text - 32; j++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s %zu",
                                 j ? ", " : "", kinds[j].dtype, kinds[j].n);
    row_text(r, "dtypes", "%s", text);
}

/* Every tensor that the config asks for, and those that it does not. */
static void report_tensors(report *r, const mls_checkpoint *c)
{
    const mls_config *config = mls_checkpoint_config(c);
    const mls_gguf *gguf = mls_checkpoint_gguf(c);
    const size_t needs = config->unsupported[0] ? 0 : mls_tensor_needs(config);
    const size_t tensors = mls_checkpoint_tensors(c);
    size_t found = 0;

    for (size_t i = 0; i < needs; i++) {
        const mls_tensor_need need = mls_tensor_need_at(config, i);
        mls_err wrong = {0};

        if (mls_checkpoint_has(c, need.name, need.rows, need.cols, &wrong))
            problem(r, "%s", wrong.text);
        else
            found++;
    }
    if (gguf)
        row_text(r, "format", "GGUF version %u, %zu keys, alignment %llu",
                 mls_gguf_head(gguf)->version, mls_gguf_head(gguf)->n_values,
                 (unsigned long long)mls_gguf_head(gguf)->alignment);
    row_count(r, "files", mls_checkpoint_shards(c));
    if (needs)
        row_text(r, "tensors", "%zu, with %zu of the %zu that the model needs", tensors,
                 found, needs);
    else
        row_text(r, "tensors", "%zu; which ones the model needs is not known", tensors);
    report_dtypes(r, c);
    row_count(r, "parameters", mls_checkpoint_parameters(c));
    row_count(r, "weight bytes", mls_checkpoint_bytes(c));
    if (gguf && mls_checkpoint_parameters(c) > 0)
        row_text(r, "bits per weight", "%.2f",
                 8 * (double)mls_checkpoint_bytes(c) /
                     (double)mls_checkpoint_parameters(c));
    for (size_t i = 0; i < mls_checkpoint_warnings(c); i++)
        row_text(r, "warning", "%s", mls_checkpoint_warning(c, i));
}

/* NaN and infinity in tensor k, and the index of the first; read in pieces. */
static mls_status count_wild(const mls_checkpoint *c, size_t k, uint64_t *nan,
                             uint64_t *inf, uint64_t *first, mls_err *err)
{
    const mls_tensor_info *t = mls_checkpoint_tensor(c, k, NULL);
    enum { PIECE = 1 << 16 };
    float *x = malloc(PIECE * sizeof *x);
    mls_status st = MLS_OK;

    *nan = *inf = 0;
    *first = t->n_elements;
    if (!x)
        return mls_fail(err, MLS_E_NOMEM, "no memory to read values");
    for (uint64_t at = 0; !st && at < t->n_elements; at += PIECE) {
        const uint64_t left = t->n_elements - at;
        const size_t n = left < PIECE ? (size_t)left : PIECE;

        st = mls_checkpoint_read_at(c, k, at, n, x, err);
        size_t i = st ? n : mls_first_not_finite(x, n);

        if (i < n && *first == t->n_elements)
            *first = at + i;
        for (; i < n; i++) {
            *nan += isnan(x[i]) != 0;
            *inf += isinf(x[i]) != 0;
        }
    }
    free(x);
    return st;
}

static mls_status report_values(report *r, const mls_checkpoint *c, mls_err *err)
{
    const double total = (double)mls_checkpoint_parameters(c);
    uint64_t seen = 0, all_nan = 0, all_inf = 0;

    for (size_t k = 0; k < mls_checkpoint_tensors(c); k++) {
        size_t shard;
        const mls_tensor_info *t = mls_checkpoint_tensor(c, k, &shard);
        uint64_t nan, inf, first;
        char at[128];

        if (!mls_checkpoint_readable(c, k))
            continue;
        if (count_wild(c, k, &nan, &inf, &first, err) ||
            mls_progress_step(mls_tool_progress(), "values", (double)seen, total, err))
            return err->status;
        if (nan + inf)
            problem(r,
                    "%s: tensor \"%.200s\" has %llu NaN and %llu infinite values, "
                    "the first at %s",
                    mls_checkpoint_shard_path(c, shard), t->name,
                    (unsigned long long)nan, (unsigned long long)inf,
                    mls_index_text(at, t, first));
        seen += t->n_elements;
        all_nan += nan;
        all_inf += inf;
    }
    row_text(r, "values", "%llu NaN, %llu infinite in %llu floats",
             (unsigned long long)all_nan, (unsigned long long)all_inf,
             (unsigned long long)seen);
    return MLS_OK;
}

/* ---- identity ---- */

/*
 * A Hugging Face cache stores a large file as blobs/<SHA-256> and links to it from the
 * snapshot folder: the link's target says what the file's hash must be. Files that git
 * itself holds have shorter, SHA-1 names.
 */
static bool blob_hash(const char *path, char hex[65])
{
    char target[4096];
    const ssize_t n = readlink(path, target, sizeof target - 1);
    const char *name;

    if (n <= 0)
        return false;
    target[n] = '\0';
    name = strstr(target, "blobs/");
    if (!name || strlen(name + 6) != 64 || strspn(name + 6, "0123456789abcdef") != 64)
        return false;
    memcpy(hex, name + 6, 65);
    return true;
}

static mls_status report_hash(report *r, const mls_checkpoint *c, mls_err *err)
{
    const size_t n = mls_checkpoint_shards(c);
    char(*shards)[65] = mls_calloc3(n, 1, 1, sizeof *shards);
    char hex[65], blob[65];
    size_t blobs = 0, same = 0;
    mls_status st;

    if (!shards)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu hashes", n);
    st = mls_checkpoint_sha256_shards(c, hex, shards, mls_tool_progress(), err);
    for (size_t i = 0; !st && i < n; i++) {
        const char *path = mls_checkpoint_shard_path(c, i);

        row_text(r, "file sha256", "%s %s", shards[i], mls_checkpoint_shard_name(c, i));
        if (!blob_hash(path, blob))
            continue;
        blobs++;
        same += strcmp(blob, shards[i]) == 0;
        if (strcmp(blob, shards[i]) != 0)
            problem(r, "%s: its SHA-256 is %s, but the cache stores it as %s", path,
                    shards[i], blob);
    }
    if (!st && blobs)
        row_text(r, "cache blobs", "%zu of %zu have the hash that names them", same,
                 blobs);
    if (!st)
        row_text(r, "model sha256", "%s", hex);
    free(shards);
    return st;
}

/* ---- the command ---- */

static mls_status check_model(report *r, const char *path, bool hash, bool values,
                              mls_err *err)
{
    mls_checkpoint *c;
    mls_status st = mls_checkpoint_open(&c, path, err);

    if (st)
        return st;
    report_config(r, mls_checkpoint_config(c));
    report_tensors(r, c);
    if (values)
        st = report_values(r, c, err);
    if (!st && hash)
        st = report_hash(r, c, err);
    mls_checkpoint_close(c);
    return st;
}

static int run(int argc, char **argv)
{
    bool hash = false, values = false;
    mls_format format = MLS_FORMAT_TABLE;
    const char *output = "-", *path;
    const mls_option options[] = {{"--hash", 0, MLS_OPT_FLAG, &hash, 0, 0},
                                  {"--values", 0, MLS_OPT_FLAG, &values, 0, 0},
                                  {"--format", 0, MLS_OPT_FORMAT, &format, 0, 0},
                                  {"--output", 'o', MLS_OPT_TABLE, &output, 0, 0},
                                  {0}};
    mls_config config;
    report r = {0};
    mls_err err = {0};
    size_t n;
    int status;

    if (!mls_options_parse(&cmd_check, argc, argv, options, &path, 1, 1, &n, &status))
        return status;
    if (strcmp(output, "-") != 0 && mls_file_writable(output, &err))
        goto done;
    r.table = new_table();
    row_text(&r, "model", "%s", path);
    if (mls_file_exists(path) && !mls_gguf_is(path)) { /* a config.json alone */
        if (mls_config_read(&config, path, &err))
            goto done;
        report_config(&r, &config);
    } else if (check_model(&r, path, hash, values, &err)) {
        goto done;
    }
    if (r.problems > PROBLEMS_SHOWN)
        row_text(&r, "problem", "and %zu more", r.problems - PROBLEMS_SHOWN);
    if (mls_tool_print(r.table, format, output, &err))
        goto done;
    if (r.problems > 1)
        mls_fail(&err, MLS_E_INPUT, "%s (and %zu more problems)", r.first,
                 r.problems - 1);
    else if (r.problems)
        mls_fail(&err, MLS_E_INPUT, "%s", r.first);

done:
    mls_table_free(r.table);
    return mls_exit_status(&err);
}

MLS_COMMAND(check, "datasets",
            "is a checkpoint complete and sane, and what does it cache");
