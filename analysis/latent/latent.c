#include "analysis/latent/latent.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/model/rope.h"
#include "common/base/checked.h"

void mls_latent_free(mls_latent_form *f)
{
    for (size_t i = 0; f->latent && i < f->n_latents; i++) {
        free(f->latent[i].down.w);
        free(f->latent[i].down.b);
        free(f->latent[i].norm);
        free(f->latent[i].tail);
    }
    for (size_t i = 0; f->rope_key && i < f->n_rope_keys; i++) {
        free(f->rope_key[i].map.w);
        free(f->rope_key[i].map.b);
        free(f->rope_key[i].inv_freq);
    }
    for (size_t g = 0; f->head && g < f->G; g++) {
        free(f->head[g].key.w);
        free(f->head[g].key.b);
        free(f->head[g].value.w);
        free(f->head[g].value.b);
    }
    free(f->latent);
    free(f->rope_key);
    free(f->head);
    free(f->q_down.w);
    free(f->q_down.b);
    free(f->q_down_norm);
    free(f->query.w);
    free(f->query.b);
    free(f->output.w);
    free(f->output.b);
    free(f->key.w);
    free(f->key.b);
    free(f->inv_freq);
    free(f->q_norm);
    free(f->k_norm);
    *f = (mls_latent_form){0};
}

size_t mls_latent_query_dims(const mls_latent_form *f, size_t h)
{
    const mls_read_head *head = &f->head[h / (f->H / f->G)];

    return head->n_key + (head->rope_key >= 0 ? f->rope_key[head->rope_key].n : 0);
}

static size_t query_rows(const mls_latent_form *f)
{
    size_t rows = 0;

    for (size_t h = 0; h < f->H; h++)
        rows += mls_latent_query_dims(f, h);
    return rows;
}

static size_t output_columns(const mls_latent_form *f)
{
    size_t columns = 0;

    for (size_t g = 0; g < f->G; g++)
        columns += f->H / f->G * f->head[g].n_value;
    return columns;
}

/* --- Consistency --- */

static mls_status check_latent(const mls_latent_form *f, size_t i, mls_err *err)
{
    const mls_latent_vector *v = &f->latent[i];

    if (v->r == 0)
        return mls_fail(err, MLS_E_INPUT, "layer %zu, latent %zu: rank 0", f->layer, i);
    if (v->source == MLS_LATENT_OF_X) {
        if (!v->down.w)
            return mls_fail(err, MLS_E_INPUT,
                            "layer %zu, latent %zu: no down-projection", f->layer, i);
        return MLS_OK;
    }
    if (v->norm)
        return mls_fail(err, MLS_E_INPUT,
                        "layer %zu, latent %zu: holds rotated keys and normalizes them",
                        f->layer, i);
    if (!f->key.w || !f->inv_freq)
        return mls_fail(
            err, MLS_E_INPUT,
            "layer %zu, latent %zu: holds rotated keys, but the form has no "
            "key projection",
            f->layer, i);
    if (v->head >= f->G || (!v->down.w && v->r != f->D))
        return mls_fail(err, MLS_E_INPUT,
                        "layer %zu, latent %zu: KV head %zu of %zu, rank %zu of %zu",
                        f->layer, i, v->head, f->G, v->r, f->D);
    return MLS_OK;
}

static mls_status check_head(const mls_latent_form *f, size_t g, mls_err *err)
{
    const mls_read_head *h = &f->head[g];
    const int n_latents = (int)f->n_latents;

    if (h->key_latent >= n_latents || h->value_latent < 0 ||
        h->value_latent >= n_latents || h->rope_key >= (int)f->n_rope_keys)
        return mls_fail(err, MLS_E_INPUT,
                        "layer %zu, KV head %zu: key latent %d, value latent %d, rope "
                        "key %d, but there are %d latents and %zu rope keys",
                        f->layer, g, h->key_latent, h->value_latent, h->rope_key,
                        n_latents, f->n_rope_keys);
    if (h->key_latent < 0 && (h->rope_key < 0 || h->n_key != 0))
        return mls_fail(err, MLS_E_INPUT,
                        "layer %zu, KV head %zu: %zu key dims without a latent",
                        f->layer, g, h->n_key);
    if (h->key_latent >= 0) {
        const size_t r = f->latent[h->key_latent].r;

        if (!h->key.w && h->n_key != r)
            return mls_fail(
                err, MLS_E_INPUT,
                "layer %zu, KV head %zu: %zu key dims read from a latent of "
                "%zu without an up-projection",
                f->layer, g, h->n_key, r);
        if (h->rotation != MLS_ROTATE_NEVER && (h->n_key != f->D || !f->inv_freq))
            return mls_fail(
                err, MLS_E_INPUT,
                "layer %zu, KV head %zu: %zu dims are rotated, expected %zu", f->layer,
                g, h->n_key, f->D);
    }
    if (h->n_value == 0 || (!h->value.w && h->n_value != f->latent[h->value_latent].r))
        return mls_fail(
            err, MLS_E_INPUT,
            "layer %zu, KV head %zu: %zu value dims read from a latent of %zu",
            f->layer, g, h->n_value, f->latent[h->value_latent].r);
    return MLS_OK;
}

mls_status mls_latent_check(const mls_latent_form *f, mls_err *err)
{
    mls_status st = MLS_OK;

    if (!f->G || !f->H || f->H % f->G || !f->E || !f->head || !f->query.w ||
        !f->output.w || (f->n_latents && !f->latent) ||
        (f->n_rope_keys && !f->rope_key))
        return mls_fail(err, MLS_E_INPUT,
                        "layer %zu: the latent form is incomplete (%zu heads, %zu KV "
                        "heads)",
                        f->layer, f->H, f->G);
    if (!(isfinite(f->scale) && f->scale > 0))
        return mls_fail(err, MLS_E_INPUT, "layer %zu: the score scale is %g", f->layer,
                        f->scale);
    if (!(f->token_budget > 0 && f->token_budget <= 1))
        return mls_fail(err, MLS_E_INPUT,
                        "layer %zu: the token budget is %g, expected 0 to 1", f->layer,
                        f->token_budget);
    if (f->q_rank ? !f->q_down.w : f->q_down_norm != NULL)
        return mls_fail(err, MLS_E_INPUT, "layer %zu: no query down-projection",
                        f->layer);
    for (size_t i = 0; !st && i < f->n_rope_keys; i++)
        if (f->rope_key[i].n == 0 || f->rope_key[i].n % 2 || !f->rope_key[i].map.w ||
            !f->rope_key[i].inv_freq)
            st = mls_fail(err, MLS_E_INPUT,
                          "layer %zu, rope key %zu: %zu dims, expected an even number",
                          f->layer, i, f->rope_key[i].n);
    for (size_t i = 0; !st && i < f->n_latents; i++)
        st = check_latent(f, i, err);
    for (size_t g = 0; !st && g < f->G; g++)
        st = check_head(f, g, err);
    return st;
}

/* --- The model's own layer --- */

/* A copy of n floats; NULL stays NULL. Sets *failed when memory is short. */
static float *copy_floats(const float *x, size_t n, bool *failed)
{
    float *y;

    if (!x)
        return NULL;
    y = mls_calloc3(n, 1, 1, sizeof *y);
    if (!y)
        *failed = true;
    else
        memcpy(y, x, n * sizeof *y);
    return y;
}

static double *copy_frequencies(const mls_config *c, bool *failed)
{
    double *inv_freq = mls_calloc3(c->D / 2, 1, 1, sizeof *inv_freq);

    if (!inv_freq)
        *failed = true;
    else
        mls_rope_frequencies(inv_freq, &c->rope, c->D);
    return inv_freq;
}

mls_status mls_latent_begin(mls_latent_form *f, const mls_config *c,
                            const mls_layer *layer, size_t n_latents,
                            size_t n_rope_keys, mls_err *err)
{
    bool failed = false;

    *f = (mls_latent_form){.layer = layer->index,
                           .E = c->E,
                           .H = c->H,
                           .G = c->G,
                           .D = c->D,
                           .n_latents = n_latents,
                           .n_rope_keys = n_rope_keys,
                           .scale = 1.0 / sqrt((double)c->D),
                           .norm_eps = c->rms_eps,
                           .share_layer = MLS_NONE,
                           .token_budget = 1.0};
    f->sliding_window = c->layer[layer->index].window;
    f->latent = mls_calloc3(n_latents, 1, 1, sizeof *f->latent);
    f->rope_key = mls_calloc3(n_rope_keys, 1, 1, sizeof *f->rope_key);
    f->head = mls_calloc3(c->G, 1, 1, sizeof *f->head);
    f->inv_freq = copy_frequencies(c, &failed);
    f->output.w = copy_floats(layer->wo, c->E * c->H * c->D, &failed);
    f->output.b = copy_floats(layer->bo, c->E, &failed);
    if (failed || !f->latent || !f->rope_key || !f->head) {
        mls_latent_free(f);
        return mls_fail(err, MLS_E_NOMEM, "no memory for the latent form of layer %zu",
                        layer->index);
    }
    for (size_t g = 0; g < c->G; g++)
        f->head[g] = (mls_read_head){
            .key_latent = MLS_NONE, .rope_key = MLS_NONE, .value_latent = MLS_NONE};
    return MLS_OK;
}

/*
 * Full rotated keys of every head: a rope key of all D dims where the projection is
 * enough, else (QK-norm) the rotated key itself as a latent; plain dims on NoPE layers.
 */
static void identity_keys(mls_latent_form *f, const mls_config *c, const mls_layer *w,
                          bool *failed)
{
    const size_t G = c->G, D = c->D, E = c->E;
    const bool no_rope = c->layer[w->index].no_rope;

    for (size_t g = 0; g < G; g++) {
        const float *wk = w->wk + g * D * E; /* rows of head g */
        const float *bk = w->bk ? w->bk + g * D : NULL;
        mls_read_head *head = &f->head[g];

        if (!w->k_norm && !no_rope) {
            mls_rope_key *key = &f->rope_key[g];

            key->n = D;
            key->map.w = copy_floats(wk, D * E, failed);
            key->map.b = copy_floats(bk, D, failed);
            key->inv_freq = copy_frequencies(c, failed);
            head->rope_key = (int)g;
            continue;
        }
        mls_latent_vector *v = &f->latent[G + g];

        v->r = D;
        v->holds_keys = true;
        head->key_latent = (int)(G + g);
        head->n_key = D;
        if (no_rope) {
            v->down.w = copy_floats(wk, D * E, failed);
            v->down.b = copy_floats(bk, D, failed);
        } else {
            v->source = MLS_LATENT_OF_ROT_KEY;
            v->head = g;
            head->rotation = MLS_ROTATE_BEFORE;
        }
    }
    if (w->k_norm && !no_rope) {
        f->key.w = copy_floats(w->wk, G * D * E, failed);
        f->key.b = copy_floats(w->bk, G * D, failed);
        f->q_norm = copy_floats(w->q_norm, D, failed);
        f->k_norm = copy_floats(w->k_norm, D, failed);
    }
}

mls_status mls_latent_identity(mls_latent_form *f, const mls_config *c,
                               const mls_layer *w, mls_err *err)
{
    const size_t G = c->G, H = c->H, D = c->D, E = c->E;
    const bool as_latents = w->k_norm || c->layer[w->index].no_rope;
    bool failed = false;
    mls_status st;

    if (w->k_norm && c->layer[w->index].no_rope)
        return mls_fail(err, MLS_E_INPUT,
                        "layer %zu has QK-norm without RoPE, which has no latent form",
                        w->index);
    st = mls_latent_begin(f, c, w, as_latents ? 2 * G : G, as_latents ? 0 : G, err);
    if (st)
        return st;
    for (size_t g = 0; g < G; g++) {
        f->latent[g].r = D;
        f->latent[g].down.w = copy_floats(w->wv + g * D * E, D * E, &failed);
        f->latent[g].down.b = copy_floats(w->bv ? w->bv + g * D : NULL, D, &failed);
        f->latent[g].holds_values = true;
        f->head[g].value_latent = (int)g;
        f->head[g].n_value = D;
    }
    identity_keys(f, c, w, &failed);
    f->query.w = copy_floats(w->wq, H * D * E, &failed);
    f->query.b = copy_floats(w->bq, H * D, &failed);
    if (failed) {
        mls_latent_free(f);
        return mls_fail(err, MLS_E_NOMEM, "no memory for the latent form of layer %zu",
                        w->index);
    }
    return mls_latent_check(f, err);
}

/* --- What it costs --- */

/* Number of KV heads that read latent i. */
static size_t readers(const mls_latent_form *f, size_t i)
{
    size_t n = 0;

    for (size_t g = 0; g < f->G; g++)
        n += f->head[g].key_latent == (int)i || f->head[g].value_latent == (int)i;
    return n;
}

/* A latent of one side of one head, kept whole, is that head's plain cache. */
static mls_part_kind latent_kind(const mls_latent_form *f, size_t i)
{
    const mls_latent_vector *v = &f->latent[i];

    if (v->holds_keys && v->holds_values)
        return MLS_PART_LATENT;
    for (size_t g = 0; g < f->G; g++) {
        const mls_read_head *h = &f->head[g];

        if (h->value_latent == (int)i && !h->value.w)
            return MLS_PART_VALUE;
        if (h->key_latent == (int)i && !h->key.w)
            return MLS_PART_KEY;
    }
    return v->holds_keys ? MLS_PART_KEY_LATENT : MLS_PART_LATENT;
}

mls_status mls_latent_layout(const mls_latent_form *f, mls_cache_layer *out,
                             mls_err *err)
{
    mls_status st = MLS_OK;

    *out = (mls_cache_layer){.window = f->sliding_window,
                             .shares_other = f->share_layer >= 0,
                             .token_budget = f->token_budget};
    for (size_t b = 0; !st && b < f->n_rope_keys; b++) {
        size_t heads = 0;

        for (size_t g = 0; g < f->G; g++)
            heads += f->head[g].rope_key == (int)b;
        const bool plain = f->rope_key[b].n == f->D && heads == 1;
        st = mls_cache_add(out, plain ? MLS_PART_KEY : MLS_PART_ROPE_KEY,
                           f->rope_key[b].n, 1, heads > 1, &f->rope_key[b].quant, err);
    }
    for (size_t i = 0; !st && i < f->n_latents; i++)
        st = mls_cache_add(out, latent_kind(f, i), f->latent[i].r, 1, readers(f, i) > 1,
                           &f->latent[i].quant, err);
    if (st)
        mls_fail_in(err, st, "layer %zu", f->layer);
    return st;
}

size_t mls_latent_elements(const mls_latent_form *f)
{
    size_t n = 0;

    for (size_t i = 0; i < f->n_latents; i++)
        n += f->latent[i].r;
    for (size_t b = 0; b < f->n_rope_keys; b++)
        n += f->rope_key[b].n;
    return n;
}

size_t mls_latent_parameters(const mls_latent_form *f)
{
    const size_t q_in = f->q_rank ? f->q_rank : f->E;
    size_t n = query_rows(f) * q_in + f->q_rank * f->E + f->E * output_columns(f);

    if (f->q_down_norm)
        n += f->q_rank;
    for (size_t i = 0; i < f->n_latents; i++) {
        const mls_latent_vector *v = &f->latent[i];

        if (v->down.w)
            n += v->r * (v->source == MLS_LATENT_OF_X ? f->E : f->D);
        if (v->norm)
            n += v->r;
    }
    for (size_t b = 0; b < f->n_rope_keys; b++)
        n += f->rope_key[b].n * f->E;
    for (size_t g = 0; g < f->G; g++) {
        const mls_read_head *h = &f->head[g];

        if (h->key.w)
            n += h->n_key * f->latent[h->key_latent].r;
        if (h->value.w)
            n += h->n_value * f->latent[h->value_latent].r;
    }
    return n + (f->key.w ? f->G * f->D * f->E : 0);
}
