/*
 * A layer is read when it is asked for and freed by who asked, so that a model of any
 * size needs the memory of one. Every tensor has a role and field_of says which pointer
 * of mls_layer it fills: reading, freeing and listing are one loop over roles, whatever
 * the family. What a file keeps fused or stored another way is settled afterwards
 * (settle.c), and only then packed for products in bfloat16.
 */
#include "analysis/model/model.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/model/block.h"
#include "analysis/model/settle.h"
#include "analysis/numeric/kernels.h"
#include "common/base/checked.h"

/* Where a tensor of a layer goes: offsets of float pointers, by role. */
static const size_t field_of[MLS_TENSOR_LAYER_ROLES] = {
    [MLS_TENSOR_ATTN_NORM] = offsetof(mls_layer, attn_norm),
    [MLS_TENSOR_ATTN_NORM_BIAS] = offsetof(mls_layer, attn_norm_bias),
    [MLS_TENSOR_WQ] = offsetof(mls_layer, wq),
    [MLS_TENSOR_BQ] = offsetof(mls_layer, bq),
    [MLS_TENSOR_WK] = offsetof(mls_layer, wk),
    [MLS_TENSOR_BK] = offsetof(mls_layer, bk),
    [MLS_TENSOR_WV] = offsetof(mls_layer, wv),
    [MLS_TENSOR_BV] = offsetof(mls_layer, bv),
    [MLS_TENSOR_QKV] = offsetof(mls_layer, qkv),
    [MLS_TENSOR_QKV_BIAS] = offsetof(mls_layer, qkv_bias),
    [MLS_TENSOR_WO] = offsetof(mls_layer, wo),
    [MLS_TENSOR_BO] = offsetof(mls_layer, bo),
    [MLS_TENSOR_Q_NORM] = offsetof(mls_layer, q_norm),
    [MLS_TENSOR_Q_NORM_BIAS] = offsetof(mls_layer, q_norm_bias),
    [MLS_TENSOR_K_NORM] = offsetof(mls_layer, k_norm),
    [MLS_TENSOR_K_NORM_BIAS] = offsetof(mls_layer, k_norm_bias),
    [MLS_TENSOR_SINKS] = offsetof(mls_layer, sinks),
    [MLS_TENSOR_ATTN_GATE] = offsetof(mls_layer, w_attn_gate),
    [MLS_TENSOR_ATTN_SUB_NORM] = offsetof(mls_layer, attn_sub_norm),
    [MLS_TENSOR_Q_A] = offsetof(mls_layer, q_a),
    [MLS_TENSOR_Q_A_NORM] = offsetof(mls_layer, q_a_norm),
    [MLS_TENSOR_Q_B] = offsetof(mls_layer, q_b),
    [MLS_TENSOR_KV_A] = offsetof(mls_layer, kv_a),
    [MLS_TENSOR_KV_A_NORM] = offsetof(mls_layer, kv_a_norm),
    [MLS_TENSOR_KV_B] = offsetof(mls_layer, kv_b),
    [MLS_TENSOR_ATTN_POST_NORM] = offsetof(mls_layer, attn_post_norm),
    [MLS_TENSOR_REC_IN] = offsetof(mls_layer, rec_in),
    [MLS_TENSOR_REC_IN_BIAS] = offsetof(mls_layer, rec_in_bias),
    [MLS_TENSOR_REC_Z] = offsetof(mls_layer, rec_z),
    [MLS_TENSOR_REC_B] = offsetof(mls_layer, rec_b),
    [MLS_TENSOR_REC_A] = offsetof(mls_layer, rec_a),
    [MLS_TENSOR_REC_CONV] = offsetof(mls_layer, rec_conv),
    [MLS_TENSOR_REC_CONV_BIAS] = offsetof(mls_layer, rec_conv_bias),
    [MLS_TENSOR_REC_DT_BIAS] = offsetof(mls_layer, rec_dt_bias),
    [MLS_TENSOR_REC_A_LOG] = offsetof(mls_layer, rec_a_log),
    [MLS_TENSOR_REC_D] = offsetof(mls_layer, rec_d),
    [MLS_TENSOR_REC_NORM] = offsetof(mls_layer, rec_norm),
    [MLS_TENSOR_REC_OUT] = offsetof(mls_layer, rec_out),
    [MLS_TENSOR_REC_OUT_BIAS] = offsetof(mls_layer, rec_out_bias),
    [MLS_TENSOR_MLP_NORM] = offsetof(mls_layer, mlp_norm),
    [MLS_TENSOR_MLP_NORM_BIAS] = offsetof(mls_layer, mlp_norm_bias),
    [MLS_TENSOR_GATE] = offsetof(mls_layer, w_gate),
    [MLS_TENSOR_GATE_BIAS] = offsetof(mls_layer, b_gate),
    [MLS_TENSOR_UP] = offsetof(mls_layer, w_up),
    [MLS_TENSOR_UP_BIAS] = offsetof(mls_layer, b_up),
    [MLS_TENSOR_GATE_UP] = offsetof(mls_layer, gate_up),
    [MLS_TENSOR_MLP_SUB_NORM] = offsetof(mls_layer, mlp_sub_norm),
    [MLS_TENSOR_DOWN] = offsetof(mls_layer, w_down),
    [MLS_TENSOR_DOWN_BIAS] = offsetof(mls_layer, b_down),
    [MLS_TENSOR_ALPHA_P] = offsetof(mls_layer, alpha_p),
    [MLS_TENSOR_ALPHA_N] = offsetof(mls_layer, alpha_n),
    [MLS_TENSOR_BETA] = offsetof(mls_layer, beta),
    [MLS_TENSOR_EPS] = offsetof(mls_layer, eps),
    [MLS_TENSOR_ROUTER] = offsetof(mls_layer, router),
    [MLS_TENSOR_ROUTER_BIAS] = offsetof(mls_layer, router_bias),
    [MLS_TENSOR_CORRECTION] = offsetof(mls_layer, correction),
    [MLS_TENSOR_EXPERT_GATE] = offsetof(mls_layer, expert_gate),
    [MLS_TENSOR_EXPERT_UP] = offsetof(mls_layer, expert_up),
    [MLS_TENSOR_EXPERT_GATE_UP] = offsetof(mls_layer, expert_gate_up),
    [MLS_TENSOR_EXPERT_GATE_UP_BIAS] = offsetof(mls_layer, expert_gate_up_bias),
    [MLS_TENSOR_EXPERT_GATE_BIAS] = offsetof(mls_layer, expert_gate_bias),
    [MLS_TENSOR_EXPERT_UP_BIAS] = offsetof(mls_layer, expert_up_bias),
    [MLS_TENSOR_EXPERT_DOWN] = offsetof(mls_layer, expert_down),
    [MLS_TENSOR_EXPERT_DOWN_BIAS] = offsetof(mls_layer, expert_down_bias),
    [MLS_TENSOR_SHARED_GATE] = offsetof(mls_layer, shared_gate),
    [MLS_TENSOR_SHARED_UP] = offsetof(mls_layer, shared_up),
    [MLS_TENSOR_SHARED_GATE_UP] = offsetof(mls_layer, shared_gate_up),
    [MLS_TENSOR_SHARED_DOWN] = offsetof(mls_layer, shared_down),
    [MLS_TENSOR_SHARED_WEIGHT] = offsetof(mls_layer, shared_weight),
    [MLS_TENSOR_MLP_POST_NORM] = offsetof(mls_layer, mlp_post_norm),
    [MLS_TENSOR_ROUTER_GAIN] = offsetof(mls_layer, router_gain),
    [MLS_TENSOR_EXPERT_GAIN] = offsetof(mls_layer, expert_gain),
    [MLS_TENSOR_EXPERTS_NORM] = offsetof(mls_layer, experts_norm),
    [MLS_TENSOR_EXPERTS_POST_NORM] = offsetof(mls_layer, experts_post_norm),
    [MLS_TENSOR_BESIDE_POST_NORM] = offsetof(mls_layer, beside_post_norm),
    [MLS_TENSOR_LAUREL_DOWN] = offsetof(mls_layer, laurel_down),
    [MLS_TENSOR_LAUREL_UP] = offsetof(mls_layer, laurel_up),
    [MLS_TENSOR_LAUREL_NORM] = offsetof(mls_layer, laurel_norm),
    [MLS_TENSOR_STREAM_ROUTER] = offsetof(mls_layer, stream_router),
    [MLS_TENSOR_STREAM_NORM] = offsetof(mls_layer, stream_norm),
    [MLS_TENSOR_STREAM_PREDICT] = offsetof(mls_layer, stream_predict),
    [MLS_TENSOR_STREAM_CORRECT] = offsetof(mls_layer, stream_correct),
    [MLS_TENSOR_STREAM_GAIN] = offsetof(mls_layer, stream_gain),
    [MLS_TENSOR_STREAM_OUT] = offsetof(mls_layer, stream_out),
    [MLS_TENSOR_INPUT_GATE] = offsetof(mls_layer, input_gate),
    [MLS_TENSOR_INPUT_OUT] = offsetof(mls_layer, input_out),
    [MLS_TENSOR_INPUT_NORM] = offsetof(mls_layer, input_norm),
    [MLS_TENSOR_LAYER_SCALE] = offsetof(mls_layer, layer_scale),
};

/* What only taking fused matrices apart fills in. */
static const size_t derived[] = {offsetof(mls_layer, b_attn_gate)};

struct mls_model {
    mls_checkpoint *owned; /* NULL: the checkpoint is borrowed */
    const mls_checkpoint *checkpoint;
    const mls_config *config; /* borrowed from the checkpoint, or body_config */
    mls_config body_config;
    mls_compute compute;
    uint64_t ram;
};

static float **slot_at(mls_layer *layer, size_t offset)
{
    return (float **)(void *)((char *)layer + offset);
}

static float **slot(mls_layer *layer, size_t role)
{
    return slot_at(layer, field_of[role]);
}

mls_status mls_model_open(mls_model **out, const char *folder, mls_err *err)
{
    mls_model *m = calloc(1, sizeof *m);
    mls_status st;

    *out = NULL;
    if (!m)
        return mls_fail(err, MLS_E_NOMEM, "no memory to open %s", folder);
    st = mls_checkpoint_open(&m->owned, folder, err);
    if (st)
        goto done;
    m->checkpoint = m->owned;
    m->config = mls_checkpoint_config(m->checkpoint);
    /* A GGUF file has no config.json to point at. */
    st = mls_checkpoint_gguf(m->checkpoint) && m->config->unsupported[0]
             ? mls_fail(err, MLS_E_INPUT, "%s: %s", folder, m->config->unsupported)
             : mls_config_runnable(m->config, err);
    if (!st)
        st = mls_checkpoint_complete(m->checkpoint, err);

done:
    if (st) {
        mls_model_close(m);
        return st;
    }
    *out = m;
    return MLS_OK;
}

void mls_model_close(mls_model *m)
{
    if (!m)
        return;
    mls_checkpoint_close(m->owned);
    free(m);
}

mls_status mls_model_set_compute(mls_model *m, mls_compute compute, mls_err *err)
{
    const char *how;

    if (compute == MLS_COMPUTE_BF16 && !mls_bf16_available(&how))
        return mls_fail(err, MLS_E_ARG, "no products in bfloat16: %s", how);
    m->compute = compute;
    return MLS_OK;
}

void mls_model_set_ram(mls_model *m, uint64_t bytes)
{
    m->ram = bytes;
}

uint64_t mls_model_ram(const mls_model *m)
{
    return m->ram;
}

mls_compute mls_model_compute(const mls_model *m)
{
    return m->compute;
}

const char *mls_model_arithmetic(const mls_model *m)
{
    const char *how;

    if (m->compute == MLS_COMPUTE_F32)
        return "f32";
    mls_bf16_available(&how);
    return strstr(how, "AMX") ? "bf16 (oneDNN with AMX)"
                              : "bf16 (oneDNN with AVX512_BF16)";
}

const mls_config *mls_model_config(const mls_model *m)
{
    return m->config;
}

const mls_checkpoint *mls_model_checkpoint(const mls_model *m)
{
    return m->checkpoint;
}

/*
 * A tensor in memory of its own, or its plane of all experts' where those lie apart;
 * *out starts as NULL.
 */
static mls_status read_new(const mls_model *m, const mls_tensor_need *t, size_t copies,
                           float **out, mls_err *err)
{
    const size_t cols = t->cols ? t->cols : 1;
    const size_t rows = t->rows;
    mls_status st;

    if (!*out)
        *out = mls_calloc3(copies, rows, cols, sizeof **out);
    if (!*out)
        return mls_fail(err, MLS_E_NOMEM, "no memory for %s, %zu x %zu x %zu numbers",
                        t->name, copies, rows, cols);
    st = mls_checkpoint_read(m->checkpoint, t->name, rows, t->cols,
                             *out + t->plane * rows * cols, err);
    if (st) {
        free(*out);
        *out = NULL;
    }
    return st;
}

static bool is_ready(const mls_model *m)
{
    return mls_checkpoint_gguf(m->checkpoint) != NULL;
}

static bool any_role(mls_tensor_role role)
{
    (void)role;
    return true;
}

static bool of_attention(mls_tensor_role role)
{
    return role <= MLS_TENSOR_ATTN_POST_NORM;
}

static bool of_body(mls_tensor_role role)
{
    return !mls_tensor_is_projection(role);
}

static bool of_entry(mls_tensor_role role)
{
    return role <= MLS_TENSOR_ATTN_NORM_BIAS ||
           (role >= MLS_TENSOR_STREAM_ROUTER && role <= MLS_TENSOR_STREAM_OUT);
}

/* The layer's tensors whose role is wanted. */
static mls_status read_layer(const mls_model *m, size_t l,
                             bool (*wanted)(mls_tensor_role), mls_layer *layer,
                             mls_err *err)
{
    const mls_config *c = m->config;

    const size_t n = l < c->L ? mls_tensor_layer_needs(c, l) : 0;
    mls_status st = MLS_OK;

    *layer = (mls_layer){.index = l};
    if (l >= c->L)
        return mls_fail(err, MLS_E_ARG, "layer %zu of a model with %zu layers", l,
                        c->L);
    for (size_t i = 0; !st && i < n; i++) {
        const mls_tensor_need t = mls_tensor_layer_need_at(c, l, i);

        if (wanted(t.role))
            st = read_new(m, &t, t.planes, slot(layer, t.role), err);
    }
    if (!st)
        st = mls_layer_settle(c, is_ready(m), layer, err);
    if (st)
        mls_layer_free(layer);
    return st;
}

/* While a layer computes, the disk brings the next one. */
static void want_layer(const mls_model *m, size_t l)
{
    const size_t n = l < m->config->L ? mls_tensor_layer_needs(m->config, l) : 0;

    for (size_t i = 0; i < n; i++) {
        const mls_tensor_need t = mls_tensor_layer_need_at(m->config, l, i);

        mls_checkpoint_want(m->checkpoint, t.name);
    }
}

/* The layer's matrices for a forward pass. */
static mls_status pack(const mls_model *m, mls_layer *w, mls_err *err)
{
    const mls_config *c = m->config;
    const mls_layer_shape *s = &c->layer[w->index];
    const size_t E = c->E, F = mls_config_mlp_width(c, w->index);
    const size_t q = (size_t)s->H * s->K, k = (size_t)s->G * s->K;
    const size_t v = (size_t)s->G * s->V, o = (size_t)s->H * s->V;
    const struct {
        const float *w;
        size_t n_out, n_in;
    } matrix[] = {{w->wq, q, E},     {w->wk, k, E},   {w->wv, v, E},    {w->wo, E, o},
                  {w->w_gate, F, E}, {w->w_up, F, E}, {w->w_down, E, F}};
    mls_status st;

    if (m->compute == MLS_COMPUTE_F32)
        return MLS_OK;
    st = mls_packed_new(&w->packed, err);
    for (size_t i = 0; !st && i < sizeof matrix / sizeof matrix[0]; i++)
        st = mls_packed_add(w->packed, matrix[i].w, matrix[i].n_out, matrix[i].n_in,
                            err);
    if (st)
        mls_layer_free(w);
    return st;
}

mls_status mls_model_layer(const mls_model *m, size_t l, mls_layer *layer, mls_err *err)
{
    const mls_status st = read_layer(m, l, any_role, layer, err);

    if (st)
        return st;
    want_layer(m, l + 1);
    return pack(m, layer, err);
}

mls_status mls_model_attention(const mls_model *m, size_t l, mls_layer *layer,
                               mls_err *err)
{
    *layer = (mls_layer){.index = l};
    if (l < m->config->L && mls_config_no_heads(m->config, l))
        return mls_fail(err, MLS_E_INPUT,
                        "layer %zu of model_type \"%s\" %s: such models are captured "
                        "and evaluated, but this is not done for them",
                        l, m->config->model_type, mls_config_no_heads(m->config, l));
    return read_layer(m, l, of_attention, layer, err);
}

mls_status mls_model_keys(const mls_model *m, size_t l, mls_layer *layer, mls_err *err)
{
    return l < m->config->L && m->config->layer[l].kind == MLS_LAYER_MLA
               ? read_layer(m, l, of_attention, layer, err)
               : mls_model_attention(m, l, layer, err);
}

mls_status mls_model_entry(const mls_model *m, size_t l, mls_layer *layer, mls_err *err)
{
    return read_layer(m, l, of_entry, layer, err);
}

mls_status mls_model_body(const mls_model *m, size_t l, mls_layer *layer, mls_err *err)
{
    const mls_status st = read_layer(m, l, of_body, layer, err);

    return st ? st : pack(m, layer, err);
}

mls_status mls_model_of_body(mls_model **out, const mls_checkpoint *c,
                             const mls_config *config, double residual, mls_err *err)
{
    mls_model *m = calloc(1, sizeof *m);
    mls_status st = MLS_OK;

    *out = NULL;
    if (!m)
        return mls_fail(err, MLS_E_NOMEM, "no memory to open %s",
                        mls_checkpoint_folder(c));
    m->checkpoint = c;
    m->body_config = *config;
    m->body_config.tied_embeddings = mls_checkpoint_config(c)->tied_embeddings;
    m->config = &m->body_config;
    if (residual > 0)
        m->body_config.net =
            (mls_net){.embed_scale = 1 / residual, .residual_scale = 1 / residual};
    for (size_t i = 0; i < mls_tensor_needs(m->config) && !st; i++) {
        const mls_tensor_need t = mls_tensor_need_at(m->config, i);

        if (of_body(t.role))
            st = mls_checkpoint_has(c, t.name, t.rows, t.cols, err);
    }
    if (st) {
        mls_model_close(m);
        return st;
    }
    *out = m;
    return MLS_OK;
}

void mls_layer_free(mls_layer *layer)
{
    for (size_t role = 0; role < MLS_TENSOR_LAYER_ROLES; role++)
        free(*slot(layer, role));
    mls_packed_free(layer->packed);
    for (size_t i = 0; i < sizeof derived / sizeof derived[0]; i++)
        free(*slot_at(layer, derived[i]));
    *layer = (mls_layer){0};
}

mls_status mls_model_whole(const mls_model *m, mls_tensor_role role, float **out,
                           mls_err *err)
{
    size_t n = 1;
    mls_status st = MLS_OK;

    *out = NULL;
    if (role != MLS_TENSOR_HEAD && !mls_tensor_is_there(m->config, role))
        return MLS_OK;
    for (size_t i = 0; !st && i < n; i++) {
        const mls_tensor_need t = mls_tensor_plane(m->config, role, i);

        n = t.planes > 1 ? t.planes : 1; /* a tied head is none of its own */
        st = read_new(m, &t, n, out, err);
    }
    return st;
}

void mls_head_free(mls_head *head)
{
    mls_free_all(head->norm, head->norm_bias, head->w, head->bias);
    *head = (mls_head){0};
}

mls_status mls_model_head(const mls_model *m, mls_head *head, mls_err *err)
{
    mls_status st;

    *head = (mls_head){0};
    if ((st = mls_model_whole(m, MLS_TENSOR_NORM, &head->norm, err)) ||
        (st = mls_model_whole(m, MLS_TENSOR_NORM_BIAS, &head->norm_bias, err)) ||
        (st = mls_model_whole(m, MLS_TENSOR_HEAD, &head->w, err)) ||
        (st = mls_model_whole(m, MLS_TENSOR_HEAD_BIAS, &head->bias, err))) {
        mls_head_free(head);
        return st;
    }
    mls_gain_settle(m->config, is_ready(m), head->norm, m->config->E);
    return MLS_OK;
}

void mls_head_part(const mls_config *config, const mls_head *head, float *logits,
                   const float *x, size_t n, size_t first, size_t count)
{
    const double by = config->net.logit_scale, cap = config->net.logit_cap;

    mls_linear(logits, x, head->w + first * config->E,
               head->bias ? head->bias + first : NULL, n, count, config->E);
    if (by != 0 && by != 1)
        for (size_t i = 0; i < n * count; i++)
            logits[i] = (float)((double)logits[i] * by);
    if (cap > 0)
        mls_soft_cap(logits, cap, n * count);
}

void mls_head_logits(const mls_config *config, const mls_head *head, float *logits,
                     float *x, const float *h, size_t n)
{
    mls_block_norm(config, x, h, head->norm, head->norm_bias, n);
    mls_head_part(config, head, logits, x, n, 0, config->V);
}
