/*
 * DeepSeek-V3's code divides scores by sqrt(nope + rope), so that queries are
 * multiplied by the form's own scale times that root. Its rope pairs lie side by side,
 * fastest first, ours half a key apart. It has no bias of values: probabilities sum to
 * 1, so that W_O b of all heads goes into the output's. Frequencies must follow from
 * config.json: the model's own, a power of its base, or a geometric series with its
 * first member as linear scaling.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/model/rope.h"
#include "common/base/checked.h"
#include "reports/export/export_deepseek.h"

static mls_status unfit(const mls_latent_form *f, const char *why, mls_err *err)
{
    return mls_fail(err, MLS_E_INPUT,
                    "deepseek: layer %zu %s; transmla, and x-ecomla with "
                    "init=paired, make what DeepSeek-V3's layers can hold",
                    f->layer, why);
}

/* Order of rope pairs, fastest first. @param[out] pair (n) */
static void order_pairs(size_t *pair, const double *inv_freq, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t at = i;

        for (; at > 0 && inv_freq[pair[at - 1]] < inv_freq[i]; at--)
            pair[at] = pair[at - 1];
        pair[at] = i;
    }
}

mls_status mls_deepseek_shape_of(mls_deepseek_shape *s, const mls_latent_form *f,
                                 mls_err *err)
{
    size_t pair[MLS_DIM_MAX / 2];

    *s = (mls_deepseek_shape){0};
    if (f->n_rope_keys != 1)
        return unfit(f,
                     f->n_rope_keys ? "has rope keys of its own for each head, and "
                                      "DeepSeek's heads share one"
                                    : "has no rope key, and DeepSeek's heads share one",
                     err);
    if (f->n_latents != 1 || f->latent[0].source != MLS_LATENT_OF_X)
        return unfit(f, "has more than one latent for keys and values", err);
    if (f->share_layer >= 0)
        return unfit(f, "uses another layer's cache", err);
    if (f->sliding_window)
        return unfit(f, "has a sliding window", err);
    if (f->token_budget < 1.0)
        return unfit(f, "drops tokens", err);
    if (f->q_norm.n || f->k_norm.n || f->k_own.cols)
        return unfit(f, "has QK-norm", err);
    if (f->latent[0].norm.n || f->q_down_norm.n)
        return unfit(f, "normalizes its latent already", err);
    for (size_t g = 0; g < f->G; g++) {
        const mls_read_head *h = &f->head[g];

        if (h->key_latent < 0 || h->rope_key < 0)
            return unfit(f, "reads no key dims from the latent", err);
        if (h->rotation != MLS_ROTATE_NEVER)
            return unfit(f, "rotates keys that come from the latent", err);
        if (h->n_key != f->head[0].n_key || h->n_value != f->head[0].n_value)
            return unfit(f, "has heads of different widths", err);
        s->o_bias = s->o_bias || h->value.b;
    }
    s->E = f->E;
    s->H = f->H;
    s->rank = f->latent[0].r;
    s->rope = f->rope_key[0].n;
    s->nope = f->head[0].n_key;
    s->value = f->head[0].n_value;
    s->q_rank = f->q_rank;
    s->bias = f->q_down.b || f->latent[0].down.b || f->rope_key[0].map.b;
    s->q_bias = f->query.b != NULL;
    s->o_bias = s->o_bias || f->output.b;
    order_pairs(pair, f->rope_key[0].inv_freq, s->rope / 2);
    for (size_t i = 0; i < s->rope / 2; i++)
        s->inv_freq[i] = f->rope_key[0].inv_freq[pair[i]];
    return MLS_OK;
}

mls_status mls_deepseek_biases(mls_deepseek_shape *s, const mls_latent_form *f,
                               bool stock, mls_err *err)
{
    const bool any = s->bias || s->q_bias;

    if (stock && s->q_bias)
        return mls_fail(err, MLS_E_INPUT,
                        "deepseek: layer %zu has a query bias, and DeepSeek-V3's %s "
                        "has none; --norm none writes what TransMLA's code reads",
                        f->layer, s->q_rank ? "q_b_proj" : "q_proj");
    if (stock) {
        s->bias = s->o_bias = s->bias || s->o_bias;
    } else {
        s->bias = any;
        s->q_bias = s->q_bias || (any && !s->q_rank);
    }
    return MLS_OK;
}

mls_status mls_deepseek_same(const mls_deepseek_shape *s, const mls_deepseek_shape *of,
                             size_t layer, mls_err *err)
{
    const struct {
        const char *name;
        size_t a, b;
    } each[] = {
        {"kv_lora_rank", s->rank, of->rank},
        {"qk_rope_head_dim", s->rope, of->rope},
        {"qk_nope_head_dim", s->nope, of->nope},
        {"v_head_dim", s->value, of->value},
        {"q_lora_rank", s->q_rank, of->q_rank},
        {"query bias", s->q_bias, of->q_bias},
        {"attention_bias", s->bias, of->bias},
        {"o_proj bias", s->o_bias, of->o_bias},
    };

    for (size_t i = 0; i < sizeof each / sizeof each[0]; i++)
        if (each[i].a != each[i].b)
            return mls_fail(
                err, MLS_E_INPUT,
                "deepseek: config.json has one %s for all layers, and layer "
                "0 has %zu, layer %zu has %zu; the nearest is %zu in every "
                "layer",
                each[i].name, each[i].b, layer, each[i].a,
                each[i].a > each[i].b ? each[i].a : each[i].b);
    for (size_t i = 0; i < s->rope / 2; i++)
        if (fabs(s->inv_freq[i] - of->inv_freq[i]) > 1e-9 * of->inv_freq[i])
            return mls_fail(err, MLS_E_INPUT,
                            "deepseek: config.json has the same RoPE frequencies for "
                            "all layers, and pair %zu of layer %zu turns by %g, of "
                            "layer 0 by %g; the nearest is rope=high in every layer",
                            i, layer, s->inv_freq[i], of->inv_freq[i]);
    return MLS_OK;
}

static bool gives(const mls_rope_config *rope, const mls_deepseek_shape *s)
{
    double inv_freq[MLS_DIM_MAX / 2];

    mls_rope_frequencies(inv_freq, rope, s->rope);
    for (size_t i = 0; i < s->rope / 2; i++)
        if (!(fabs(inv_freq[i] - s->inv_freq[i]) <= 1e-9 * s->inv_freq[i]))
            return false;
    return true;
}

mls_status mls_deepseek_rope(mls_rope_config *out, const mls_deepseek_shape *s,
                             const mls_config *config, mls_err *err)
{
    const size_t n = s->rope / 2;

    *out = config->rope; /* collapsed frequencies: every k-th of the model's */
    if (gives(out, s))
        return MLS_OK;
    /* The fastest n of the model's C: base^(-2c/D) = (base^(2n/D))^(-2c/2n). */
    out->theta = pow(config->rope.theta, (double)s->rope / (double)config->D);
    if (gives(out, s))
        return MLS_OK;
    /* Any geometric series, its first member as the factor of linear scaling. */
    *out = (mls_rope_config){.type = MLS_ROPE_LINEAR,
                             .theta =
                                 n > 1 ? pow(s->inv_freq[0] / s->inv_freq[1], (double)n)
                                       : config->rope.theta,
                             .factor = 1.0 / s->inv_freq[0]};
    if (gives(out, s))
        return MLS_OK;
    return mls_fail(err, MLS_E_INPUT,
                    "deepseek: config.json can only say RoPE frequencies that form a "
                    "geometric series, and the %zu of this setting do not; rope=high "
                    "and rope=low do",
                    n);
}

/* --- Tensors --- */

void mls_deepseek_layer_free(mls_deepseek_layer *y)
{
    for (size_t i = 0; i < y->n; i++)
        free(y->tensor[i].data);
    *y = (mls_deepseek_layer){0};
}

static float *add(mls_deepseek_layer *y, const char *name, size_t rows, size_t cols)
{
    mls_deepseek_tensor *t = &y->tensor[y->n++];

    *t = (mls_deepseek_tensor){name, rows, cols,
                               mls_calloc3(rows, cols ? cols : 1, 1, sizeof(float))};
    return t->data;
}

/* Half-split row of a rope part that comes at place i of the interleaved order. */
static size_t rope_row(const size_t *pair, size_t n, size_t i)
{
    return pair[i / 2] + (i % 2) * (n / 2);
}

static void fill_queries(float *w, float *b, const mls_deepseek_shape *s,
                         const mls_latent_form *f, const size_t *pair)
{
    const size_t width = s->nope + s->rope, columns = s->q_rank ? s->q_rank : s->E;
    const double fold = f->scale * sqrt((double)width);

    for (size_t i = 0; i < s->H * width; i++) {
        const size_t at = i % width;
        const size_t from =
            i - at +
            (at < s->nope ? at : s->nope + rope_row(pair, s->rope, at - s->nope));
        const float *row = f->query.w + from * columns;

        for (size_t e = 0; e < columns; e++)
            w[i * columns + e] = (float)(fold * (double)row[e]);
        if (b && f->query.b)
            b[i] = (float)(fold * (double)f->query.b[from]);
    }
}

/* to = scale * from, n numbers; nothing without one of the two. */
static void scaled(float *to, const float *from, size_t n, double scale)
{
    for (size_t i = 0; to && from && i < n; i++)
        to[i] = (float)(scale * (double)from[i]);
}

/* Rows of the latent, then the rope key. */
static void fill_down(float *w, float *b, const mls_deepseek_shape *s, double scale,
                      const mls_latent_form *f, const size_t *pair)
{
    const mls_latent_vector *v = &f->latent[0];
    const mls_rope_key *key = &f->rope_key[0];

    scaled(w, v->down.w, s->rank * s->E, scale);
    scaled(b, v->down.b, s->rank, scale);
    for (size_t i = 0; i < s->rope; i++) {
        const size_t from = rope_row(pair, s->rope, i);

        memcpy(w + (s->rank + i) * s->E, key->map.w + from * s->E, s->E * sizeof *w);
        if (b && key->map.b)
            b[s->rank + i] = key->map.b[from];
    }
}

/* Up-projection or, where there is none, the latent itself. */
static void fill_rows(float *w, const float *up, size_t rows, size_t rank)
{
    if (up)
        memcpy(w, up, rows * rank * sizeof *w);
    for (size_t i = 0; !up && i < rows; i++)
        w[i * rank + i] = 1.0F;
}

static void fill_up(float *w, const mls_deepseek_shape *s, const mls_latent_form *f)
{
    for (size_t h = 0; h < s->H; h++) {
        const mls_read_head *head = &f->head[h / (f->H / f->G)];

        fill_rows(w, head->key.w, s->nope, s->rank);
        w += s->nope * s->rank;
        fill_rows(w, head->value.w, s->value, s->rank);
        w += s->value * s->rank;
    }
}

/* A value's bias reaches the output whole, because probabilities sum to 1. */
static void fill_output_bias(float *b, const mls_deepseek_shape *s,
                             const mls_latent_form *f, double residual)
{
    const size_t columns = s->H * s->value;

    for (size_t e = 0; e < s->E; e++) {
        double sum = f->output.b ? (double)f->output.b[e] : 0.0;

        for (size_t h = 0; h < s->H; h++) {
            const float *bias = f->head[h / (f->H / f->G)].value.b;

            for (size_t i = 0; bias && i < s->value; i++)
                sum += (double)f->output.w[e * columns + h * s->value + i] *
                       (double)bias[i];
        }
        b[e] = (float)(residual * sum);
    }
}

static void add_norm(mls_deepseek_layer *y, const char *name, size_t n,
                     const mls_deepseek_norm *norm)
{
    float *w = norm->used ? add(y, name, n, 0) : NULL;

    for (size_t i = 0; w && i < n; i++)
        w[i] = (float)norm->weight;
}

mls_status mls_deepseek_make(mls_deepseek_layer *y, const mls_deepseek_shape *s,
                             const mls_deepseek_norms_of *norms,
                             const mls_latent_form *f, const mls_layer *body, size_t F,
                             double residual, mls_err *err)
{
    const size_t width = s->nope + s->rope, E = s->E, H = s->H;
    const bool low = s->q_rank > 0;
    size_t pair[MLS_DIM_MAX / 2];
    float *q_down, *q_down_b, *q, *q_b, *down, *down_b, *up, *o, *o_b;
    float *attn_norm, *mlp_norm, *w_gate, *w_up, *w_down;

    *y = (mls_deepseek_layer){0};
    q_down = low ? add(y, "self_attn.q_a_proj.weight", s->q_rank, E) : NULL;
    q_down_b = low && s->bias ? add(y, "self_attn.q_a_proj.bias", s->q_rank, 0) : NULL;
    if (low)
        add_norm(y, "self_attn.q_a_layernorm.weight", s->q_rank, &norms->q);
    q = add(y, low ? "self_attn.q_b_proj.weight" : "self_attn.q_proj.weight", H * width,
            low ? s->q_rank : E);
    q_b = s->q_bias ? add(y, low ? "self_attn.q_b_proj.bias" : "self_attn.q_proj.bias",
                          H * width, 0)
                    : NULL;
    down = add(y, "self_attn.kv_a_proj_with_mqa.weight", s->rank + s->rope, E);
    down_b = s->bias ? add(y, "self_attn.kv_a_proj_with_mqa.bias", s->rank + s->rope, 0)
                     : NULL;
    add_norm(y, "self_attn.kv_a_layernorm.weight", s->rank, &norms->kv);
    up = add(y, "self_attn.kv_b_proj.weight", H * (s->nope + s->value), s->rank);
    o = add(y, "self_attn.o_proj.weight", E, H * s->value);
    o_b = s->o_bias ? add(y, "self_attn.o_proj.bias", E, 0) : NULL;
    attn_norm = add(y, "input_layernorm.weight", E, 0);
    mlp_norm = add(y, "post_attention_layernorm.weight", E, 0);
    w_gate = add(y, "mlp.gate_proj.weight", F, E);
    w_up = add(y, "mlp.up_proj.weight", F, E);
    w_down = add(y, "mlp.down_proj.weight", E, F);
    for (size_t i = 0; i < y->n; i++)
        if (!y->tensor[i].data) {
            mls_deepseek_layer_free(y);
            return mls_fail(err, MLS_E_NOMEM, "no memory for the tensors of layer %zu",
                            f->layer);
        }
    order_pairs(pair, f->rope_key[0].inv_freq, s->rope / 2);
    scaled(q_down, f->q_down.w, s->q_rank * E, norms->q.scale);
    scaled(q_down_b, f->q_down.b, s->q_rank, norms->q.scale);
    fill_queries(q, q_b, s, f, pair);
    fill_down(down, down_b, s, norms->kv.scale, f, pair);
    fill_up(up, s, f);
    scaled(o, f->output.w, E * H * s->value, residual);
    if (o_b)
        fill_output_bias(o_b, s, f, residual);
    scaled(attn_norm, body->attn_norm, E, 1);
    scaled(mlp_norm, body->mlp_norm, E, 1);
    scaled(w_gate, body->w_gate, F * E, 1);
    scaled(w_up, body->w_up, F * E, 1);
    scaled(w_down, body->w_down, E * F, residual);
    return MLS_OK;
}
