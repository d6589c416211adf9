/* A capture file from its records, layer by layer. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/capture/capture_layout.h"
#include "analysis/model/rope.h"
#include "analysis/numeric/blas.h"
#include "common/base/checked.h"
#include "common/system/files.h"

#define PI 3.14159265358979323846

mls_status mls_record_new(mls_record *r, const mls_capture_head *head, mls_err *err)
{
    const mls_config *c = &head->config;
    mls_status st;
    bool ok;

    *r = (mls_record){0};
    st = mls_layer_stats_new(&r->stats, c, err);
    if (st)
        return st;
    r->q_norms = mls_calloc3(head->N, c->H, c->D / 2, sizeof *r->q_norms);
    r->k_norms = mls_calloc3(head->N, c->G, c->D / 2, sizeof *r->k_norms);
    r->sums = mls_calloc3(mls_shard_nodes(&head->shard), mls_shard_values(c), 1,
                          sizeof *r->sums);
    ok = r->q_norms && r->k_norms && r->sums;
    for (int i = 0; i < MLS_WINDOW_PARTS; i++) {
        r->window[i] =
            mls_calloc3(head->W, head->window_T,
                        mls_window_width(c, (mls_window_part)i), sizeof *r->window[i]);
        ok = ok && r->window[i];
    }
    if (!ok) {
        mls_record_free(r);
        return mls_fail(err, MLS_E_NOMEM,
                        "no memory for the statistics of a layer with %zu windows",
                        head->W);
    }
    return MLS_OK;
}

void mls_record_free(mls_record *r)
{
    for (int i = 0; i < MLS_WINDOW_PARTS; i++)
        free(r->window[i]);
    mls_free_all(r->sums, r->k_norms, r->q_norms);
    mls_layer_stats_free(&r->stats);
    *r = (mls_record){0};
}

/* Scale that counts 0, 1, 2 ... */
static mls_status add_counter(mls_store *s, const char *name, size_t n,
                              const char *long_name, mls_err *err)
{
    int32_t *values = mls_calloc3(n, 1, 1, sizeof *values);
    mls_status st;

    if (!values)
        return mls_fail(err, MLS_E_NOMEM, "no memory for axis %s", name);
    for (size_t i = 0; i < n; i++)
        values[i] = (int32_t)i;
    st = mls_store_scale(s, name, MLS_STORE_I32, n, values, "1", long_name, err);
    free(values);
    return st;
}

static mls_status add_axes(mls_store *s, const mls_capture_head *head, mls_err *err)
{
    const mls_config *c = &head->config;
    const struct {
        const char *name;
        size_t n;
        const char *long_name;
    } counters[] = {
        {"layer", c->L, "layer"},
        {"head", c->H, "query head; its KV head is head / (heads / KV heads)"},
        {"kv_head", c->G, "KV head"},
        {"dim", c->D, "dimension of a head; chunk c is the pair (c, c + D/2)"},
        {"chunk", c->D / 2, "RoPE frequency, the fastest first"},
        {"hidden", c->E, "hidden dimension"},
        {"sequence", head->N, "sequence of the text"},
        {"position", head->window_T, "token of a window"},
    };
    mls_status st = MLS_OK;

    for (size_t i = 0; i < sizeof counters / sizeof counters[0] && !st; i++)
        st =
            add_counter(s, counters[i].name, counters[i].n, counters[i].long_name, err);
    if (!st)
        st = mls_store_scale(s, "window", MLS_STORE_U64, head->W, head->window_sequence,
                             "1", "the sequence that a window shows", err);
    return st;
}

/* Frequencies of one RoPE of the model, and the wavelengths that go with them. */
static mls_status add_rope(mls_store *s, const mls_rope_config *rope, size_t D,
                           const char *frequency, const char *length, mls_err *err)
{
    const size_t C = D / 2;
    double *inv_freq = mls_calloc3(C, 1, 1, sizeof *inv_freq);
    double *wavelength = mls_calloc3(C, 1, 1, sizeof *wavelength);
    mls_status st = MLS_OK;

    if (!inv_freq || !wavelength) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for %zu frequencies", C);
        goto done;
    }
    mls_rope_frequencies(inv_freq, rope, D);
    for (size_t c = 0; c < C; c++)
        wavelength[c] = 2 * PI / inv_freq[c];
    st = mls_store_scale(s, frequency, MLS_STORE_F64, C, inv_freq, "rad/token",
                         "angle by which RoPE turns the chunk per token", err);
    if (!st)
        st = mls_store_scale(s, length, MLS_STORE_F64, C, wavelength, "token",
                             "tokens per full turn", err);

done:
    mls_free_all(wavelength, inv_freq);
    return st;
}

static mls_status add_frequencies(mls_store *s, const mls_capture_head *head,
                                  mls_err *err)
{
    const mls_config *c = &head->config;
    const mls_status st = add_rope(s, &c->rope, c->D, "inv_freq", "wavelength", err);

    return st || mls_layers_turn_alike(c)
               ? st
               : add_rope(s, &c->rope_local, c->D, "inv_freq_local", "wavelength_local",
                          err);
}

static mls_status add_sequences(mls_store *s, const mls_capture_head *head,
                                mls_err *err)
{
    const mls_store_spec tokens = {.path = "/sequences/n_tokens",
                                   .type = MLS_STORE_U64,
                                   .rank = 1,
                                   .shape = {head->N},
                                   .axes = {"sequence"},
                                   .units = "token",
                                   .long_name = "tokens of each sequence"};
    const mls_store_spec ids = {.path = "/sequences/ids",
                                .type = MLS_STORE_I32,
                                .rank = 1,
                                .shape = {head->start[head->N]},
                                .units = "1",
                                .long_name = "token ids, sequence after sequence"};
    const mls_store_spec nll = {.path = "/sequences/nll",
                                .type = MLS_STORE_F64,
                                .rank = 1,
                                .shape = {head->N},
                                .axes = {"sequence"},
                                .units = "nat",
                                .long_name =
                                    "mean negative log-likelihood of the tokens "
                                    "of each sequence but its first"};
    mls_status st = mls_store_add(s, &tokens, err);

    for (size_t n = 0; n < head->N && !st; n++) {
        const uint64_t T = head->start[n + 1] - head->start[n];

        st = mls_store_append(s, tokens.path, &T, 1, err);
    }
    if (!st)
        st = mls_store_add(s, &ids, err);
    if (!st)
        st = mls_store_append(s, ids.path, head->ids, head->start[head->N], err);
    if (!st)
        st = mls_store_add(s, &nll, err);
    return st;
}

static mls_status add_counts(mls_store *s, const mls_capture_head *head,
                             const mls_capture_options *options, mls_err *err)
{
    const mls_config *c = &head->config;
    const struct {
        const char *path, *name;
        uint64_t value;
    } counts[] = {
        {"/sequences", "count", head->N},
        {"/sequences", "length", head->T},
        {"/sequences", "bos", head->lead},
        {"/windows", "count", head->W},
        {"/windows", "length", head->window_T},
        /* as the tensors show, which the config does not always say */
        {"/model", "qkv_bias", c->qkv_bias},
        {"/model", "o_bias", c->o_bias},
        {"/model", "mlp_bias", c->mlp_bias},
        {"/model", "qk_norm", c->qk_norm},
        {"/model", "tied_embeddings", c->tied_embeddings},
        {"/provenance", "seed", options->seed},
    };
    mls_status st = MLS_OK;

    for (size_t i = 0; i < sizeof counts / sizeof counts[0] && !st; i++)
        st = mls_store_set_count(s, counts[i].path, counts[i].name, counts[i].value,
                                 err);
    return st ? st : mls_shard_write(s, &head->shard, err);
}

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

/* Attributes that say where the numbers come from. */
typedef struct {
    const char *path, *name, *value;
} text_attribute;

enum { TEXTS = 14 };

static void list_texts(text_attribute out[TEXTS], const mls_capture_head *head,
                       const mls_capture_options *options)
{
    const text_attribute texts[TEXTS] = {
        {"/", "Conventions", "mlascope-1.0"},
        {"/", "title", "Statistics of a model's attention on a text"},
        {"/", "schema_version", "2.1"},
        {"/provenance", "program", "mlascope " MLS_VERSION},
        {"/provenance", "command_line", or_empty(options->command)},
        {"/provenance", "sampling", or_empty(options->sampling)},
        {"/provenance", "blas_library",
         options->blas_library ? options->blas_library : mls_blas_version()},
        {"/provenance", "blas_core",
         options->blas_core ? options->blas_core : mls_blas_core()},
        {"/provenance", "products", head->arithmetic},
        {"/provenance", "arithmetic",
         "forward pass in float32 but for products, sums in float64, kept as float32, "
         "windows as float16"},
        {"/provenance", "model_sha256", head->model_sha256},
        {"/provenance", "config_sha256", head->config.sha256},
        {"/provenance", "tokenizer_sha256", head->tokenizer_sha256},
        {"/provenance", "text_sha256", head->text_sha256},
    };

    memcpy(out, texts, sizeof texts);
}

static mls_status add_texts(mls_store *s, const mls_capture_head *head,
                            const mls_capture_options *options, mls_err *err)
{
    const char *names = or_empty(options->text_names);
    text_attribute texts[TEXTS];
    mls_status st = MLS_OK;

    list_texts(texts, head, options);
    for (size_t i = 0; i < TEXTS && !st; i++)
        st = mls_store_set_text(s, texts[i].path, texts[i].name, texts[i].value, err);
    if (!st)
        st = mls_store_add_text(s, "/provenance/text_files", names, strlen(names),
                                "names of the text files, one per line", err);
    if (!st)
        st = mls_store_add_text(s, "/model/config_json", head->config_json,
                                head->config_json_len, "config.json as it was", err);
    return st;
}

mls_status mls_capture_create(mls_store **out, const char *path, const char *temp,
                              const mls_capture_head *head,
                              const mls_capture_options *options, mls_err *err)
{
    mls_store *s = NULL;
    mls_status st = mls_store_create(&s, path, temp, MLS_CAPTURE_KIND, err);

    *out = NULL;
    if (!st)
        st = add_axes(s, head, err);
    if (!st)
        st = add_frequencies(s, head, err);
    if (!st)
        st = add_sequences(s, head, err);
    for (size_t i = 0; i < MLS_LAYOUTS && !st; i++) {
        const mls_layout *layout = &mls_layouts[i];
        const mls_store_spec spec = mls_layout_spec(layout, head);

        if (!mls_layout_is_there(layout, head))
            continue;
        st = mls_store_add(s, &spec, err);
        if (!st && layout->kind == MLS_LAYOUT_NORMS)
            st = mls_store_companion(s, layout->path, 3, "/axes/inv_freq", err);
        if (!st && layout->kind == MLS_LAYOUT_NORMS)
            st = mls_store_companion(s, layout->path, 3, "/axes/wavelength", err);
    }
    if (!st)
        st = add_counts(s, head, options, err);
    if (!st)
        st = add_texts(s, head, options, err);
    if (st)
        mls_store_abandon(s);
    else
        *out = s;
    return st;
}

mls_status mls_capture_append(mls_store *s, const mls_capture_head *head,
                              const mls_record *r, size_t *n_cut, mls_err *err)
{
    mls_status st = MLS_OK;

    for (size_t i = 0; i < MLS_LAYOUTS && !st; i++) {
        const mls_layout *layout = &mls_layouts[i];

        if (!mls_layout_is_there(layout, head))
            continue;
        void *packed = mls_calloc3(mls_layout_bytes(layout, head), 1, 1, 1);

        if (!packed)
            return mls_fail(err, MLS_E_NOMEM, "no memory for a layer's %s",
                            layout->path);
        *n_cut += mls_layout_pack(packed, layout, head, r);
        st = mls_store_append(s, layout->path, packed, 1, err);
        free(packed);
    }
    return st;
}

mls_status mls_capture_finish(mls_store *s, const double *nll, size_t N, mls_err *err)
{
    const mls_status st = mls_store_append(s, "/sequences/nll", nll, N, err);

    if (st) {
        mls_store_abandon(s);
        return st;
    }
    return mls_store_finish(s, err);
}

/* Does the attribute say this? */
static bool says(mls_store *s, const text_attribute *text)
{
    const size_t size = strlen(text->value) + 2; /* one more shows a longer one */
    char *found = mls_calloc3(size, 1, 1, 1);
    const bool same =
        found && !mls_store_get_text(s, text->path, text->name, found, size, NULL) &&
        strcmp(found, text->value) == 0;

    free(found);
    return same;
}

bool mls_capture_is_finished(const char *path, const mls_capture_head *head,
                             const mls_capture_options *options)
{
    mls_capture *c = NULL;
    text_attribute texts[TEXTS];
    char *names = NULL;
    uint64_t seed = 0;
    size_t len;
    bool same = mls_file_exists(path) && !mls_capture_open(&c, path, NULL);

    if (same) {
        const mls_capture_head *h = mls_capture_head_of(c);

        same = h->N == head->N && h->T == head->T && h->lead == head->lead &&
               h->W == head->W && h->window_T == head->window_T &&
               h->shard.count == head->shard.count &&
               h->shard.index == head->shard.index && h->shard.key == head->shard.key &&
               memcmp(h->start, head->start, (h->N + 1) * sizeof *h->start) == 0 &&
               memcmp(h->ids, head->ids, h->start[h->N] * sizeof *h->ids) == 0 &&
               (h->W == 0 || memcmp(h->window_sequence, head->window_sequence,
                                    h->W * sizeof *h->window_sequence) == 0);
    }
    list_texts(texts, head, options);
    for (size_t i = 0; i < TEXTS && same; i++)
        same = says(mls_capture_store(c), &texts[i]);
    same = same &&
           !mls_store_get_count(mls_capture_store(c), "/provenance", "seed", &seed,
                                NULL) &&
           seed == options->seed &&
           !mls_store_read_text(mls_capture_store(c), "/provenance/text_files", &names,
                                &len, NULL) &&
           strcmp(names, or_empty(options->text_names)) == 0;
    free(names);
    mls_capture_close(c);
    return same;
}
