/*
 * Gemma 3n and 4, as their classes in transformers compute them; n rows are n tokens.
 *
 * Numbers of a token's own (per-layer embeddings), p for layer l of L:
 *   p = (norm(map(h0) / sqrt(E)) + table[id] sqrt(P)) / sqrt(2), h0 the embedding
 *   y += norm(out(act(gate(h)) * p)) behind the MLP, y the state that is added to
 * AltUp (arXiv 2301.13310): S states s_0 .. s_(S-1), a layer sees the active one.
 *   m(x) = tanh(router(norm(x)) / E)
 *   predicted_j = s_j + sum_i s_i (P m(s_a))_(j S + i)
 *   s_j = predicted_j + (h - predicted_a) (1 + (C m(h))_j), h what the layer made
 * Laurel: a map of low rank beside the heads. The last layer joins the states, each
 * brought to the length of the first.
 */
#include "analysis/model/carried.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/model/block.h"
#include "analysis/numeric/kernels.h"
#include "common/base/checked.h"

/* ---- what lies where: states, numbers of all layers, keys and values ---- */

static size_t inputs_at(const mls_config *c)
{
    return c->net.carry.streams * c->E;
}

static bool is_read(const mls_config *c, size_t l)
{
    for (size_t i = l + 1; i < c->L; i++)
        if (c->layer[i].reads_other && c->layer[i].other == l)
            return true;
    return false;
}

/* The place of layer l's keys, or the end of all when l is L. */
static size_t keys_at(const mls_config *c, size_t l)
{
    size_t at = inputs_at(c) + c->L * c->net.carry.inputs;

    for (size_t i = 0; i < l; i++)
        if (is_read(c, i))
            at += (size_t)c->layer[i].G * (c->layer[i].K + c->layer[i].V);
    return at;
}

size_t mls_carried_width(const mls_config *config)
{
    return keys_at(config, config->L);
}

size_t mls_carried_keys(const mls_config *config, size_t l)
{
    return is_read(config, l) ? keys_at(config, l) : SIZE_MAX;
}

/* ---- the embedding ---- */

typedef struct {
    float *map, *norm, *streams; /* NULL: none */
    float *made, *row;           /* (L P) each */
} embedding;

static double rms(const float *x, size_t n, double least)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(fmax(sum / (double)n, least));
}

/* y = map x, brought to the length that `like` has. */
static void map_alike(float *y, const float *map, const float *x, const float *like,
                      size_t E)
{
    mls_linear(y, x, map, NULL, 1, E, E);
    const double by = rms(like, E, 0) / rms(y, E, 1e-5);

    for (size_t i = 0; i < E; i++)
        y[i] = (float)((double)y[i] * by);
}

static mls_status embed_token(const mls_model *m, const embedding *e, int32_t id,
                              const float *h, float *carried, mls_err *err)
{
    const mls_config *c = mls_model_config(m);
    const mls_carry *y = &c->net.carry;
    const mls_tensor_need t = mls_tensor_of(c, MLS_TENSOR_INPUTS);
    const size_t E = c->E, P = y->inputs, n = c->L * P;
    float *inputs = carried + inputs_at(c);
    /* Gemma 3n: ids beyond the table are read as 0. */
    const size_t row = (size_t)id < y->inputs_vocab ? (size_t)id : 0;
    mls_status st = MLS_OK;

    for (size_t s = 0; s < y->streams; s++) {
        if (s == 0)
            memcpy(carried, h, E * sizeof *h);
        else
            map_alike(carried + s * E, e->streams + (s - 1) * E * E, h, h, E);
    }
    if (n == 0)
        return MLS_OK;
    st = mls_checkpoint_read_rows(mls_model_checkpoint(m), t.name, t.rows, t.cols, row,
                                  1, e->row, err);
    if (st)
        return st;
    mls_linear(e->made, h, e->map, NULL, 1, n, E);
    for (size_t i = 0; i < n; i++)
        e->made[i] = (float)((double)e->made[i] / sqrt((double)E));
    mls_rmsnorm(e->made, e->made, e->norm, c->rms_eps, c->L, P);
    for (size_t i = 0; i < n; i++)
        inputs[i] = (float)(((double)e->made[i] + (double)e->row[i] * sqrt((double)P)) /
                            sqrt(2.0));
    return MLS_OK;
}

mls_status mls_carried_embed(const mls_model *m, const mls_corpus *corpus,
                             const float *h, float *carried, mls_err *err)
{
    const mls_config *c = mls_model_config(m);
    const size_t width = mls_carried_width(c), n = c->L * c->net.carry.inputs;
    embedding e = {0};
    mls_status st;

    if ((st = mls_model_whole(m, MLS_TENSOR_INPUTS_MAP, &e.map, err)) ||
        (st = mls_model_whole(m, MLS_TENSOR_INPUTS_NORM, &e.norm, err)) ||
        (st = mls_model_whole(m, MLS_TENSOR_STREAMS, &e.streams, err)))
        goto done;
    e.made = mls_calloc3(n + 1, 1, 1, sizeof *e.made);
    e.row = mls_calloc3(n + 1, 1, 1, sizeof *e.row);
    if (!e.made || !e.row) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory for %zu numbers of a token", n);
        goto done;
    }
    for (size_t t = 0; !st && t < corpus->start[corpus->N]; t++)
        st = embed_token(m, &e, corpus->ids[t], h + t * c->E, carried + t * width, err);

done:
    free(e.row);
    free(e.made);
    free(e.streams);
    free(e.norm);
    free(e.map);
    return st;
}

/* ---- a layer ---- */

size_t mls_carried_scratch(const mls_config *config)
{
    const mls_net *n = &config->net;
    const size_t most = n->laurel > n->carry.inputs ? n->laurel : n->carry.inputs;

    return 2 * config->E + most;
}

/* m(x) of one token; x_norm (E) is scratch. */
static void weigh_streams(const mls_config *c, const mls_layer *w, float *weight,
                          const float *x, float *x_norm)
{
    const size_t S = c->net.carry.streams;

    mls_rmsnorm(x_norm, x, w->stream_norm, c->rms_eps, 1, c->E);
    mls_linear(weight, x_norm, w->stream_router, NULL, 1, S, c->E);
    for (size_t s = 0; s < S; s++)
        weight[s] = (float)tanh((double)weight[s] / (double)c->E);
}

void mls_carried_enter(const mls_config *config, const mls_layer *layer, float *h,
                       float *carried, size_t n, float *scratch)
{
    const mls_config *c = config;
    const size_t E = c->E, S = c->net.carry.streams, width = mls_carried_width(c);
    float weight[MLS_STREAMS_MAX], by[MLS_STREAMS_MAX * MLS_STREAMS_MAX];

    for (size_t t = 0; S && t < n; t++) {
        float *state = carried + t * width;

        weigh_streams(c, layer, weight, state + c->net.carry.active * E, scratch);
        mls_linear(by, weight, layer->stream_predict, NULL, 1, S * S, S);
        for (size_t e = 0; e < E; e++) {
            float from[MLS_STREAMS_MAX];

            for (size_t s = 0; s < S; s++)
                from[s] = state[s * E + e];
            for (size_t s = 0; s < S; s++)
                for (size_t i = 0; i < S; i++)
                    state[s * E + e] += from[i] * by[s * S + i];
        }
        memcpy(h + t * E, state + c->net.carry.active * E, E * sizeof *h);
    }
}

void mls_carried_beside(const mls_config *config, const mls_layer *layer, float *h,
                        const float *x, size_t n, float *scratch)
{
    const size_t E = config->E, r = config->net.laurel;
    float *low = scratch, *made = low + n * r;

    if (!r)
        return;
    mls_linear(low, x, layer->laurel_down, NULL, n, r, E);
    mls_linear(made, low, layer->laurel_up, NULL, n, E, r);
    mls_rmsnorm(made, made, layer->laurel_norm, config->rms_eps, n, E);
    for (size_t i = 0; i < n * E; i++)
        h[i] = (float)(((double)h[i] + (double)x[i] + (double)made[i]) / sqrt(2.0));
}

/* The states after a layer that made h of the active one. */
static void correct_streams(const mls_config *c, const mls_layer *w, const float *h,
                            float *state, float *scratch)
{
    const size_t E = c->E, S = c->net.carry.streams, a = c->net.carry.active;
    float weight[MLS_STREAMS_MAX], by[MLS_STREAMS_MAX];

    weigh_streams(c, w, weight, h, scratch);
    mls_linear(by, weight, w->stream_correct, NULL, 1, S, S);
    for (size_t e = 0; e < E; e++) {
        const float more = h[e] - state[a * E + e];

        for (size_t s = 0; s < S; s++)
            state[s * E + e] += more * (by[s] + 1);
    }
}

/* h (n, E) += norm(out(act(gate(x)) * p)); x (n, E) is lost. */
static void make_input(const mls_config *c, const mls_layer *w, float *x,
                       const float *carried, size_t n, float *scratch)
{
    const size_t E = c->E, P = c->net.carry.inputs, width = mls_carried_width(c);
    const float *inputs = carried + inputs_at(c) + w->index * P;

    mls_linear(scratch, x, w->input_gate, NULL, n, P, E);
    mls_block_activate(c, w, scratch, n * P);
    for (size_t t = 0; t < n; t++)
        mls_multiply(scratch + t * P, inputs + t * width, P);
    mls_linear(x, scratch, w->input_out, NULL, n, E, P);
    mls_rmsnorm(x, x, w->input_norm, c->rms_eps, n, E);
}

/* The states of a token become one, each as long as the first. */
static void join_streams(const mls_config *c, const mls_layer *w, float *h,
                         const float *state, float *scratch)
{
    const size_t E = c->E, S = c->net.carry.streams;

    memcpy(h, state, E * sizeof *h);
    for (size_t s = 1; s < S; s++) {
        map_alike(scratch, w->stream_out + (s - 1) * E * E, state + s * E, state, E);
        mls_add(h, scratch, E);
    }
    for (size_t e = 0; e < E; e++)
        h[e] = (float)((double)h[e] / (double)S);
}

void mls_carried_leave(const mls_config *config, const mls_layer *layer, float *h,
                       float *carried, size_t n, float *scratch)
{
    const mls_config *c = config;
    const mls_carry *y = &c->net.carry;
    const mls_layer *w = layer;
    const size_t E = c->E, S = y->streams, width = mls_carried_width(c);
    float *x = scratch, *rest = x + n * E;

    for (size_t t = 0; S && t < n; t++)
        correct_streams(c, w, h + t * E, carried + t * width, rest);
    if (y->inputs) {
        for (size_t t = 0; t < n; t++)
            memcpy(x + t * E, S ? carried + t * width + y->active * E : h + t * E,
                   E * sizeof *x);
        for (size_t i = 0; S && y->stream_scaled && i < n * E; i++)
            x[i] *= w->stream_gain[i % E];
        make_input(c, w, x, carried, n, rest);
        for (size_t t = 0; S && t < n; t++)
            for (size_t s = 1; s < S; s++)
                mls_add(carried + t * width + s * E, x + t * E, E);
        if (!S)
            mls_add(h, x, n * E);
    }
    for (size_t i = 0; w->layer_scale && i < n * E; i++)
        h[i] *= *w->layer_scale;
    for (size_t t = 0; S && w->index + 1 == c->L && t < n; t++)
        join_streams(c, w, h + t * E, carried + t * width, rest);
}
