/*
 * A form with partial RoPE: what a head rotates becomes its rope key, what it does not
 * is factorized. [nope keys; values] of all heads (or one side of them) is one matrix
 * W; W ~ U S V^T cut to r is the nearest of rank r in the Frobenius norm, with V^T as
 * down-projection and rows of U S as what each head reads back. Biases are added after
 * reading, so that they cost no rank.
 */
#include "bench/frame/partial.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/frequency/select_rules.h"
#include "bench/frame/factor.h"
#include "common/base/checked.h"
#include "datasets/files/rankfile.h"

/* Selections of all layers, for scope=layer and scope=global. */
typedef struct scope_choice {
    size_t L;
    mls_selection *layer; /* (L) */
} scope_choice;

void mls_partial_release(void *prepared)
{
    scope_choice *p = prepared;

    for (size_t l = 0; p && p->layer && l < p->L; l++)
        mls_selection_free(&p->layer[l]);
    if (p)
        free(p->layer);
    free(p);
}

const char *const mls_scope_words[] = {[MLS_SCOPE_HEAD] = "head",
                                       [MLS_SCOPE_LAYER] = "layer",
                                       [MLS_SCOPE_GLOBAL] = "global",
                                       NULL};

size_t mls_partial_chunks(const mls_config *config, const void *params)
{
    (void)params;
    return config->D / 2;
}

mls_status mls_partial_prepare(const mls_method_input *in, const mls_parsed *parsed,
                               void **prepared, mls_err *err)
{
    const mls_partial *p = parsed->params;
    scope_choice *made;
    mls_status st;

    if (p->scope == MLS_SCOPE_HEAD)
        return MLS_OK;
    if (!in->capture)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: scope=%s spends chunks where the data ask for them: needs "
                        "a capture file",
                        parsed->method->name, mls_scope_words[p->scope]);
    made = calloc(1, sizeof *made);
    if (made)
        made->layer = mls_calloc3(in->config->L, 1, 1, sizeof *made->layer);
    if (!made || !made->layer) {
        free(made);
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu selections",
                        in->config->L);
    }
    st = mls_selections_by_rule(made->layer, p->rule, in->config, in->capture,
                                p->chunks, (mls_scope)p->scope, in->pool, NULL, err);
    if (st) {
        mls_free_all(made->layer, made);
        return mls_fail_in(err, st, "%s: rope", parsed->method->name);
    }
    made->L = in->config->L;
    *prepared = made;
    return MLS_OK;
}

/*
 * rope=file:PATH: the first chunks of each row of a rank file of MHA2MLA or EliteKV,
 * one row per KV head, or per query head where all of a group's are the same.
 */
static mls_status read_file(mls_rankfile *f, const char *path, const mls_config *c,
                            mls_err *err)
{
    const mls_status st = mls_rankfile_read(f, path, err);

    if (st ||
        (f->L == c->L && f->C == c->D / 2 && (f->heads == c->G || f->heads == c->H)))
        return st;
    return mls_fail(err, MLS_E_INPUT,
                    "%s has %zu layers, %zu heads and %zu chunks, but the model has "
                    "%zu, %zu (KV) and %zu",
                    path, f->L, f->heads, f->C, c->L, c->G, c->D / 2);
}

static mls_status select_from_file(mls_selection *out, const mls_rankfile *f,
                                   const char *path, const mls_config *c, size_t l,
                                   size_t chunks, mls_err *err)
{
    const size_t G = c->G, C = c->D / 2;
    mls_status st = mls_selection_new(out, G, C, err);

    for (size_t h = 0; h < f->heads && !st; h++) {
        const size_t g = h / (f->heads / G);
        const uint16_t *row = f->order + (l * f->heads + h) * C;
        uint16_t *to = out->order + g * C;

        if (h % (f->heads / G) == 0)
            memcpy(to, row, C * sizeof *to);
        else if (memcmp(to, row, C * sizeof *to) != 0)
            st = mls_fail(err, MLS_E_INPUT,
                          "%s: layer %zu: query heads of KV head %zu keep different "
                          "chunks, which one key of this model cannot",
                          path, l, g);
        out->count[g] = chunks;
    }
    if (st)
        mls_selection_free(out);
    return st;
}

static mls_status file_fits(const char *path, const mls_config *c, mls_err *err)
{
    mls_selection chosen;
    mls_rankfile f = {0};
    mls_status st = read_file(&f, path, c, err);

    for (size_t l = 0; !st && l < c->L; l++) {
        st = select_from_file(&chosen, &f, path, c, l, 0, err);
        mls_selection_free(&chosen);
    }
    mls_rankfile_free(&f);
    return st;
}

mls_status mls_partial_rule(const char *method, const char *rule,
                            const mls_config *config, mls_err *err)
{
    const mls_rule *found;
    mls_status st;

    if (strcmp(rule, "file:") == 0)
        return mls_fail(err, MLS_E_ARG, "%s: rope: file: is followed by a name",
                        method);
    st = strncmp(rule, "file:", 5) == 0 ? file_fits(rule + 5, config, err)
                                        : mls_rule_find(&found, rule, err);
    return st ? mls_fail_in(err, st, "%s: rope", method) : MLS_OK;
}

mls_status mls_partial_select(mls_selection *out, const char *method,
                              const mls_method_input *in, const char *rule,
                              size_t chunks, const mls_layer *layer,
                              const mls_layer_stats *stats, mls_err *err)
{
    const mls_rule_input look = {
        .config = in->config,
        .layer = layer->index,
        .stats = stats,
        .capture = in->capture,
        .pool = in->pool,
    };
    mls_rankfile f = {0};
    mls_status st;

    *out = (mls_selection){0};
    if (in->config->layer[layer->index].no_rope)
        return mls_selection_new(out, in->config->G, in->config->D / 2, err);
    if (strncmp(rule, "file:", 5) != 0) {
        st = mls_selection_by_rule(out, rule, &look, chunks, MLS_SCOPE_HEAD, err);
    } else {
        st = read_file(&f, rule + 5, in->config, err);
        if (!st)
            st = select_from_file(out, &f, rule + 5, in->config, layer->index, chunks,
                                  err);
        mls_rankfile_free(&f);
    }
    return st ? mls_fail_in(err, st, "%s: rope", method) : MLS_OK;
}

void mls_partial_dims(const mls_selection *s, size_t g, size_t *rope, size_t *nope)
{
    uint16_t kept[MLS_DIM_MAX / 2], dropped[MLS_DIM_MAX / 2];
    const size_t C = s->C, n = s->count[g];

    mls_selection_split(s, g, kept, dropped);
    for (size_t i = 0; i < n; i++) {
        rope[i] = kept[i];
        rope[n + i] = kept[i] + C;
    }
    for (size_t i = 0; i < C - n; i++) {
        nope[i] = dropped[i];
        nope[C - n + i] = dropped[i] + C;
    }
}

static mls_status no_memory(const mls_layer *layer, mls_err *err)
{
    return mls_fail(err, MLS_E_NOMEM, "no memory for the latent form of layer %zu",
                    layer->index);
}

mls_status mls_partial_begin(mls_latent_form *f, const mls_config *config, size_t l,
                             const size_t *count, size_t n_latents, mls_err *err)
{
    const size_t D = config->D;
    size_t n_rope_keys = 0;
    int at = 0;
    mls_status st;

    for (size_t g = 0; g < config->G; g++)
        n_rope_keys += count[g] > 0;
    st = mls_latent_begin(f, config, l, n_latents, n_rope_keys, err);
    for (size_t g = 0; !st && g < config->G; g++) {
        const size_t n = 2 * count[g];

        f->head[g].n_key = D - n;
        f->head[g].n_value = D;
        if (n > 0) {
            f->rope_key[at] = (mls_rope_key){
                .n = n, .map = mls_affine_shape(n, config->E, config->qkv_bias)};
            f->head[g].rope_key = at++;
        }
    }
    return st;
}

mls_status mls_partial_start(mls_latent_form *f, const mls_config *config,
                             const mls_layer *layer, const mls_selection *s,
                             mls_err *err)
{
    const size_t D = config->D, group = config->H / config->G;
    const mls_affine queries = mls_latent_queries(config, layer);
    const mls_affine keys = mls_latent_keys(config, layer);
    size_t dims[2 * MLS_DIM_MAX]; /* [nope; rope] of a head */
    mls_status st = mls_latent_start(f, config, layer, err);

    for (size_t g = 0; !st && g < config->G; g++) {
        const size_t n_rope = 2 * s->count[g], n_nope = D - n_rope;
        const mls_affine key = mls_affine_rows(&keys, g * D, D);

        mls_partial_dims(s, g, dims + n_nope, dims);
        if (n_rope > 0) {
            mls_rope_key *to = &f->rope_key[f->head[g].rope_key];

            mls_affine_put(&to->map, 0, &key, dims + n_nope, n_rope);
            for (size_t i = 0; i < n_rope / 2; i++)
                to->inv_freq[i] = f->inv_freq[dims[n_nope + i]];
        }
        for (size_t h = g * group; h < (g + 1) * group; h++) {
            const mls_affine query = mls_affine_rows(&queries, h * D, D);

            mls_affine_put(&f->query, h * D, &query, dims, D);
        }
    }
    return st;
}

/* Latent `at` of r numbers, read by every head that has something to read there. */
static void place_latent(mls_latent_form *f, const mls_config *c, size_t at, bool keys,
                         bool values, size_t r)
{
    f->latent[at] = (mls_latent_vector){.r = r,
                                        .down = mls_affine_shape(r, c->E, false),
                                        .holds_keys = keys,
                                        .holds_values = values};
    for (size_t g = 0; g < f->G; g++) {
        mls_read_head *h = &f->head[g];

        if (keys && h->n_key > 0) {
            h->key_latent = (int)at;
            h->key = mls_affine_shape(h->n_key, r, c->qkv_bias);
        }
        if (values) {
            h->value_latent = (int)at;
            h->value = mls_affine_shape(c->D, r, c->qkv_bias);
        }
    }
}

/* Latents at .. of each head's own nope key, or of its value, as they are. */
static void place_plain(mls_latent_form *f, const mls_config *c, size_t at, bool keys)
{
    for (size_t g = 0; g < f->G; g++) {
        const size_t n = keys ? f->head[g].n_key : c->D;

        if (n == 0)
            continue;
        *(keys ? &f->head[g].key_latent : &f->head[g].value_latent) = (int)at;
        f->latent[at++] = (mls_latent_vector){
            .r = n,
            .down = mls_affine_shape(n, c->E, c->qkv_bias),
            .holds_keys = keys,
            .holds_values = !keys,
        };
    }
}

mls_status mls_partial_shape(mls_latent_form *f, const mls_config *c,
                             const mls_parsed *parsed, const void *prepared, size_t l,
                             mls_err *err)
{
    const mls_partial *p = parsed->params;
    const scope_choice *made = prepared;
    size_t count[MLS_HEADS_MAX], nope = 0;

    for (size_t g = 0; g < c->G; g++) {
        count[g] = made ? made->layer[l].count[g] : c->layer[l].no_rope ? 0 : p->chunks;
        nope += count[g] < c->D / 2;
    }
    const size_t n_keys = p->rank[MLS_KEYS] ? nope > 0 : nope;
    const size_t n_values = p->rank[MLS_VALUES] ? 1 : c->G;
    const mls_status st =
        mls_partial_begin(f, c, l, count, p->joint ? 1 : n_keys + n_values, err);

    if (st)
        return st;
    if (p->joint) {
        place_latent(f, c, 0, true, true, p->joint);
        return MLS_OK;
    }
    if (n_keys && p->rank[MLS_KEYS])
        place_latent(f, c, 0, true, false, p->rank[MLS_KEYS]);
    else
        place_plain(f, c, 0, true);
    if (p->rank[MLS_VALUES])
        place_latent(f, c, n_keys, false, true, p->rank[MLS_VALUES]);
    else
        place_plain(f, c, n_keys, false);
    return MLS_OK;
}

/* All rows that latent `at` holds, head by head: nope rows, then value rows. */
static size_t stack(double *w, const mls_latent_form *f, const mls_layer *layer,
                    const mls_selection *s, int at)
{
    const size_t D = f->D, E = f->E;
    size_t rope[MLS_DIM_MAX], nope[MLS_DIM_MAX], m = 0;

    for (size_t g = 0; g < f->G; g++) {
        if (f->head[g].key_latent == at) {
            mls_partial_dims(s, g, rope, nope);
            mls_gather_rows(w + m * E, layer->wk + g * D * E, nope, f->head[g].n_key,
                            E);
            m += f->head[g].n_key;
        }
        if (f->head[g].value_latent == at) {
            mls_widen(w + m * E, layer->wv + g * D * E, D * E);
            m += D;
        }
    }
    return m;
}

/* Hand each head its rows of up (m, r), in the order of stack(). */
static void read_back(mls_latent_form *f, const mls_layer *layer,
                      const mls_selection *s, int at, float *up)
{
    const size_t D = f->D, r = f->latent[at].r;
    size_t rope[MLS_DIM_MAX], nope[MLS_DIM_MAX];

    for (size_t g = 0; g < f->G; g++) {
        mls_read_head *h = &f->head[g];

        if (h->key_latent == at) {
            float bias[MLS_DIM_MAX];
            const mls_affine rows =
                mls_affine_of(up, layer->bk ? bias : NULL, h->n_key, r);

            mls_partial_dims(s, g, rope, nope);
            for (size_t i = 0; layer->bk && i < h->n_key; i++)
                bias[i] = layer->bk[g * D + nope[i]];
            mls_affine_put(&h->key, 0, &rows, NULL, h->n_key);
            up += h->n_key * r;
        }
        if (h->value_latent == at) {
            const mls_affine rows =
                mls_affine_of(up, layer->bv ? layer->bv + g * D : NULL, D, r);

            mls_affine_put(&h->value, 0, &rows, NULL, D);
            up += D * r;
        }
    }
}

/* Fill latent `at` by one SVD of its stacked rows; sigma is on the up side. */
static mls_status fill_latent(mls_latent_form *f, const mls_layer *layer,
                              const mls_selection *s, size_t at, mls_err *err)
{
    const size_t r = f->latent[at].r;
    double *w = mls_calloc3(2 * f->G * f->D, f->E, 1, sizeof *w);
    float *up = mls_calloc3(2 * f->G * f->D, r, 1, sizeof *up);
    mls_status st = MLS_OK;

    if (!w || !up) {
        st = no_memory(layer, err);
        goto done;
    }
    const size_t m = stack(w, f, layer, s, (int)at);

    if (r > m || r > f->E) {
        st = mls_fail(err, MLS_E_INPUT,
                      "layer %zu: rank %zu is more than the %zu x %zu matrix that is "
                      "left to factorize has; the nearest possible is %zu",
                      layer->index, r, m, f->E, m < f->E ? m : f->E);
        goto done;
    }
    st = mls_factor_weights(f->latent[at].down.w, up, w, m, f->E, r, MLS_SIGMA_UP, err);
    if (!st)
        read_back(f, layer, s, (int)at, up);

done:
    mls_free_all(up, w);
    return st;
}

/* Latents that hold one side of one head as it is. */
static void fill_plain(mls_latent_form *f, const mls_config *c, const mls_layer *layer,
                       const mls_selection *s)
{
    const mls_affine keys = mls_latent_keys(c, layer);
    const mls_affine values = mls_latent_values(c, layer);
    size_t rope[MLS_DIM_MAX], nope[MLS_DIM_MAX];

    for (size_t g = 0; g < f->G; g++) {
        const mls_read_head *h = &f->head[g];
        const mls_affine key = mls_affine_rows(&keys, g * c->D, c->D);
        const mls_affine value = mls_affine_rows(&values, g * c->D, c->D);

        mls_partial_dims(s, g, rope, nope);
        if (h->key_latent >= 0 && !h->key.cols)
            mls_affine_put(&f->latent[h->key_latent].down, 0, &key, nope, h->n_key);
        if (!h->value.cols)
            mls_affine_put(&f->latent[h->value_latent].down, 0, &value, NULL, c->D);
    }
}

mls_status mls_partial_build(const mls_method_input *in, const mls_parsed *parsed,
                             const void *prepared, const mls_layer *layer,
                             const mls_layer_stats *stats, mls_latent_form *f,
                             mls_err *err)
{
    const mls_partial *p = parsed->params;
    const scope_choice *made = prepared;
    const size_t n_values = p->joint || p->rank[MLS_VALUES] ? 1 : f->G;
    const size_t n_keys = f->n_latents - n_values;
    mls_selection chosen = {0};
    mls_status st = made ? mls_selection_copy(&chosen, &made->layer[layer->index], err)
                         : mls_partial_select(&chosen, parsed->method->name, in,
                                              p->rule, p->chunks, layer, stats, err);

    if (!st)
        st = mls_partial_start(f, in->config, layer, &chosen, err);
    if (!st)
        fill_plain(f, in->config, layer, &chosen);
    if (!st && n_keys && p->rank[MLS_KEYS])
        st = fill_latent(f, layer, &chosen, 0, err);
    if (!st && (p->joint || p->rank[MLS_VALUES]))
        st = fill_latent(f, layer, &chosen, n_keys, err);
    mls_selection_free(&chosen);
    return st;
}
