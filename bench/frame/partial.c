#include "bench/frame/partial.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/frequency/select_rules.h"
#include "analysis/model/rope.h"
#include "bench/frame/factor.h"
#include "common/base/checked.h"
#include "datasets/files/rankfile.h"

/* Selections of all layers, for scope=layer and scope=global. */
typedef struct scope_plan {
    size_t L;
    mls_selection *layer; /* (L) */
} scope_plan;

void mls_partial_release(void *plan)
{
    scope_plan *p = plan;

    for (size_t l = 0; p && p->layer && l < p->L; l++)
        mls_selection_free(&p->layer[l]);
    if (p)
        free(p->layer);
    free(p);
}

mls_status mls_partial_prepare(void **plan, const mls_method_input *in,
                               const mls_setting *s, const char *otherwise,
                               size_t chunks, mls_err *err)
{
    const char *rule = mls_setting_get(s, "rope");
    const char *text = mls_setting_get(s, "scope");
    mls_scope scope = MLS_SCOPE_HEAD;
    scope_plan *p = NULL;
    mls_status st = text ? mls_scope_parse(&scope, text, err) : MLS_OK;

    *plan = NULL;
    if (st)
        return mls_fail_in(err, st, "%s: scope", s->method);
    if (scope == MLS_SCOPE_HEAD)
        return MLS_OK;
    if (!in->capture)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: scope=%s spends chunks where the data ask for them: needs "
                        "a capture file",
                        s->method, text);
    p = calloc(1, sizeof *p);
    if (p)
        p->layer = mls_calloc3(in->config->L, 1, 1, sizeof *p->layer);
    if (!p || !p->layer) {
        free(p);
        return mls_fail(err, MLS_E_NOMEM, "no memory for %zu selections",
                        in->config->L);
    }
    st = mls_selections_by_rule(p->layer, rule ? rule : otherwise, in->config,
                                in->capture, chunks, scope, in->pool, NULL, err);
    if (st) {
        free(p->layer);
        free(p);
        return mls_fail_in(err, st, "%s: rope", s->method);
    }
    p->L = in->config->L;
    *plan = p;
    return MLS_OK;
}

/*
 * rope=file:PATH: the first chunks of each row of a rank file of MHA2MLA or EliteKV,
 * one row per KV head, or per query head where all of a group's are the same.
 */
static mls_status select_from_file(mls_selection *out, const char *path,
                                   const mls_config *c, size_t l, size_t chunks,
                                   mls_err *err)
{
    const size_t G = c->G, C = c->D / 2;
    mls_rankfile f;
    mls_status st = mls_rankfile_read(&f, path, err);

    *out = (mls_selection){0};
    if (st)
        return st;
    if (f.L != c->L || f.C != C || (f.heads != G && f.heads != c->H) || chunks > C)
        st = mls_fail(err, MLS_E_INPUT,
                      "%s has %zu layers, %zu heads and %zu chunks, but the model has "
                      "%zu, %zu (KV) and %zu, of which %zu are asked for",
                      path, f.L, f.heads, f.C, c->L, G, C, chunks);
    if (!st)
        st = mls_selection_new(out, G, C, err);
    for (size_t h = 0; h < f.heads && !st; h++) {
        const size_t g = h / (f.heads / G);
        const uint16_t *row = f.order + (l * f.heads + h) * C;
        uint16_t *to = out->order + g * C;

        if (h % (f.heads / G) == 0)
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
    mls_rankfile_free(&f);
    return st;
}

mls_status mls_partial_select(mls_selection *out, const mls_method_input *in,
                              const mls_setting *s, const char *otherwise,
                              size_t chunks, const mls_layer *layer,
                              const mls_layer_stats *stats, mls_err *err)
{
    const char *rule = mls_setting_get(s, "rope");
    const mls_rule_input look = {
        .config = in->config,
        .layer = layer->index,
        .stats = stats,
        .capture = in->capture,
        .pool = in->pool,
    };
    mls_status st;

    if (in->config->layer[layer->index].no_rope)
        return mls_selection_new(out, in->config->G, in->config->D / 2, err);
    st = rule && strncmp(rule, "file:", 5) == 0
             ? select_from_file(out, rule + 5, in->config, layer->index, chunks, err)
             : mls_selection_by_rule(out, rule ? rule : otherwise, &look, chunks,
                                     MLS_SCOPE_HEAD, err);
    return st ? mls_fail_in(err, st, "%s: rope", s->method) : MLS_OK;
}

mls_status mls_partial_chosen(mls_selection *out, const void *plan,
                              const mls_method_input *in, const mls_setting *s,
                              const char *otherwise, size_t chunks,
                              const mls_layer *layer, const mls_layer_stats *stats,
                              mls_err *err)
{
    const scope_plan *p = plan;

    return p ? mls_selection_copy(out, &p->layer[layer->index], err)
             : mls_partial_select(out, in, s, otherwise, chunks, layer, stats, err);
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

size_t mls_partial_nope_heads(const mls_selection *s)
{
    size_t n = 0;

    for (size_t g = 0; g < s->G; g++)
        n += s->count[g] < s->C;
    return n;
}

/* Rows first + dims[i] of w (?, E), one after the other; NULL for w NULL. */
static float *take(const float *w, size_t first, const size_t *dims, size_t n, size_t E,
                   bool *failed)
{
    float *y = w ? mls_calloc3(n, E, 1, sizeof *y) : NULL;

    if (w && !y)
        *failed = true;
    for (size_t i = 0; y && i < n; i++)
        memcpy(y + i * E, w + (first + dims[i]) * E, E * sizeof *y);
    return y;
}

static mls_status no_memory(const mls_layer *layer, mls_err *err)
{
    return mls_fail(err, MLS_E_NOMEM, "no memory for the latent form of layer %zu",
                    layer->index);
}

/* The rope key of head g, when it rotates anything. */
static void add_rope_key(mls_latent_form *f, const mls_config *config,
                         const mls_layer *layer, size_t g, const size_t *dims, size_t n,
                         int at, bool *failed)
{
    mls_rope_key *key = &f->rope_key[at];
    double inv_freq[MLS_DIM_MAX / 2];

    mls_rope_frequencies(inv_freq, &config->rope, config->D);
    f->head[g].rope_key = at;
    key->n = n;
    key->map.w = take(layer->wk, g * f->D, dims, n, f->E, failed);
    key->map.b = take(layer->bk, g * f->D, dims, n, 1, failed);
    key->inv_freq = mls_calloc3(n / 2, 1, 1, sizeof *key->inv_freq);
    if (!key->inv_freq)
        *failed = true;
    for (size_t i = 0; key->inv_freq && i < n / 2; i++)
        key->inv_freq[i] = inv_freq[dims[i]];
}

mls_status mls_partial_absorbs(const mls_layer *layer, mls_err *err)
{
    if (!layer->q_norm && !layer->k_norm)
        return MLS_OK;
    return mls_fail(err, MLS_E_INPUT,
                    "layer %zu has QK-norm, and a normalized key cannot be read from a "
                    "latent of unrotated keys piece by piece; gqa2mla reads whole keys "
                    "back",
                    layer->index);
}

mls_status mls_partial_begin(mls_latent_form *f, const mls_config *config,
                             const mls_layer *layer, const mls_selection *s,
                             size_t n_latents, mls_err *err)
{
    const size_t G = config->G, D = config->D, E = config->E, H = config->H;
    const size_t group = H / G;
    size_t n_rope_keys = 0, all[2 * MLS_DIM_MAX]; /* [nope; rope] dims of a head */
    bool failed = false;
    int at = 0;

    *f = (mls_latent_form){0};
    for (size_t g = 0; g < G; g++)
        n_rope_keys += s->count[g] > 0;
    mls_status st = mls_partial_absorbs(layer, err);
    if (!st)
        st = mls_latent_begin(f, config, layer, n_latents, n_rope_keys, err);
    if (st)
        return st;
    f->query.w = mls_calloc3(H * D, E, 1, sizeof *f->query.w);
    f->query.b = layer->bq ? mls_calloc3(H * D, 1, 1, sizeof *f->query.b) : NULL;
    if (!f->query.w || (layer->bq && !f->query.b))
        failed = true;
    for (size_t g = 0; g < G && !failed; g++) {
        const size_t n_rope = 2 * s->count[g], n_nope = D - n_rope;

        mls_partial_dims(s, g, all + n_nope, all);
        f->head[g].n_key = n_nope;
        f->head[g].n_value = D;
        if (n_rope > 0)
            add_rope_key(f, config, layer, g, all + n_nope, n_rope, at++, &failed);
        for (size_t h = g * group; h < (g + 1) * group; h++)
            for (size_t i = 0; i < D; i++) {
                memcpy(f->query.w + (h * D + i) * E, layer->wq + (h * D + all[i]) * E,
                       E * sizeof *f->query.w);
                if (f->query.b)
                    f->query.b[h * D + i] = layer->bq[h * D + all[i]];
            }
    }
    if (failed) {
        mls_latent_free(f);
        return no_memory(layer, err);
    }
    return MLS_OK;
}

/* All rows that latent `at` shall hold, head by head: nope rows, then value rows. */
static double *stack(const mls_latent_form *f, const mls_layer *layer,
                     const mls_selection *s, bool keys, bool values, size_t *m)
{
    const size_t D = f->D, E = f->E;
    size_t rope[MLS_DIM_MAX], nope[MLS_DIM_MAX];
    double *w = mls_calloc3(2 * f->G * D, E, 1, sizeof *w);

    *m = 0;
    for (size_t g = 0; w && g < f->G; g++) {
        if (keys) {
            mls_partial_dims(s, g, rope, nope);
            mls_gather_rows(w + *m * E, layer->wk + g * D * E, nope, f->head[g].n_key,
                            E);
            *m += f->head[g].n_key;
        }
        for (size_t i = 0; values && i < D; i++, ++*m)
            for (size_t e = 0; e < E; e++)
                w[*m * E + e] = (double)layer->wv[(g * D + i) * E + e];
    }
    return w;
}

/* Hand each head its rows of up (m, r), in the order of stack(). */
static void read_back(mls_latent_form *f, const mls_layer *layer,
                      const mls_selection *s, int at, bool keys, bool values,
                      const float *up, size_t r, bool *failed)
{
    size_t rope[MLS_DIM_MAX], nope[MLS_DIM_MAX], every[MLS_DIM_MAX], row = 0;

    for (size_t i = 0; i < f->D; i++)
        every[i] = i;
    for (size_t g = 0; g < f->G; g++) {
        mls_read_head *head = &f->head[g];

        if (keys && head->n_key > 0) {
            mls_partial_dims(s, g, rope, nope);
            head->key_latent = at;
            head->key.w = take(up, row, every, head->n_key, r, failed);
            head->key.b = take(layer->bk, g * f->D, nope, head->n_key, 1, failed);
            row += head->n_key;
        }
        if (values) {
            head->value_latent = at;
            head->value.w = take(up, row, every, f->D, r, failed);
            head->value.b = take(layer->bv, g * f->D, every, f->D, 1, failed);
            row += f->D;
        }
    }
}

mls_status mls_partial_latent(mls_latent_form *f, const mls_layer *layer,
                              const mls_selection *s, size_t at, bool keys, bool values,
                              size_t r, mls_err *err)
{
    mls_latent_vector *v = &f->latent[at];
    mls_status st = MLS_OK;
    size_t m = 0;
    double *w = stack(f, layer, s, keys, values, &m);
    float *up = mls_calloc3(m, r, 1, sizeof *up);
    bool failed = false;

    v->r = r;
    v->holds_keys = keys;
    v->holds_values = values;
    v->down.w = mls_calloc3(r, f->E, 1, sizeof *v->down.w);
    if (!w || !up || !v->down.w) {
        st = no_memory(layer, err);
        goto done;
    }
    if (r > m || r > f->E) {
        st = mls_fail(err, MLS_E_INPUT,
                      "layer %zu: rank %zu is more than the %zu x %zu matrix that is "
                      "left to factorize has; the nearest possible is %zu",
                      layer->index, r, m, f->E, m < f->E ? m : f->E);
        goto done;
    }
    st = mls_factor_weights(v->down.w, up, w, m, f->E, r, MLS_SIGMA_UP, err);
    if (st)
        goto done;
    read_back(f, layer, s, (int)at, keys, values, up, r, &failed);
    if (failed)
        st = no_memory(layer, err);

done:
    free(up);
    free(w);
    return st;
}

mls_status mls_partial_plain_keys(mls_latent_form *f, const mls_layer *layer,
                                  const mls_selection *s, size_t at, mls_err *err)
{
    size_t rope[MLS_DIM_MAX], nope[MLS_DIM_MAX];
    bool failed = false;

    for (size_t g = 0; g < f->G; g++) {
        const size_t n = f->head[g].n_key;

        if (n == 0)
            continue;
        mls_partial_dims(s, g, rope, nope);
        f->head[g].key_latent = (int)at;
        f->latent[at++] = (mls_latent_vector){
            .r = n,
            .down.w = take(layer->wk, g * f->D, nope, n, f->E, &failed),
            .down.b = take(layer->bk, g * f->D, nope, n, 1, &failed),
            .holds_keys = true,
        };
    }
    return failed ? no_memory(layer, err) : MLS_OK;
}

mls_status mls_partial_plain_values(mls_latent_form *f, const mls_layer *layer,
                                    size_t at, mls_err *err)
{
    size_t every[MLS_DIM_MAX];
    bool failed = false;

    for (size_t i = 0; i < f->D; i++)
        every[i] = i;
    for (size_t g = 0; g < f->G; g++) {
        f->head[g].value_latent = (int)(at + g);
        f->latent[at + g] = (mls_latent_vector){
            .r = f->D,
            .down.w = take(layer->wv, g * f->D, every, f->D, f->E, &failed),
            .down.b = take(layer->bv, g * f->D, every, f->D, 1, &failed),
            .holds_values = true,
        };
    }
    return failed ? no_memory(layer, err) : MLS_OK;
}

mls_status mls_partial_end(mls_latent_form *f, mls_status st, mls_err *err)
{
    if (!st)
        st = mls_latent_check(f, err);
    if (st)
        mls_latent_free(f);
    return st;
}
