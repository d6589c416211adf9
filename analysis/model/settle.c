/*
 * Families write the same computation in many ways. Read into one form, every method
 * and every statistic works on all of them:
 *
 *   - fused projections are taken apart, transposed matrices turned;
 *   - gains of 1 + w become gains (float sums, as llama.cpp's converter stores them);
 *   - the rows of q and k are put in the order in which RoPE is half-split over the
 *     whole head: pairs (c, c + D/2), those that do not turn at last. Scores are sums
 *     over dims, so one order for q and k changes nothing;
 *   - a scale of the scores other than 1 / sqrt(K), and the factor by which YaRN and
 *     LongRoPE multiply what turns, go into q (or into its norm's gain);
 *   - a multiplier of what a block adds goes into wo and w_down.
 */
#include "analysis/model/settle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/checked.h"

static mls_status no_memory(const mls_layer *w, mls_err *err)
{
    return mls_fail(err, MLS_E_NOMEM, "no memory for the weights of layer %zu",
                    w->index);
}

static void scale(float *x, size_t n, double by)
{
    for (size_t i = 0; x && i < n; i++)
        x[i] = (float)((double)x[i] * by);
}

void mls_gain_settle(const mls_config *config, bool ready, float *gain, size_t n)
{
    for (size_t i = 0; gain && config->net.unit_offset && !ready && i < n; i++)
        gain[i] += 1.0f;
}

/* x (rows, cols) becomes (cols, rows). */
static bool transpose(float **x, size_t rows, size_t cols)
{
    float *out;

    if (!*x)
        return true;
    out = mls_calloc3(rows, cols, 1, sizeof *out);
    if (!out)
        return false;
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            out[j * rows + i] = (*x)[i * cols + j];
    free(*x);
    *x = out;
    return true;
}

/* ---- fused matrices ---- */

/* CodeGen: q, v, k of the first quarter of the heads, then of the second ... */
static void split_quarters(const mls_layer_shape *s, const float *from, float *q,
                           float *k, float *v, size_t width)
{
    const size_t n = (size_t)s->H * s->K / 4 * width;

    for (size_t i = 0; i < 4; i++, from += 3 * n) {
        memcpy(q + i * n, from, n * sizeof *q);
        memcpy(v + i * n, from + n, n * sizeof *v);
        memcpy(k + i * n, from + 2 * n, n * sizeof *k);
    }
}

/* q, k and v of `width` numbers a row (1 for biases) out of one matrix. */
static bool split_qkv(const mls_config *c, const mls_layer_shape *s, float **fused,
                      float **q, float **k, float **v, size_t width)
{
    if (!*fused)
        return true;

    const size_t H = s->H, G = s->G, K = s->K, V = s->V;
    /* Runs of rows that belong together: all heads, one head, one KV head. */
    const size_t runs = c->net.qkv == MLS_QKV_STACKED   ? 1
                        : c->net.qkv == MLS_QKV_BY_HEAD ? H
                                                        : G;
    const size_t nq = H / runs * K * width, nk = G / runs * K * width;
    const size_t nv = G / runs * V * width;
    const float *from = *fused;

    *q = mls_calloc3(H, K, width, sizeof **q);
    *k = mls_calloc3(G, K, width, sizeof **k);
    *v = mls_calloc3(G, V, width, sizeof **v);
    if (!*q || !*k || !*v)
        return false;
    if (c->net.qkv == MLS_QKV_QUARTERS)
        split_quarters(s, from, *q, *k, *v, width);
    for (size_t i = 0; c->net.qkv != MLS_QKV_QUARTERS && i < runs; i++) {
        memcpy(*q + i * nq, from, nq * sizeof *from);
        memcpy(*k + i * nk, from + nq, nk * sizeof *from);
        memcpy(*v + i * nv, from + nq + nk, nv * sizeof *from);
        from += nq + nk + nv;
    }
    free(*fused);
    *fused = NULL;
    return true;
}

/* q and gate of head 0, then of head 1 ..., n numbers each, become q and gate. */
static bool split_gate(size_t H, size_t n, float **both, float **gate)
{
    float *q;

    if (!*both)
        return true;
    q = mls_calloc3(H, n, 1, sizeof *q);
    *gate = mls_calloc3(H, n, 1, sizeof *q);
    if (!q || !*gate) {
        free(q);
        return false;
    }
    for (size_t h = 0; h < H; h++) {
        memcpy(q + h * n, *both + 2 * h * n, n * sizeof *q);
        memcpy(*gate + h * n, *both + (2 * h + 1) * n, n * sizeof *q);
    }
    free(*both);
    *both = q;
    return true;
}

/* n times (gate; up) of F * width numbers each. */
static bool split_halves(float **fused, float **gate, float **up, size_t n, size_t half)
{
    if (!*fused)
        return true;
    *gate = mls_calloc3(n, half, 1, sizeof **gate);
    *up = mls_calloc3(n, half, 1, sizeof **up);
    if (!*gate || !*up)
        return false;
    for (size_t i = 0; i < n; i++) {
        memcpy(*gate + i * half, *fused + 2 * i * half, half * sizeof **gate);
        memcpy(*up + i * half, *fused + (2 * i + 1) * half, half * sizeof **up);
    }
    free(*fused);
    *fused = NULL;
    return true;
}

/* n planes (rows, cols) each become (cols, rows). */
static bool turn_planes(float **x, size_t n, size_t rows, size_t cols)
{
    float *out;

    if (!*x)
        return true;
    out = mls_calloc3(n, rows, cols, sizeof *out);
    if (!out)
        return false;
    for (size_t p = 0; p < n; p++)
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < cols; j++)
                out[(p * cols + j) * rows + i] = (*x)[(p * rows + i) * cols + j];
    free(*x);
    *x = out;
    return true;
}

/* Rows gate, up, gate, up ... of n planes become all of gate, then all of up. */
static bool unzip(float **x, size_t n, size_t F, size_t width)
{
    float *out;

    if (!*x)
        return true;
    out = mls_calloc3(n, 2 * F, width, sizeof *out);
    if (!out)
        return false;
    for (size_t p = 0; p < n; p++)
        for (size_t i = 0; i < 2 * F; i++)
            memcpy(out + (p * 2 * F + i % 2 * F + i / 2) * width,
                   *x + (p * 2 * F + i) * width, width * sizeof *out);
    free(*x);
    *x = out;
    return true;
}

/* q, k, v, z of key head 0, then of key head 1 ..., become all of q, k, v; all of z. */
static bool split_delta(const mls_config *c, mls_layer *w)
{
    const mls_recurrent *r = &c->net.recurrent;
    const size_t E = c->E, K = r->K * E, V = r->heads / r->groups * r->V * E;
    const size_t per = r->heads / r->groups * E;
    float *in = mls_calloc3(r->groups, 2 * K + V, 1, sizeof *in);
    float *b = mls_calloc3(r->heads, E, 1, sizeof *b);
    const float *from = w->rec_in, *gates = w->rec_b;

    w->rec_z = mls_calloc3(r->groups, V, 1, sizeof *in);
    w->rec_a = mls_calloc3(r->heads, E, 1, sizeof *b);
    if (!in || !b || !w->rec_z || !w->rec_a) {
        mls_free_all(in, b);
        return false;
    }
    for (size_t g = 0; g < r->groups; g++) {
        memcpy(in + g * K, from, K * sizeof *in);
        memcpy(in + (r->groups + g) * K, from + K, K * sizeof *in);
        memcpy(in + 2 * r->groups * K + g * V, from + 2 * K, V * sizeof *in);
        memcpy(w->rec_z + g * V, from + 2 * K + V, V * sizeof *in);
        memcpy(b + g * per, gates, per * sizeof *b);
        memcpy(w->rec_a + g * per, gates + per, per * sizeof *b);
        from += 2 * (K + V);
        gates += 2 * per;
    }
    mls_free_all(w->rec_in, w->rec_b);
    w->rec_in = in;
    w->rec_b = b;
    return true;
}

static bool settle_experts(const mls_config *c, mls_layer *w)
{
    const mls_experts *x = &c->net.experts;
    const size_t n = x->n, F = x->F, E = c->E;
    bool done = true;

    for (size_t i = 0; w->router_gain && i < n * E; i++)
        w->router[i] = (float)((double)w->router[i] * (double)w->router_gain[i % E] /
                               sqrt((double)E));
    for (size_t i = 0; w->expert_gain && i < n; i++)
        scale(w->expert_down + i * E * F, E * F, (double)w->expert_gain[i]);

    if (x->layout == MLS_EXPERTS_ROWS)
        done = turn_planes(&w->expert_down, n, F, E);
    if (x->layout == MLS_EXPERTS_TRANSPOSED || x->layout == MLS_EXPERTS_ZIPPED)
        done = turn_planes(&w->expert_gate_up, n, E, 2 * F) &&
               turn_planes(&w->expert_down, n, F, E);
    if (x->layout == MLS_EXPERTS_ZIPPED)
        done = done && unzip(&w->expert_gate_up, n, F, E) &&
               unzip(&w->expert_gate_up_bias, n, F, 1);
    return done &&
           split_halves(&w->expert_gate_up, &w->expert_gate, &w->expert_up, n, F * E) &&
           split_halves(&w->expert_gate_up_bias, &w->expert_gate_bias,
                        &w->expert_up_bias, n, F) &&
           split_halves(&w->shared_gate_up, &w->shared_gate, &w->shared_up, 1,
                        x->shared_F * E);
}

/* A gate's row for each head becomes one for each of its dims. */
static bool spread_gate(const mls_layer_shape *s, size_t E, float **gate)
{
    float *out = *gate ? mls_calloc3(s->H, s->V, E, sizeof *out) : NULL;

    if (!*gate)
        return true;
    if (!out)
        return false;
    for (size_t i = 0; i < (size_t)s->H * s->V; i++)
        memcpy(out + i * E, *gate + i / s->V * E, E * sizeof *out);
    free(*gate);
    *gate = out;
    return true;
}

static bool settle_matrices(const mls_config *c, const mls_layer_shape *s, mls_layer *w)
{
    const size_t E = c->E, F = mls_config_mlp_width(c, w->index);
    const size_t rows = (size_t)s->H * s->K + (size_t)s->G * (s->K + s->V);

    if (c->net.transposed &&
        !(transpose(&w->qkv, E, rows) && transpose(&w->wo, (size_t)s->H * s->V, E) &&
          transpose(&w->w_up, E, F) && transpose(&w->w_down, F, E)))
        return false;
    return split_qkv(c, s, &w->qkv, &w->wq, &w->wk, &w->wv, E) &&
           split_qkv(c, s, &w->qkv_bias, &w->bq, &w->bk, &w->bv, 1) &&
           (!c->net.gate_heads || spread_gate(s, E, &w->w_attn_gate)) &&
           (!c->net.q_gate ||
            (split_gate(s->H, (size_t)s->K * E, &w->wq, &w->w_attn_gate) &&
             split_gate(s->H, s->K, &w->bq, &w->b_attn_gate))) &&
           (!c->net.recurrent.by_group || !w->rec_in || split_delta(c, w)) &&
           split_halves(&w->gate_up, &w->w_gate, &w->w_up, 1, F * E) &&
           settle_experts(c, w);
}

/* ---- the order of dims, and scales ---- */

/* Where dim i of the settled order is in the file's. */
static size_t source_of(size_t i, size_t D, size_t dims, const mls_net *n)
{
    const size_t c = i % (D / 2), turning = dims / 2;
    /* To turn backward is to turn forward with both halves exchanged. */
    const size_t upper = (i >= D / 2) != n->backward;
    const bool interleaved = n->interleaved;

    if (c < turning)
        return interleaved ? 2 * c + upper : c + upper * turning;
    return dims + (c - turning) + upper * (D / 2 - turning);
}

/* Put the rows of n heads (width numbers each) in the settled order. */
static bool order_rows(float *x, size_t n, size_t D, size_t dims, const mls_net *net,
                       size_t width)
{
    float *head = x ? mls_calloc3(D, width, 1, sizeof *head) : NULL;

    if (!x)
        return true;
    if (!head)
        return false;
    for (size_t h = 0; h < n; h++) {
        float *rows = x + h * D * width;

        memcpy(head, rows, D * width * sizeof *head);
        for (size_t i = 0; i < D; i++)
            memcpy(rows + i * width, head + source_of(i, D, dims, net) * width,
                   width * sizeof *head);
    }
    free(head);
    return true;
}

/* Multiply dims of n heads in the settled order: those that turn by more. */
static void scale_heads(float *x, size_t n, size_t D, size_t dims, size_t width,
                        double all, double turning)
{
    for (size_t i = 0; x && i < n * D; i++)
        scale(x + i * width, width, i % D % (D / 2) < dims / 2 ? all * turning : all);
}

static bool settle_heads(const mls_config *c, const mls_layer_shape *s, mls_layer *w)
{
    const mls_rope_config *rope = mls_config_layer_rope(c, w->index);
    const size_t D = s->K, E = c->E, H = s->H, G = s->G;
    const size_t dims = rope->dims && rope->dims < D ? rope->dims : D;
    const mls_qk_norm qk = c->net.qk;
    const bool one_gain =
        qk == MLS_QK_HEAD || qk == MLS_QK_HEAD_TURNED || qk == MLS_QK_LAYER;
    /* A norm after RoPE takes it out again. */
    const bool turned = rope->attention > 0 && !s->no_rope && qk != MLS_QK_HEAD_TURNED;
    const double m = turned ? rope->attention : 1;
    const double all =
        c->net.score_scale > 0 ? c->net.score_scale * sqrt((double)D) : 1;

    if (!s->no_rope && !c->net.positions && !c->net.alibi &&
        (dims < D || c->net.interleaved || c->net.backward)) {
        const mls_net *inter = &c->net;

        if (!(order_rows(w->wq, H, D, dims, inter, E) &&
              order_rows(w->bq, H, D, dims, inter, 1) &&
              order_rows(w->wk, G, D, dims, inter, E) &&
              order_rows(w->bk, G, D, dims, inter, 1) &&
              order_rows(w->q_norm, one_gain ? 1 : H, D, dims, inter, 1) &&
              order_rows(w->k_norm, one_gain ? 1 : G, D, dims, inter, 1) &&
              order_rows(w->q_norm_bias, 1, D, dims, inter, 1) &&
              order_rows(w->k_norm_bias, 1, D, dims, inter, 1)))
            return false;
    }
    if (all == 1 && m == 1)
        return true;
    if (qk && !c->net.qk_free) {
        scale_heads(w->q_norm, one_gain ? 1 : H, D, dims, 1, all, m * m);
        scale_heads(w->q_norm_bias, 1, D, dims, 1, all, m * m);
    } else {
        scale_heads(w->wq, H, D, dims, E, all, m * m);
        scale_heads(w->bq, H, D, dims, 1, all, m * m);
    }
    return true;
}

static void settle_residual(const mls_config *c, const mls_layer_shape *s, mls_layer *w)
{
    const double r = c->net.residual_scale;
    const mls_experts *x = &c->net.experts;

    if (r == 0 || r == 1)
        return;
    scale(w->rec_out,
          c->E * (c->net.recurrent.kind == MLS_REC_CONV
                      ? c->E
                      : c->net.recurrent.heads * c->net.recurrent.V),
          r);
    scale(w->rec_out_bias, c->E, r);
    scale(w->wo, c->E * s->H * s->V, r);
    scale(w->bo, c->E, r);
    scale(w->w_down, c->E * c->F, r);
    scale(w->b_down, c->E, r);
    scale(w->expert_down, x->n * c->E * x->F, r);
    scale(w->expert_down_bias, x->n * c->E, r);
    scale(w->shared_down, c->E * x->shared_F, r);
}

/* Falcon-H1 multiplies what goes into its parts and what comes out of them. */
static void settle_multipliers(const mls_config *c, const mls_layer_shape *s,
                               mls_layer *w)
{
    const mls_multipliers *m = &c->net.multiply;
    const mls_recurrent *r = &c->net.recurrent;
    const size_t E = c->E, inner = r->heads * r->V;
    const size_t rows[5] = {inner, inner, r->groups * r->K, r->groups * r->K, r->heads};
    size_t at = 0;

    scale(w->wq, (size_t)s->H * s->K * E, m->in);
    scale(w->wk, (size_t)s->G * s->K * E, m->in * m->key);
    scale(w->bk, (size_t)s->G * s->K, m->key);
    scale(w->wv, (size_t)s->G * s->V * E, m->in);
    scale(w->wo, (size_t)s->H * s->V * E, m->out);
    scale(w->bo, E, m->out);
    for (size_t i = 0; i < 5; at += rows[i], i++) {
        scale(w->rec_in + at * E, rows[i] * E, m->ssm_in * m->ssm[i]);
        scale(w->rec_in_bias ? w->rec_in_bias + at : NULL, rows[i], m->ssm[i]);
    }
    scale(w->rec_out, E * inner, m->ssm_out);
    scale(w->rec_out_bias, E, m->ssm_out);
    scale(w->w_gate, c->F * E, m->gate);
    scale(w->b_gate, c->F, m->gate);
    scale(w->w_down, c->F * E, m->down);
    scale(w->b_down, E, m->down);
}

static void settle_gains(const mls_config *c, const mls_layer_shape *s, bool ready,
                         mls_layer *w)
{
    float *const wide[] = {w->attn_norm, w->attn_post_norm, w->mlp_norm,
                           w->mlp_post_norm};

    for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++)
        mls_gain_settle(c, ready, wide[i], c->E);
    mls_gain_settle(c, ready, w->q_norm, s->K);
    mls_gain_settle(c, ready, w->k_norm, s->K);
}

mls_status mls_layer_settle(const mls_config *config, bool ready, mls_layer *layer,
                            mls_err *err)
{
    const mls_layer_shape *s = &config->layer[layer->index];

    settle_gains(config, s, ready, layer);
    if (!settle_matrices(config, s, layer) ||
        (s->kind == MLS_LAYER_ATTENTION && !settle_heads(config, s, layer)))
        return no_memory(layer, err);
    settle_residual(config, s, layer);
    if (config->net.value_scale > 0) {
        scale(layer->wv, (size_t)s->G * s->V * config->E, config->net.value_scale);
        scale(layer->bv, (size_t)s->G * s->V, config->net.value_scale);
    }
    if (config->net.experts.shared_mean)
        scale(layer->shared_down, config->E * config->net.experts.shared_F, 0.5);
    if (config->net.beside && layer->rec_in && layer->wq)
        settle_multipliers(config, s, layer);
    return MLS_OK;
}
