/* Reading a capture file. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "analysis/capture/capture_layout.h"
#include "analysis/capture/moments.h"
#include "common/base/checked.h"
#include "common/numbers/finite.h"
#include "common/system/files.h"
#include "common/system/hash.h"

enum { TOKENS_MAX = 1 << 30 }; /* of all sequences together */

struct mls_capture {
    mls_store *store;
    mls_capture_head head; /* its pointers are those below */
    size_t *start;         /* (N + 1) */
    int32_t *ids;          /* (start[N]) */
    uint64_t *windows;     /* (W) */
    double *nll;           /* (N) */
    char *config_json;
    void *kept; /* of a room above; NULL: nothing yet */
    void (*release)(void *kept);
};

static mls_status read_model(mls_capture *c, mls_err *err)
{
    mls_config *config = &c->head.config;
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {{"qkv_bias", &config->qkv_bias},
                 {"o_bias", &config->o_bias},
                 {"mlp_bias", &config->mlp_bias},
                 {"qk_norm", &config->qk_norm},
                 {"tied_embeddings", &config->tied_embeddings}};
    const struct {
        const char *name;
        char *to;
    } hashes[] = {{"model_sha256", c->head.model_sha256},
                  {"text_sha256", c->head.text_sha256},
                  {"tokenizer_sha256", c->head.tokenizer_sha256}};
    mls_status st = mls_store_read_text(c->store, "/model/config_json", &c->config_json,
                                        &c->head.config_json_len, err);

    if (!st)
        st = mls_config_parse(config, c->config_json, c->head.config_json_len,
                              mls_store_path(c->store), err);
    /* What turns is what was seen to turn. */
    for (size_t l = 0; !st && l < config->L; l++)
        config->layer[l].no_rope |= !mls_config_layer_is_seen(config, l);
    c->head.config_json = c->config_json;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0] && !st; i++) {
        uint64_t value;

        st = mls_store_get_count(c->store, "/model", flags[i].name, &value, err);
        *flags[i].flag = value != 0;
    }
    for (size_t i = 0; i < sizeof hashes / sizeof hashes[0] && !st; i++)
        st = mls_store_get_text(c->store, "/provenance", hashes[i].name, hashes[i].to,
                                sizeof c->head.model_sha256, err);
    if (!st)
        st = mls_store_get_text(c->store, "/provenance", "products", c->head.arithmetic,
                                sizeof c->head.arithmetic, err);
    return st;
}

static mls_status refuse_count(const mls_capture *c, const char *what, uint64_t found,
                               uint64_t max, mls_err *err)
{
    return mls_fail(err, MLS_E_INPUT, "%s: has %llu %s, expected 1 to %llu",
                    mls_store_path(c->store), (unsigned long long)found, what,
                    (unsigned long long)max);
}

/* Check a one-dimensional dataset and read it whole into memory of its own. */
static mls_status read_vector(mls_capture *c, const char *path, mls_store_type type,
                              size_t n, size_t size, void *out, mls_err *err)
{
    const mls_store_spec spec = {.path = path, .type = type, .rank = 1, .shape = {n}};
    void *values = NULL;
    mls_status st = mls_store_check(c->store, &spec, err);

    if (!st) {
        values = mls_calloc3(n, size, 1, 1);
        if (!values)
            st = mls_fail(err, MLS_E_NOMEM, "no memory for %zu values of %s", n, path);
    }
    if (!st)
        st = mls_store_read(c->store, path, type, NULL, 0, values, n, err);
    memcpy(out, &values, sizeof values);
    return st;
}

static mls_status read_sequences(mls_capture *c, mls_err *err)
{
    mls_capture_head *h = &c->head;
    uint64_t N = 0, W = 0, T = 0, window_T = 0, lead = 0, *n_tokens = NULL;
    mls_status st = mls_store_get_count(c->store, "/sequences", "count", &N, err);

    if (!st)
        st = mls_store_get_count(c->store, "/windows", "count", &W, err);
    if (!st)
        st = mls_store_get_count(c->store, "/sequences", "length", &T, err);
    if (!st)
        st = mls_store_get_count(c->store, "/windows", "length", &window_T, err);
    if (mls_store_get_count(c->store, "/sequences", "bos", &lead, NULL))
        lead = 0; /* files of schema 2.0 have none */
    if (st)
        return st;
    if (N == 0 || N > TOKENS_MAX)
        return refuse_count(c, "sequences", N, TOKENS_MAX, err);
    if (T == 0 || T > TOKENS_MAX)
        return refuse_count(c, "tokens in a sequence", T, TOKENS_MAX, err);
    if (window_T == 0 || window_T > T)
        return refuse_count(c, "tokens in a window", window_T, T, err);
    if (W > N)
        return refuse_count(c, "windows", W, N, err);
    if (lead > T)
        return mls_fail(
            err, MLS_E_INPUT, "%s: %llu ids before the text in sequences of %llu",
            mls_store_path(c->store), (unsigned long long)lead, (unsigned long long)T);
    h->N = N;
    h->W = W;
    h->lead = lead;
    h->T = T;
    h->window_T = window_T;
    st = read_vector(c, "/sequences/n_tokens", MLS_STORE_U64, N, 8, &n_tokens, err);
    if (st)
        goto done;
    c->start = mls_calloc3(N + 1, 1, 1, sizeof *c->start);
    if (!c->start) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for %zu sequences", h->N);
        goto done;
    }
    for (size_t n = 0; n < N; n++) {
        if (n_tokens[n] < lead + 2 || n_tokens[n] > T ||
            c->start[n] + n_tokens[n] > TOKENS_MAX) {
            st = refuse_count(c, "tokens in a sequence", n_tokens[n], T, err);
            goto done;
        }
        c->start[n + 1] = c->start[n] + n_tokens[n];
    }
    st = read_vector(c, "/sequences/ids", MLS_STORE_I32, c->start[N], 4, &c->ids, err);
    if (!st)
        st = read_vector(c, "/sequences/nll", MLS_STORE_F64, N, 8, &c->nll, err);
    if (!st)
        st = read_vector(c, "/axes/window", MLS_STORE_U64, W, 8, &c->windows, err);
    for (size_t w = 0; w < W && !st; w++)
        if (c->windows[w] >= N)
            st = mls_fail(
                err, MLS_E_INPUT, "%s: window %zu shows sequence %llu, there are %zu",
                mls_store_path(c->store), w, (unsigned long long)c->windows[w], h->N);
    h->start = c->start;
    h->ids = c->ids;
    h->window_sequence = c->windows;

done:
    free(n_tokens);
    return st;
}

/* Ids are of the vocabulary, likelihoods are numbers. */
static mls_status check_sequences(const mls_capture *c, mls_err *err)
{
    const mls_capture_head *h = &c->head;

    for (size_t n = 0; n < h->N; n++) {
        for (size_t i = h->start[n]; i < h->start[n + 1]; i++)
            if (c->ids[i] < 0 || (size_t)c->ids[i] >= h->config.V)
                return mls_fail(err, MLS_E_INPUT,
                                "%s: token %zu of sequence %zu is %d, the vocabulary "
                                "has 0 to %zu",
                                mls_store_path(c->store), i - h->start[n], n, c->ids[i],
                                h->config.V - 1);
        if (!isfinite(c->nll[n]) || c->nll[n] < 0)
            return mls_fail(err, MLS_E_INPUT,
                            "%s: the likelihood of sequence %zu is %g, expected 0 or "
                            "more",
                            mls_store_path(c->store), n, c->nll[n]);
    }
    return MLS_OK;
}

/* Paths besides the layouts'; axes are not listed. */
static bool is_known(const char *path, size_t len, const mls_capture_head *head)
{
    static const char *const others[] = {"/sequences/n_tokens",    "/sequences/ids",
                                         "/sequences/nll",         "/model/config_json",
                                         "/provenance/text_files", "/manifest"};

    if (strncmp(path, "/axes/", 6) == 0)
        return true;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (strlen(others[i]) == len && memcmp(others[i], path, len) == 0)
            return true;
    for (size_t i = 0; i < MLS_LAYOUTS; i++)
        if (mls_layout_is_there(&mls_layouts[i], head) &&
            strlen(mls_layouts[i].path) == len &&
            memcmp(mls_layouts[i].path, path, len) == 0)
            return true;
    return false;
}

/* The datasets are those of the table, with its types and shapes, and no others. */
static mls_status check_datasets(mls_capture *c, mls_err *err)
{
    char *names = NULL;
    mls_status st = mls_store_names(c->store, &names, err);

    for (const char *p = names; !st && *p;) {
        const size_t len = strcspn(p, "\n");

        if (!is_known(p, len, &c->head))
            st = mls_fail(err, MLS_E_INPUT, "%s: holds %.*s, which no capture has",
                          mls_store_path(c->store), (int)len, p);
        p += len + (p[len] == '\n');
    }
    free(names);
    for (size_t i = 0; i < MLS_LAYOUTS && !st; i++) {
        const mls_store_spec spec = mls_layout_spec(&mls_layouts[i], &c->head);

        if (mls_layout_is_there(&mls_layouts[i], &c->head))
            st = mls_store_check(c->store, &spec, err);
    }
    return st;
}

mls_status mls_capture_open(mls_capture **out, const char *path, mls_err *err)
{
    mls_capture *c = calloc(1, sizeof *c);
    mls_status st;

    *out = NULL;
    if (!c)
        return mls_fail(err, MLS_E_NOMEM, "no memory to open %s", path);
    st = mls_store_open(&c->store, path, MLS_CAPTURE_KIND, err);
    if (!st)
        st = read_model(c, err);
    if (!st)
        st = read_sequences(c, err);
    if (!st)
        st = check_sequences(c, err);
    if (!st)
        st = mls_shard_read(c->store, &c->head.shard, c->head.N, err);
    if (!st)
        st = check_datasets(c, err);
    if (st)
        mls_capture_close(c);
    else
        *out = c;
    return st;
}

void mls_capture_close(mls_capture *c)
{
    if (!c)
        return;
    if (c->kept)
        c->release(c->kept);
    mls_store_close(c->store);
    mls_free_all(c->config_json, c->nll, c->windows, c->ids, c->start, c);
}

void **mls_capture_kept(mls_capture *c, void (*release)(void *kept))
{
    assert(!c->kept || c->release == release);
    c->release = release;
    return &c->kept;
}

const char *mls_capture_path(const mls_capture *c)
{
    return mls_store_path(c->store);
}

mls_status mls_capture_id(const mls_capture *c, char id[MLS_SHA256_HEX], mls_err *err)
{
    const char *path = mls_capture_path(c);
    char head[MLS_STORE_BLOCK];
    mls_sha256 *h = NULL;
    int fd;
    mls_status st = mls_file_open(path, &fd, NULL, err);

    if (st)
        return st;
    st = mls_pread_all(fd, head, sizeof head, 0, path, err);
    if (!st)
        st = mls_sha256_new(&h, err);
    if (!st) {
        mls_sha256_add(h, head, sizeof head);
        mls_sha256_hex(h, id);
    }
    mls_sha256_free(h);
    close(fd);
    return st;
}

const mls_capture_head *mls_capture_head_of(const mls_capture *c)
{
    return &c->head;
}

mls_store *mls_capture_store(const mls_capture *c)
{
    return c->store;
}

const mls_config *mls_capture_config(const mls_capture *c)
{
    return &c->head.config;
}

size_t mls_capture_sequences(const mls_capture *c)
{
    return c->head.N;
}

size_t mls_capture_length(const mls_capture *c)
{
    return c->head.T;
}

size_t mls_capture_lead(const mls_capture *c)
{
    return c->head.lead;
}

size_t mls_capture_windows(const mls_capture *c)
{
    return c->head.W;
}

size_t mls_capture_window_length(const mls_capture *c)
{
    return c->head.window_T;
}

const char *mls_capture_model_sha256(const mls_capture *c)
{
    return c->head.model_sha256;
}

const char *mls_capture_text_sha256(const mls_capture *c)
{
    return c->head.text_sha256;
}

const size_t *mls_capture_start(const mls_capture *c)
{
    return c->start;
}

const int32_t *mls_capture_ids(const mls_capture *c)
{
    return c->ids;
}

double mls_capture_nll(const mls_capture *c)
{
    double sum = 0, n_predicted = 0;

    for (size_t n = 0; n < c->head.N; n++) {
        const double predicted =
            (double)(c->start[n + 1] - c->start[n] - 1 - c->head.lead);

        sum += predicted * c->nll[n];
        n_predicted += predicted;
    }
    return sum / n_predicted;
}

const double *mls_capture_nll_each(const mls_capture *c)
{
    return c->nll;
}

size_t mls_capture_window_sequence(const mls_capture *c, size_t window)
{
    return c->windows[window];
}

mls_status mls_capture_text_names(mls_capture *c, char **names, mls_err *err)
{
    size_t len;

    return mls_store_read_text(c->store, "/provenance/text_files", names, &len, err);
}

/* Not a number, infinite, or negative where it is a mean of squares or of norms. */
static mls_status refuse_value(const mls_capture *c, const char *path, size_t l,
                               size_t i, double value, mls_err *err)
{
    return mls_fail(err, MLS_E_INPUT,
                    "%s: value %zu of layer %zu in %s is %g, expected a number%s",
                    mls_store_path(c->store), i, l, path, value,
                    isfinite(value) ? " that is not negative" : "");
}

static mls_status check_moment(const mls_capture *c, const mls_layout *layout, size_t l,
                               const double *x, mls_err *err)
{
    const size_t n = mls_layout_unpacked(layout, &c->head);
    const size_t D = layout->dims[1] == 'S' ? c->head.config.E : c->head.config.D;
    const bool square = strstr(layout->path, "/second") != NULL;

    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]) || (square && i % (D * D) % (D + 1) == 0 && x[i] < 0))
            return refuse_value(c, layout->path, l, i, x[i], err);
    return MLS_OK;
}

/*
 * A dataset's values at the leading indices, as a record has them; head: of a file
 * that has these alone in a layer.
 */
static mls_status read_packed(mls_capture *c, const mls_layout *layout,
                              const mls_capture_head *head, const size_t *lead,
                              size_t n_lead, void *data, mls_err *err)
{
    void *packed = mls_calloc3(mls_layout_bytes(layout, head), 1, 1, 1);
    mls_status st =
        packed ? mls_store_read(c->store, layout->path, layout->type, lead, n_lead,
                                packed, mls_layout_values(layout, head), err)
               : mls_fail(err, MLS_E_NOMEM, "no memory for a layer's %s", layout->path);

    if (!st)
        mls_layout_unpack(layout, head, packed, data);
    free(packed);
    return st;
}

static const mls_layout *layout_of(const char *path)
{
    size_t i = 0;

    while (strcmp(mls_layouts[i].path, path) != 0)
        i++;
    return &mls_layouts[i];
}

mls_status mls_capture_stats(mls_capture *c, size_t l, mls_layer_stats *s, mls_err *err)
{
    const mls_capture_head *h = &c->head;
    const size_t n_q = h->config.H * (h->config.D / 2);
    const size_t n_k = h->config.G * (h->config.D / 2);
    double *q = NULL, *k = NULL;
    mls_record r = {0};
    mls_status st = mls_layer_stats_new(&r.stats, &h->config, err);

    *s = (mls_layer_stats){0};
    for (size_t i = 0; i < MLS_LAYOUTS && !st; i++) {
        const mls_layout *layout = &mls_layouts[i];

        if (layout->kind != MLS_LAYOUT_MOMENT)
            continue;
        st = read_packed(c, layout, h, &l, 1, mls_layout_data(layout, &r), err);
        if (!st)
            st = check_moment(c, layout, l, mls_layout_data(layout, &r), err);
    }
    if (!st)
        st = mls_capture_norms(c, l, &q, &k, err);
    if (st) {
        mls_layer_stats_free(&r.stats);
        return st;
    }
    r.stats.n_tokens = (double)h->start[h->N];
    mls_moments_mean_norm(r.stats.q_norm, q, h->start, h->N, n_q);
    mls_moments_mean_norm(r.stats.k_norm, k, h->start, h->N, n_k);
    mls_free_all(q, k);
    *s = r.stats;
    return MLS_OK;
}

static mls_status read_norms(mls_capture *c, const char *path, size_t l, size_t heads,
                             double **out, mls_err *err)
{
    const size_t n = c->head.N * heads * (c->head.config.D / 2);
    double *x = mls_calloc3(c->head.N, heads, c->head.config.D / 2, sizeof *x);
    mls_status st;

    *out = x;
    if (!x)
        return mls_fail(err, MLS_E_NOMEM, "no memory for the norms of %zu sequences",
                        c->head.N);
    st = read_packed(c, layout_of(path), &c->head, &l, 1, x, err);
    for (size_t i = 0; i < n && !st; i++)
        if (!isfinite(x[i]) || x[i] < 0)
            st = refuse_value(c, path, l, i, x[i], err);
    return st;
}

mls_status mls_capture_norms(mls_capture *c, size_t l, double **q, double **k,
                             mls_err *err)
{
    mls_status st = read_norms(c, "/norms/q", l, c->head.config.H, q, err);

    *k = NULL;
    if (!st)
        st = read_norms(c, "/norms/k", l, c->head.config.G, k, err);
    if (st) {
        mls_free_all(*q, *k);
        *q = *k = NULL;
    }
    return st;
}

mls_status mls_capture_sum(mls_capture *c, size_t l, size_t node, double *sum,
                           mls_err *err)
{
    static const char path[] = "/shard/sums";
    const size_t lead[] = {l, node}, n = mls_shard_values(&c->head.config);
    mls_status st = mls_store_read(c->store, path, MLS_STORE_F64, lead, 2, sum, n, err);

    for (size_t i = 0; i < n && !st; i++)
        if (!isfinite(sum[i]))
            st = refuse_value(c, path, l, i, sum[i], err);
    return st;
}

mls_status mls_capture_window(mls_capture *c, size_t l, size_t window,
                              mls_window_part part, float *data, mls_err *err)
{
    static const char *const paths[MLS_WINDOW_PARTS] = {"/windows/x", "/windows/q",
                                                        "/windows/k", "/windows/v"};
    const size_t lead[] = {l, window};
    const size_t n = c->head.window_T * mls_window_width(&c->head.config, part);
    mls_capture_head one = c->head; /* of a file with this window alone */
    mls_status st;

    one.W = 1;
    st = read_packed(c, layout_of(paths[part]), &one, lead, 2, data, err);

    if (st)
        return st;
    const size_t bad = mls_first_not_finite(data, n);

    return bad == n ? MLS_OK : refuse_value(c, paths[part], l, bad, data[bad], err);
}

mls_status mls_capture_verify(mls_capture *c, size_t *n_datasets, uint64_t *n_bytes,
                              mls_err *err)
{
    const mls_config *config = &c->head.config;
    const size_t widest =
        config->H * config->D > config->E ? config->H * config->D : config->E;
    float *window = NULL;
    mls_status st = mls_store_verify(c->store, n_datasets, n_bytes, err);

    if (!st && c->head.W > 0) {
        window = mls_calloc3(c->head.window_T, widest, 1, sizeof *window);
        if (!window)
            st = mls_fail(err, MLS_E_NOMEM, "no memory for a window of %zu tokens",
                          c->head.window_T);
    }
    for (size_t l = 0; l < config->L && !st; l++) {
        mls_layer_stats s = {0};

        st = mls_capture_stats(c, l, &s, err);
        mls_layer_stats_free(&s);
        for (size_t w = 0; w < c->head.W && !st; w++)
            for (int p = 0; p < MLS_WINDOW_PARTS && !st; p++)
                st = mls_capture_window(c, l, w, (mls_window_part)p, window, err);
    }
    free(window);
    return st;
}
