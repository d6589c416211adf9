/*
 * The model's own attention, as its class in transformers computes it: GQA with RoPE,
 * and what families add to it (mls_net). Latent attention is in mla.c.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/model/carried.h"
#include "analysis/model/forward.h"
#include "analysis/model/mla.h"
#include "analysis/model/recurrence.h"
#include "analysis/model/rope.h"
#include "analysis/numeric/kernels.h"
#include "common/base/checked.h"

/* A worker's scratch: all parts of one sequence, one after the other. */
typedef struct {
    float *q, *q_rot; /* (T, H K) */
    float *k, *k_rot; /* (T, G K) */
    float *v;         /* (T, G V) */
    float *read;      /* (T, H V): what the heads read */
    float *scores;    /* (MLS_ATTEND_ROWS, T) */
} parts;

static parts parts_of(float *scratch, size_t T, const mls_layer_shape *s)
{
    const size_t q = (size_t)s->H * s->K, k = (size_t)s->G * s->K;
    parts p;

    p.q = scratch;
    p.q_rot = p.q + T * q;
    p.k = p.q_rot + T * q;
    p.k_rot = p.k + T * k;
    p.v = p.k_rot + T * k;
    p.read = p.v + T * s->G * s->V;
    p.scores = p.read + T * s->H * s->V;
    return p;
}

/* An even number: doubles may lie behind it. */
static size_t heads_per_token(const mls_layer_shape *s)
{
    const size_t n = 2 * (size_t)(s->H + s->G) * s->K + (size_t)(s->H + s->G) * s->V;

    return n + n % 2 + MLS_ATTEND_ROWS;
}

/* Floats of scratch per token that a layer needs. */
static size_t per_token(const mls_config *c, const mls_layer_shape *s)
{
    if (s->kind == MLS_LAYER_MLA)
        return mls_mla_scratch(c, s);
    if (s->kind == MLS_LAYER_RECURRENT)
        return mls_recurrence_scratch(c);
    if (s->kind == MLS_LAYER_NONE)
        return 0;
    return heads_per_token(s) +
           (c->net.beside ? c->E + c->E % 2 + mls_recurrence_scratch(c) : 0);
}

/* The table of a layer's heads: one for each width and rope of the model. */
static mls_turn *turn_of(mls_own_attention *p, const mls_layer_shape *s)
{
    const size_t K = s->kind == MLS_LAYER_MLA ? p->config->mla_rope_dim : s->K;
    size_t i = 0;

    while (i < MLS_TURNS && p->turn[i].K &&
           !(p->turn[i].K == K && p->turn[i].local == s->local_rope))
        i++;
    if (i == MLS_TURNS)
        return NULL;
    if (!p->turn[i].K)
        p->turn[i] = (mls_turn){.K = K, .local = s->local_rope};
    return &p->turn[i];
}

static bool make_table(mls_own_attention *p, mls_turn *turn)
{
    mls_rope_config rope = turn->local ? p->config->rope_local : p->config->rope;
    const size_t C = turn->K / 2;
    double *inv_freq = mls_calloc3(C, 1, 1, sizeof *inv_freq);

    if (turn->cs || !inv_freq) {
        free(inv_freq);
        return turn->cs != NULL;
    }
    turn->cs = mls_calloc3(p->T_max, C, 2, sizeof *turn->cs);
    if (turn->cs) {
        rope.length = p->T_max;
        mls_rope_frequencies(inv_freq, &rope, turn->K);
        mls_rope_table(turn->cs, inv_freq, C, p->T_max);
    }
    free(inv_freq);
    return turn->cs != NULL;
}

mls_status mls_own_attention_new(mls_own_attention *p, const mls_config *config,
                                 size_t T_max, size_t n_workers, mls_err *err)
{
    size_t most = 0;

    *p = (mls_own_attention){.config = config, .T_max = T_max, .n_workers = n_workers};
    if (config->net.index_top_k && T_max > config->net.index_top_k)
        return mls_fail(err, MLS_E_INPUT,
                        "index_topk: of more than %zu tokens the indexer chooses those "
                        "that are seen, which is not computed, and a sequence has %zu",
                        config->net.index_top_k, T_max);
    for (size_t l = 0; l < config->L; l++) {
        const mls_layer_shape *s = &config->layer[l];
        const bool turns = s->kind != MLS_LAYER_RECURRENT && s->kind != MLS_LAYER_NONE;
        mls_turn *turn = turns ? turn_of(p, s) : NULL;

        if (per_token(config, s) > most)
            most = per_token(config, s);
        if (!turns)
            continue;
        if (!turn) {
            mls_own_attention_free(p);
            return mls_fail(err, MLS_E_INPUT,
                            "heads of more than %d widths or RoPEs in one model",
                            MLS_TURNS);
        }
        if (!make_table(p, turn))
            goto no_memory;
    }
    p->scratch = mls_calloc3(n_workers, 1, 1, sizeof *p->scratch);
    for (size_t i = 0; p->scratch && i < n_workers; i++) {
        p->scratch[i] = mls_calloc3(1, T_max * most + mls_recurrence_state(config), 1,
                                    sizeof(float));
        if (!p->scratch[i])
            goto no_memory;
    }
    if (p->scratch)
        return MLS_OK;

no_memory:
    mls_own_attention_free(p);
    return mls_fail(err, MLS_E_NOMEM,
                    "no memory for attention over %zu tokens on %zu threads", T_max,
                    n_workers);
}

void mls_own_attention_free(mls_own_attention *p)
{
    if (p->scratch)
        for (size_t i = 0; i < p->n_workers; i++)
            free(p->scratch[i]);
    free(p->scratch);
    for (size_t i = 0; i < MLS_TURNS; i++)
        free(p->turn[i].cs);
    *p = (mls_own_attention){0};
}

/* x_rot = rotate(x), n heads side by side; a copy where the layer does not rotate. */
static void rotate_heads(const mls_layer_shape *s, const float *cs, float *x_rot,
                         const float *x, size_t n, size_t T)
{
    const size_t D = s->K;

    memcpy(x_rot, x, T * n * D * sizeof *x);
    if (s->no_rope)
        return;
    for (size_t i = 0; i < n; i++)
        mls_rope_apply(x_rot + i * D, n * D, cs, D / 2, T, 1);
}

/* Norms of q or of k, n heads of D side by side, by the family's kind. */
static void norm_heads(const mls_config *c, float *x, const float *gain,
                       const float *bias, size_t n, size_t D, size_t T)
{
    const mls_qk_norm qk = c->net.qk;

    if (!gain && !c->net.qk_free)
        return;
    if (qk == MLS_QK_WIDTH) {
        mls_rmsnorm(x, x, gain, c->rms_eps, T, n * D);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        float *head = x + i * D;

        if (qk == MLS_QK_LAYER || qk == MLS_QK_LAYER_EACH)
            mls_layernorm(head, n * D, head,
                          gain + (qk == MLS_QK_LAYER_EACH ? i * D : 0), bias,
                          c->rms_eps, T, D);
        else
            mls_rmsnorm_rows(head, n * D, gain, c->rms_eps, T, D);
    }
}

static void clip(float *x, double limit, size_t n)
{
    for (size_t i = 0; limit > 0 && i < n; i++)
        x[i] = (float)fmin(fmax((double)x[i], -limit), limit);
}

/* Queries of later tokens grow: 1 + beta log(1 + floor(t / period)). */
static void scale_queries(const mls_net *n, const mls_layer_shape *s, float *q,
                          size_t width, size_t T)
{
    const size_t first = n->query_still ? 1 : 0;

    if (n->query_still && !s->no_rope)
        return;
    for (size_t t = 0; n->query_beta > 0 && t < T; t++) {
        const double place = (double)(t + first);
        const float by =
            (float)(1 + n->query_beta * log1p(floor(place / n->query_period)));

        for (size_t i = 0; i < width; i++)
            q[t * width + i] *= by;
    }
}

/* Slope of head h of H: powers of 2^(-8/n), n the largest power of two up to H, then
   every other power of 2^(-4/n) (Press et al. 2022, and the models that use it). */
static double slope_of(size_t h, size_t H)
{
    size_t n = 1;

    while (2 * n <= H)
        n *= 2;
    return h < n ? pow(2, -8.0 * (double)(h + 1) / (double)n)
                 : pow(2, -4.0 * (double)(2 * (h - n) + 1) / (double)n);
}

static bool is_common(const mls_net *n, const mls_layer_shape *s)
{
    return n->score_cap == 0 && !n->sinks && !n->alibi && s->chunk == 0;
}

static void attend_heads(const mls_config *c, const mls_layer *w,
                         const mls_layer_shape *s, const parts *a, size_t T)
{
    const size_t H = s->H, G = s->G, K = s->K, V = s->V;
    const size_t window = s->window ? s->window : s->sees;
    const double scale = 1.0 / sqrt((double)K);

    for (size_t h = 0; h < H; h++) {
        const size_t g = h / (H / G); /* the KV head of query head h */
        const mls_attend_how how = {
            .scale = scale,
            .window = window,
            .chunk = s->chunk,
            .cap = c->net.score_cap,
            .slope = c->net.alibi ? slope_of(h, H) : 0,
            .sink = w->sinks ? (double)w->sinks[h] : -(double)INFINITY,
        };

        const mls_strided q = {a->q_rot + h * K, H * K, K};
        const mls_strided k = {a->k_rot + g * K, G * K, K};
        const mls_strided v = {a->v + g * V, G * V, V};

        if (is_common(&c->net, s))
            mls_attend(a->read + h * V, H * V, q, k, v, T, scale, window, a->scores);
        else
            mls_attend_as(a->read + h * V, H * V, q, k, v, T, &how, a->scores);
    }
}

/* What the heads read, weighed by a sigmoid of x; q is free by now. */
static void gate_heads(const mls_config *c, const mls_layer *w,
                       const mls_layer_shape *s, const parts *a, const float *x,
                       size_t T, size_t E)
{
    const size_t width = (size_t)s->H * s->V;

    if (!w->w_attn_gate)
        return;
    mls_linear(a->q, x, w->w_attn_gate, w->b_attn_gate, T, width, E);
    for (size_t i = 0; i < T * width; i++)
        a->read[i] *= c->net.gate_soft ? (float)log1p(exp((double)a->q[i]))
                                       : (float)(1 / (1 + exp(-(double)a->q[i])));
}

/* Keys and values that later layers read are carried to them. */
static void pass_keys(const mls_config *c, const mls_layer *w, const parts *a,
                      float *carried, size_t T)
{
    const mls_layer_shape *s = &c->layer[w->index];
    const size_t at = mls_carried_keys(c, s->reads_other ? s->other : w->index);
    const size_t k = (size_t)s->G * s->K, v = (size_t)s->G * s->V;
    const size_t width = at == SIZE_MAX ? 0 : mls_carried_width(c);

    for (size_t t = 0; at != SIZE_MAX && t < T; t++) {
        float *kept = carried + t * width + at;
        float *own_k = a->k_rot + t * k, *own_v = a->v + t * v;

        memcpy(s->reads_other ? own_k : kept, s->reads_other ? kept : own_k,
               k * sizeof *kept);
        memcpy(s->reads_other ? own_v : kept + k, s->reads_other ? kept + k : own_v,
               v * sizeof *kept);
    }
}

mls_status mls_own_attention_run(void *arg, size_t sequence, size_t worker,
                                 const float *x, size_t T, float *out, float *carried,
                                 mls_err *err)
{
    mls_own_attention *p = arg;
    const mls_config *c = p->config;
    const mls_layer *w = p->layer;
    const mls_layer_shape *s = &c->layer[w->index];
    const size_t E = c->E, H = s->H, G = s->G, K = s->K, V = s->V;
    const bool after = c->net.qk == MLS_QK_HEAD_TURNED;

    if (T > p->T_max || worker >= p->n_workers)
        return mls_fail(err, MLS_E_ARG,
                        "attention made for %zu tokens and %zu threads was given "
                        "sequence %zu of %zu tokens on thread %zu",
                        p->T_max, p->n_workers, sequence, T, worker);
    if (s->kind == MLS_LAYER_RECURRENT) {
        mls_recurrence_run(c, w, x, T, out, p->scratch[worker]);
        return MLS_OK;
    }
    const float *cs = turn_of(p, s)->cs;

    if (s->kind == MLS_LAYER_MLA) {
        mls_mla_attention(c, w, cs, x, T, out, p->scratch[worker]);
        return MLS_OK;
    }
    const parts a = parts_of(p->scratch[worker], T, s);

    mls_packed_linear(w->packed, a.q, H * K, x, w->wq, w->bq, T, H * K, E);
    if (w->wk)
        mls_packed_linear(w->packed, a.k, G * K, x, w->wk, w->bk, T, G * K, E);
    if (w->wv)
        mls_packed_linear(w->packed, a.v, G * V, x, w->wv, w->bv, T, G * V, E);
    else if (w->wk) /* one matrix for both */
        memcpy(a.v, a.k, T * G * V * sizeof *a.v);
    for (size_t g = 0; c->net.v_norm && w->wk && g < G; g++)
        mls_rmsnorm_rows(a.v + g * V, G * V, NULL, c->rms_eps, T, V);
    if (!after) {
        norm_heads(c, a.q, w->q_norm, w->q_norm_bias, H, K, T);
        norm_heads(c, a.k, w->k_norm, w->k_norm_bias, G, K, T);
    }
    clip(a.q, c->net.clip, T * H * K);
    clip(a.k, c->net.clip, T * G * K);
    clip(a.v, c->net.clip, T * G * V);
    rotate_heads(s, cs, a.q_rot, a.q, H, T);
    rotate_heads(s, cs, a.k_rot, a.k, G, T);
    if (after && !(c->net.qk_free && s->no_rope)) {
        norm_heads(c, a.q_rot, w->q_norm, NULL, H, K, T);
        norm_heads(c, a.k_rot, w->k_norm, NULL, G, K, T);
    }
    scale_queries(&c->net, s, a.q_rot, H * K, T);
    pass_keys(c, w, &a, carried, T);
    if (p->see && mls_config_layer_is_seen(c, w->index)) {
        const mls_attention_view view = {.layer = w->index,
                                         .sequence = sequence,
                                         .worker = worker,
                                         .T = T,
                                         .x = x,
                                         .q = a.q,
                                         .k = a.k,
                                         .v = a.v,
                                         .q_rot = a.q_rot,
                                         .k_rot = a.k_rot};

        p->see(p->see_arg, &view);
    }
    attend_heads(c, w, s, &a, T);
    gate_heads(c, w, s, &a, x, T, E);
    if (w->attn_sub_norm)
        mls_rmsnorm(a.read, a.read, w->attn_sub_norm, c->rms_eps, T, H * V);
    mls_packed_linear(w->packed, out, E, a.read, w->wo, w->bo, T, E, H * V);
    if (c->net.beside) { /* its place in the scratch is behind the heads' */
        float *more = p->scratch[worker] + T * heads_per_token(s);

        mls_recurrence_run(c, w, x, T, more, more + T * (E + E % 2));
        mls_add(out, more, T * E);
    }
    return MLS_OK;
}
