/*
 * The latent form as an object. A method first says the shape of a layer's form from
 * the config and its parameters; sizes and bytes come from that alone. Then one block
 * takes all its numbers, and the method fills them in: what it fills is what it said,
 * because there is no room for anything else.
 */
#include "analysis/latent/latent.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/model/carried.h"
#include "analysis/model/rope.h"
#include "common/base/checked.h"
#include "datasets/checkpoint/tensors.h"

static mls_status no_memory(size_t l, mls_err *err)
{
    return mls_fail(err, MLS_E_NOMEM, "no memory for the latent form of layer %zu", l);
}

void mls_latent_free(mls_latent_form *f)
{
    mls_free_all(f->latent, f->rope_key, f->head, f->numbers);
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
    if (v->rms.cols &&
        (v->source != MLS_LATENT_OF_X || v->norm.n || v->rms.cols != f->E))
        return mls_fail(
            err, MLS_E_INPUT,
            "layer %zu, latent %zu: its rms is of %zu columns beside a norm "
            "or rotated keys",
            f->layer, i, v->rms.cols);
    if (v->source == MLS_LATENT_OF_X) {
        if (!v->down.cols)
            return mls_fail(err, MLS_E_INPUT,
                            "layer %zu, latent %zu: no down-projection", f->layer, i);
        return MLS_OK;
    }
    if (v->norm.n)
        return mls_fail(err, MLS_E_INPUT,
                        "layer %zu, latent %zu: holds rotated keys and normalizes them",
                        f->layer, i);
    if (!f->key.cols || !f->turns)
        return mls_fail(
            err, MLS_E_INPUT,
            "layer %zu, latent %zu: holds rotated keys, but the form has no "
            "key projection",
            f->layer, i);
    if (v->head >= f->G || (!v->down.cols && v->r != f->D))
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

        if (!h->key.cols && h->n_key != r)
            return mls_fail(
                err, MLS_E_INPUT,
                "layer %zu, KV head %zu: %zu key dims read from a latent of "
                "%zu without an up-projection",
                f->layer, g, h->n_key, r);
        if (h->rotation != MLS_ROTATE_NEVER && (h->n_key != f->D || !f->turns))
            return mls_fail(
                err, MLS_E_INPUT,
                "layer %zu, KV head %zu: %zu dims are rotated, expected %zu", f->layer,
                g, h->n_key, f->D);
    }
    if (h->n_value == 0 ||
        (!h->value.cols && h->n_value != f->latent[h->value_latent].r))
        return mls_fail(
            err, MLS_E_INPUT,
            "layer %zu, KV head %zu: %zu value dims read from a latent of %zu",
            f->layer, g, h->n_value, f->latent[h->value_latent].r);
    return MLS_OK;
}

static mls_status no_form(const mls_config *c, size_t l, mls_err *err)
{
    return mls_fail(err, MLS_E_INPUT, "layer %zu has %s, which has no latent form", l,
                    mls_latent_other(c, l));
}

void mls_latent_hidden(const mls_latent_form *f, size_t t, size_t *begin, size_t *end)
{
    const size_t w = f->sliding_window;
    const size_t first = w && t + 1 > w ? t + 1 - w : 0, shown = t + 1 - first;
    size_t n = (size_t)ceil(f->token_budget * (double)shown);

    *begin = 0;
    *end = first;
    n = n < MLS_BUDGET_SINKS + 1 ? MLS_BUDGET_SINKS + 1 : n;
    if (f->token_budget >= 1 || n >= shown)
        return;
    *begin = first ? 0 : MLS_BUDGET_SINKS;
    *end = t + 1 - (n - *begin);
}

mls_status mls_latent_check(const mls_latent_form *f, mls_err *err)
{
    mls_status st = MLS_OK;

    if (f->own)
        return no_form(f->own, f->layer, err);
    if (!f->G || !f->H || f->H % f->G || !f->E || !f->head || !f->numbers ||
        (f->n_latents && !f->latent) || (f->n_rope_keys && !f->rope_key))
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
    if (f->q_rank ? !f->q_down.cols : f->q_down_norm.n != 0)
        return mls_fail(err, MLS_E_INPUT, "layer %zu: no query down-projection",
                        f->layer);
    for (size_t i = 0; !st && i < f->n_rope_keys; i++)
        if (f->rope_key[i].n == 0 || f->rope_key[i].n % 2 || !f->rope_key[i].map.cols)
            st = mls_fail(err, MLS_E_INPUT,
                          "layer %zu, rope key %zu: %zu dims, expected an even number",
                          f->layer, i, f->rope_key[i].n);
    for (size_t i = 0; !st && i < f->n_latents; i++)
        st = check_latent(f, i, err);
    for (size_t g = 0; !st && g < f->G; g++)
        st = check_head(f, g, err);
    for (size_t g = 0; !st && f->gate.cols && g < f->G; g++)
        if (f->head[g].n_value * f->H != f->gate.rows)
            st = mls_fail(err, MLS_E_INPUT,
                          "layer %zu has a gate on what the heads read, whole values: "
                          "%zu dims of a value have none",
                          f->layer, f->head[g].n_value);
    return st;
}

/* --- Its arrays --- */

typedef struct {
    mls_latent_array *item;
    size_t n, cap;
    bool failed;
} arrays;

/* index SIZE_MAX: "group.what". */
static mls_latent_array *add(arrays *a, size_t rows, size_t cols, bool needed,
                             const char *group, size_t index, const char *what)
{
    if (a->n == a->cap) {
        const size_t cap = a->cap ? 2 * a->cap : 64;
        mls_latent_array *bigger = realloc(a->item, cap * sizeof *bigger);

        if (!bigger) {
            a->failed = true;
            return NULL;
        }
        a->item = bigger;
        a->cap = cap;
    }
    mls_latent_array *x = &a->item[a->n++];

    *x = (mls_latent_array){.rows = rows, .cols = cols, .needed = needed};
    if (index == SIZE_MAX)
        snprintf(x->name, sizeof x->name, "%s.%s", group, what);
    else
        snprintf(x->name, sizeof x->name, "%s.%zu.%s", group, index, what);
    return x;
}

/* The weight of a map called `what` and its bias, "bias" or with `what` in front. */
static void add_map(arrays *a, mls_affine *map, bool needed, const char *group,
                    size_t index, const char *what, const char *bias)
{
    mls_latent_array *x;

    if (map->cols && (x = add(a, map->rows, map->cols, needed, group, index, what))) {
        x->f32 = &map->w;
        x->absent = &map->cols;
    }
    if (map->biased && (x = add(a, map->rows, 0, false, group, index, bias))) {
        x->f32 = &map->b;
        x->unbiased = &map->biased;
    }
}

static void add_norm(arrays *a, mls_norm *norm, const char *group, size_t index,
                     const char *what)
{
    mls_latent_array *x;

    if (norm->n && (x = add(a, norm->n, 0, false, group, index, what))) {
        x->f32 = &norm->w;
        x->absent = &norm->n;
    }
}

mls_status mls_latent_arrays(mls_latent_form *f, mls_latent_array **out, size_t *n,
                             mls_err *err)
{
    const size_t none = SIZE_MAX;
    mls_latent_array *x;
    arrays a = {0};

    f->query.rows = query_rows(f);
    f->query.cols = f->q_rank ? f->q_rank : f->E;
    f->output.rows = f->E;
    f->output.cols = output_columns(f);
    for (size_t i = 0; i < f->n_latents; i++) {
        mls_latent_vector *v = &f->latent[i];

        add_map(&a, &v->down, v->source == MLS_LATENT_OF_X, "latent", i, "down",
                "down_bias");
        add_norm(&a, &v->norm, "latent", i, "norm");
        add_map(&a, &v->rms, true, "latent", i, "rms", "rms_bias");
    }
    for (size_t i = 0; i < f->n_rope_keys; i++) {
        add_map(&a, &f->rope_key[i].map, true, "rope_key", i, "weight", "bias");
        if ((x = add(&a, f->rope_key[i].n / 2, 0, true, "rope_key", i, "inv_freq")))
            x->f64 = &f->rope_key[i].inv_freq;
    }
    for (size_t g = 0; g < f->G; g++) {
        add_map(&a, &f->head[g].key, false, "head", g, "up_key", "key_bias");
        add_map(&a, &f->head[g].value, false, "head", g, "up_value", "value_bias");
    }
    add_map(&a, &f->q_down, true, "query", none, "down", "down_bias");
    add_norm(&a, &f->q_down_norm, "query", none, "down_norm");
    add_map(&a, &f->query, true, "query", none, "weight", "bias");
    add_map(&a, &f->output, true, "output", none, "weight", "bias");
    add_map(&a, &f->key, true, "key", none, "weight", "bias");
    if (f->turns && (x = add(&a, f->D / 2, 0, false, "inv_freq", none, ""))) {
        snprintf(x->name, sizeof x->name, "inv_freq");
        x->f64 = &f->inv_freq;
        x->unbiased = &f->turns;
    }
    add_map(&a, &f->q_own, false, "rms", none, "query", "query_bias");
    add_map(&a, &f->k_own, false, "rms", none, "key", "key_bias");
    add_norm(&a, &f->sinks, "score", none, "sinks");
    add_map(&a, &f->gate, false, "gate", none, "weight", "bias");
    add_norm(&a, &f->q_norm, "norm", none, "query");
    add_norm(&a, &f->k_norm, "norm", none, "key");
    *out = a.item;
    *n = a.n;
    if (!a.failed)
        return MLS_OK;
    free(a.item);
    *out = NULL;
    return no_memory(f->layer, err);
}

static size_t numbers_of(const mls_latent_array *x)
{
    return x->rows * (x->cols ? x->cols : 1);
}

mls_status mls_latent_allocate(mls_latent_form *f, mls_err *err)
{
    mls_latent_array *a = NULL;
    size_t n = 0, floats = 0, doubles = 0;
    mls_status st;

    assert(!f->numbers);
    st = mls_latent_arrays(f, &a, &n, err);
    for (size_t i = 0; i < f->n_latents; i++)
        doubles += f->latent[i].n_tail;
    for (size_t i = 0; !st && i < n; i++)
        *(a[i].f64 ? &doubles : &floats) += numbers_of(&a[i]);
    if (!st && !(f->numbers = mls_calloc3(2 * doubles + floats, 1, 1, sizeof(float))))
        st = no_memory(f->layer, err);
    if (st) {
        free(a);
        mls_latent_free(f);
        return st;
    }
    double *d = f->numbers;
    float *s = (float *)f->numbers + 2 * doubles;

    for (size_t i = 0; i < f->n_latents; i++) {
        f->latent[i].tail = f->latent[i].n_tail ? d : NULL;
        d += f->latent[i].n_tail;
    }
    for (size_t i = 0; i < n; i++) {
        if (a[i].f64) {
            *a[i].f64 = d;
            d += numbers_of(&a[i]);
        } else {
            *a[i].f32 = s;
            s += numbers_of(&a[i]);
        }
    }
    free(a);
    return MLS_OK;
}

/* --- Making one --- */

static bool depends_on_length(const mls_rope_config *rope)
{
    return rope->type == MLS_ROPE_LONGROPE || rope->type == MLS_ROPE_DYNAMIC;
}

/* Whether all layers with attention have heads of one number and width. */
static bool are_alike(const mls_config *c)
{
    const mls_layer_shape *first = NULL;

    for (size_t l = 0; l < c->L; l++) {
        const mls_layer_shape *s = &c->layer[l];

        if (s->kind == MLS_LAYER_RECURRENT || s->kind == MLS_LAYER_NONE)
            continue;
        first = first ? first : s;
        if (s->H != first->H || s->G != first->G || s->K != first->K ||
            s->V != first->V)
            return false;
    }
    return true;
}

static bool has_sinks(const mls_config *c, size_t l)
{
    return c->net.sinks && (c->layer[l].window || !c->net.sinks_local);
}

const char *mls_latent_ours(const mls_config *c, size_t l)
{
    return c->layer[l].kind != MLS_LAYER_ATTENTION ? NULL
           : c->net.score_cap > 0 ? "attn_logit_softcapping: scores are soft-capped"
           : has_sinks(c, l)      ? "attention sinks"
           : c->net.out_gate      ? "a gate on what the heads read"
                                  : NULL;
}

const char *mls_latent_other(const mls_config *c, size_t l)
{
    const mls_net *n = &c->net;
    const mls_layer_shape *s = &c->layer[l];

    if (s->kind == MLS_LAYER_MLA)
        return "kv_lora_rank: the model caches a latent already";
    if (s->kind != MLS_LAYER_ATTENTION)
        return "a layer without keys and values";
    if (s->reads_other)
        return "it reads the keys and values of an earlier layer";
    if (mls_carried_keys(c, l) != SIZE_MAX)
        return "a later layer reads its keys and values";
    if (n->v_norm)
        return "a norm of the values";
    if (!are_alike(c) || s->K != s->V)
        return "heads whose number or width is not that of all keys and values";
    if (n->qk == MLS_QK_WIDTH)
        return "QK-norm over all heads together";
    if (n->qk == MLS_QK_HEAD_TURNED)
        return "QK-norm after RoPE";
    if (c->qk_norm && s->no_rope)
        return "QK-norm without RoPE";
    if (n->qk == MLS_QK_LAYER || n->qk == MLS_QK_LAYER_EACH)
        return "QK-norm by LayerNorm";
    if (n->alibi)
        return "ALiBi: scores fall with the distance";
    if (s->copies > 1)
        return "more than one cache";
    if (n->sub_norms)
        return "a norm of what the heads read";
    if (n->beside)
        return "a state space beside its heads";
    if (n->clip > 0)
        return "clip_qkv: queries, keys and values are clipped";
    if (n->query_beta > 0)
        return "llama_4_scaling_beta: queries grow with their place";
    if (s->sees)
        return "window_size: fewer tokens are seen than are kept";
    if (s->chunk)
        return "attention_chunk_size: chunked attention";
    if (!s->no_rope && depends_on_length(mls_config_layer_rope(c, l)))
        return "rope_type longrope or dynamic: RoPE depends on the length of the text";
    return NULL;
}

mls_status mls_latent_begin(mls_latent_form *f, const mls_config *c, size_t l,
                            size_t n_latents, size_t n_rope_keys, mls_err *err)
{
    *f = (mls_latent_form){.layer = l,
                           .E = c->E,
                           .H = c->H,
                           .G = c->G,
                           .D = c->D,
                           .n_latents = n_latents,
                           .n_rope_keys = n_rope_keys,
                           .query.biased = c->qkv_bias,
                           .output.biased = c->o_bias,
                           .scale = 1.0 / sqrt((double)c->D),
                           .score_cap = c->net.score_cap,
                           .sinks.n = has_sinks(c, l) ? c->H : 0,
                           .gate_soft = c->net.gate_soft,
                           .turns = true,
                           .norm_eps = c->rms_eps,
                           .sliding_window = c->layer[l].window,
                           .share_layer = MLS_NONE,
                           .token_budget = 1.0};
    if (c->net.out_gate)
        f->gate = mls_affine_shape(c->H * c->D, c->E, true);
    if (c->qk_folded) {
        f->q_own = mls_affine_shape(c->H * c->D, c->E, c->qkv_bias);
        f->k_own = mls_affine_shape(c->G * c->D, c->E, c->qkv_bias);
    }
    f->latent = mls_calloc3(n_latents, 1, 1, sizeof *f->latent);
    f->rope_key = mls_calloc3(n_rope_keys, 1, 1, sizeof *f->rope_key);
    f->head = mls_calloc3(c->G, 1, 1, sizeof *f->head);
    if (!f->latent || !f->rope_key || !f->head) {
        mls_latent_free(f);
        return no_memory(l, err);
    }
    for (size_t g = 0; g < c->G; g++)
        f->head[g] = (mls_read_head){
            .key_latent = MLS_NONE, .rope_key = MLS_NONE, .value_latent = MLS_NONE};
    return MLS_OK;
}

mls_affine mls_latent_queries(const mls_config *c, const mls_layer *layer)
{
    return mls_affine_of(layer->wq, layer->bq, c->H * c->D, c->E);
}

mls_affine mls_latent_keys(const mls_config *c, const mls_layer *layer)
{
    return mls_affine_of(layer->wk, layer->bk, c->G * c->D, c->E);
}

mls_affine mls_latent_values(const mls_config *c, const mls_layer *layer)
{
    return mls_affine_of(layer->wv, layer->bv, c->G * c->D, c->E);
}

/* The layer's own norm, where the form has one. */
static void put_norm(const mls_norm *norm, const float *own)
{
    if (norm->n)
        memcpy(norm->w, own, norm->n * sizeof *own);
}

mls_status mls_latent_start(mls_latent_form *f, const mls_config *c,
                            const mls_layer *layer, mls_err *err)
{
    const mls_affine output = mls_affine_of(layer->wo, layer->bo, c->E, c->H * c->D);
    mls_status st;

    if (mls_latent_other(c, layer->index))
        return no_form(c, layer->index, err);
    st = mls_latent_allocate(f, err);
    if (st)
        return st;
    mls_affine_put(&f->output, 0, &output, NULL, c->E);
    mls_layer_frequencies(f->inv_freq, c, layer->index);
    if (f->k_own.cols) {
        const mls_affine queries = mls_latent_queries(c, layer->own);
        const mls_affine keys = mls_latent_keys(c, layer->own);

        mls_affine_put(&f->q_own, 0, &queries, NULL, queries.rows);
        mls_affine_put(&f->k_own, 0, &keys, NULL, keys.rows);
    }
    put_norm(&f->sinks, layer->sinks);
    if (f->gate.cols) {
        const mls_affine gate =
            mls_affine_of(layer->w_attn_gate, layer->b_attn_gate, c->H * c->D, c->E);

        mls_affine_put(&f->gate, 0, &gate, NULL, gate.rows);
    }
    put_norm(&f->q_norm, layer->q_norm);
    put_norm(&f->k_norm, layer->k_norm);
    return MLS_OK;
}

mls_status mls_latent_end(mls_latent_form *f, mls_status st, mls_err *err)
{
    if (!st && !f->own)
        st = mls_latent_check(f, err);
    if (st)
        mls_latent_free(f);
    return st;
}

/* --- The model's own layer --- */

/* Only what the layer caches. */
static void own_shape(mls_latent_form *f, const mls_config *c, size_t l)
{
    const mls_layer_shape *s = &c->layer[l];

    *f = (mls_latent_form){.layer = l,
                           .E = c->E,
                           .H = s->H,
                           .G = s->G,
                           .D = s->K,
                           .own = c,
                           .sliding_window = s->window ? s->window : s->chunk,
                           .share_layer = MLS_NONE,
                           .token_budget = 1.0};
}

/*
 * Full rotated keys of every head: a rope key of all D dims where the projection is
 * enough, else (QK-norm) the rotated key itself as a latent; plain dims on NoPE layers.
 */
mls_status mls_latent_identity_shape(mls_latent_form *f, const mls_config *c, size_t l,
                                     mls_err *err)
{
    const size_t G = c->G, D = c->D;
    const bool no_rope = c->layer[l].no_rope, as_latents = c->qk_norm || no_rope;
    const mls_affine own = mls_affine_shape(D, c->E, c->qkv_bias);
    mls_status st;

    if (mls_latent_other(c, l)) {
        own_shape(f, c, l);
        return MLS_OK;
    }
    st = mls_latent_begin(f, c, l, as_latents ? 2 * G : G, as_latents ? 0 : G, err);
    if (st)
        return st;
    for (size_t g = 0; g < G; g++) {
        mls_read_head *head = &f->head[g];

        f->latent[g] = (mls_latent_vector){.r = D, .down = own, .holds_values = true};
        head->value_latent = (int)g;
        head->n_value = D;
        if (!as_latents) {
            f->rope_key[g] = (mls_rope_key){.n = D, .map = own};
            head->rope_key = (int)g;
            continue;
        }
        f->latent[G + g] = (mls_latent_vector){.r = D, .holds_keys = true};
        head->key_latent = (int)(G + g);
        head->n_key = D;
        if (no_rope) {
            f->latent[G + g].down = own;
        } else {
            f->latent[G + g].source = MLS_LATENT_OF_ROT_KEY;
            f->latent[G + g].head = g;
            head->rotation = MLS_ROTATE_BEFORE;
        }
    }
    if (c->qk_norm) {
        f->key = mls_affine_shape(G * D, c->E, c->qkv_bias);
        f->q_norm.n = f->k_norm.n = D;
    }
    return MLS_OK;
}

mls_status mls_latent_identity_fill(mls_latent_form *f, const mls_config *c,
                                    const mls_layer *w, mls_err *err)
{
    const size_t G = c->G, D = c->D;
    const mls_affine queries = mls_latent_queries(c, w), keys = mls_latent_keys(c, w);
    const mls_affine values = mls_latent_values(c, w);
    const mls_status st = f->own ? MLS_OK : mls_latent_start(f, c, w, err);

    if (st || f->own)
        return st;
    mls_affine_put(&f->query, 0, &queries, NULL, c->H * D);
    if (f->key.cols)
        mls_affine_put(&f->key, 0, &keys, NULL, G * D);
    for (size_t g = 0; g < G; g++) {
        const mls_affine key = mls_affine_rows(&keys, g * D, D);
        const mls_affine value = mls_affine_rows(&values, g * D, D);

        mls_affine_put(&f->latent[g].down, 0, &value, NULL, D);
        if (f->n_rope_keys) {
            mls_affine_put(&f->rope_key[g].map, 0, &key, NULL, D);
            mls_layer_frequencies(f->rope_key[g].inv_freq, c, w->index);
        } else if (f->latent[G + g].down.cols) {
            mls_affine_put(&f->latent[G + g].down, 0, &key, NULL, D);
        }
    }
    return MLS_OK;
}

mls_status mls_latent_identity(mls_latent_form *f, const mls_config *c,
                               const mls_layer *layer, mls_err *err)
{
    mls_status st = mls_latent_identity_shape(f, c, layer->index, err);

    if (!st)
        st = mls_latent_identity_fill(f, c, layer, err);
    return mls_latent_end(f, st, err);
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

        if (h->value_latent == (int)i && !h->value.cols)
            return MLS_PART_VALUE;
        if (h->key_latent == (int)i && !h->key.cols)
            return MLS_PART_KEY;
    }
    return v->holds_keys ? MLS_PART_KEY_LATENT : MLS_PART_LATENT;
}

/* What softmax cancels, a bias of keys that lost their RoPE, does not count. */
static bool is_biased(const mls_latent_form *f)
{
    bool any = f->query.biased || f->q_down.biased || f->output.biased;

    for (size_t b = 0; b < f->n_rope_keys; b++)
        any |= f->rope_key[b].map.biased;
    for (size_t j = 0; j < f->n_latents; j++)
        any |= f->latent[j].down.biased;
    for (size_t g = 0; g < f->G; g++)
        any |= f->head[g].value.biased;
    return any;
}

mls_status mls_latent_layout(const mls_latent_form *f, mls_cache_layer *out,
                             mls_err *err)
{
    mls_status st = MLS_OK;

    if (f->own) {
        *out = mls_size_layer(f->own, f->layer);
        out->token_budget = f->token_budget;
        out->shares_other |= f->share_layer >= 0;
        return MLS_OK;
    }
    *out = (mls_cache_layer){.window = f->sliding_window,
                             .shares_other = f->share_layer >= 0,
                             .token_budget = f->token_budget,
                             .biased = is_biased(f),
                             .uneven_rope = f->n_rope_keys && f->rope_key[0].uneven,
                             .parameters = mls_latent_parameters(f)};
    for (size_t b = 0; !st && b < f->n_rope_keys; b++) {
        size_t heads = 0;

        for (size_t g = 0; g < f->G; g++)
            heads += f->head[g].rope_key == (int)b;
        const bool plain = f->rope_key[b].n == f->D && heads == 1;
        st = mls_cache_add(out, plain ? MLS_PART_KEY : MLS_PART_ROPE_KEY,
                           f->rope_key[b].n, 1, heads > 1, &f->rope_key[b].quant, err);
    }
    for (size_t i = 0; i < f->n_latents; i++)
        out->foreign_norm |= f->latent[i].rms.cols > 0;
    for (size_t i = 0; !st && i < f->n_latents; i++)
        st = mls_cache_add(out, latent_kind(f, i), f->latent[i].r, 1, readers(f, i) > 1,
                           &f->latent[i].quant, err);
    if (!st && f->k_own.cols)
        st = mls_cache_add(out, MLS_PART_KEY_SCALE, 1, f->G, false, &(mls_quant){0},
                           err);
    if (st)
        mls_fail_in(err, st, "layer %zu", f->layer);
    return st;
}

size_t mls_latent_elements(const mls_latent_form *f)
{
    size_t n = f->own ? (size_t)mls_layer_numbers(&f->own->layer[f->layer]) : 0;

    for (size_t i = 0; i < f->n_latents; i++)
        n += f->latent[i].r;
    for (size_t b = 0; b < f->n_rope_keys; b++)
        n += f->rope_key[b].n;
    return n + (f->k_own.cols ? f->G : 0);
}

/* Of the layer's own attention: what a conversion would replace. */
static size_t own_parameters(const mls_latent_form *f)
{
    size_t n = 0;

    for (size_t i = 0; i < mls_tensor_layer_needs(f->own, f->layer); i++) {
        const mls_tensor_need t = mls_tensor_layer_need_at(f->own, f->layer, i);

        if (mls_tensor_is_projection(t.role))
            n += t.rows * (t.cols ? t.cols : 1);
    }
    return n;
}

size_t mls_latent_parameters(const mls_latent_form *f)
{
    if (f->own)
        return own_parameters(f);

    const size_t q_in = f->q_rank ? f->q_rank : f->E;
    size_t n = query_rows(f) * q_in + f->q_rank * f->E + f->E * output_columns(f);

    n += f->q_down_norm.n;
    for (size_t i = 0; i < f->n_latents; i++) {
        const mls_latent_vector *v = &f->latent[i];

        n += v->r * v->down.cols + v->norm.n + v->rms.rows * v->rms.cols;
    }
    for (size_t b = 0; b < f->n_rope_keys; b++)
        n += f->rope_key[b].n * f->E;
    for (size_t g = 0; g < f->G; g++) {
        const mls_read_head *h = &f->head[g];

        n += h->n_key * h->key.cols + h->n_value * h->value.cols;
    }
    return n + f->key.rows * f->key.cols + f->q_own.rows * f->q_own.cols +
           f->k_own.rows * f->k_own.cols + f->gate.rows * f->gate.cols;
}
