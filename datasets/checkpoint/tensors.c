/*
 * A need is a role, a name and a shape, worked out from the config and never from the
 * file: so a missing or misshapen tensor is told before the first is read. rows = 0
 * means that the model has no such tensor.
 */
#include "datasets/checkpoint/tensors.h"

#include <stdio.h>
#include <string.h>

/* Names of the Llama layout, which most families share; their rows name the others. */
static const char *const names[MLS_TENSOR_ROLES] = {
    [MLS_TENSOR_ATTN_NORM] = "input_layernorm.weight",
    [MLS_TENSOR_ATTN_NORM_BIAS] = "input_layernorm.bias",
    [MLS_TENSOR_WQ] = "self_attn.q_proj.weight",
    [MLS_TENSOR_BQ] = "self_attn.q_proj.bias",
    [MLS_TENSOR_WK] = "self_attn.k_proj.weight",
    [MLS_TENSOR_BK] = "self_attn.k_proj.bias",
    [MLS_TENSOR_WV] = "self_attn.v_proj.weight",
    [MLS_TENSOR_BV] = "self_attn.v_proj.bias",
    [MLS_TENSOR_QKV] = "self_attn.qkv_proj.weight",
    [MLS_TENSOR_QKV_BIAS] = "self_attn.qkv_proj.bias",
    [MLS_TENSOR_WO] = "self_attn.o_proj.weight",
    [MLS_TENSOR_BO] = "self_attn.o_proj.bias",
    [MLS_TENSOR_Q_NORM] = "self_attn.q_norm.weight",
    [MLS_TENSOR_Q_NORM_BIAS] = "self_attn.q_norm.bias",
    [MLS_TENSOR_K_NORM] = "self_attn.k_norm.weight",
    [MLS_TENSOR_K_NORM_BIAS] = "self_attn.k_norm.bias",
    [MLS_TENSOR_SINKS] = "self_attn.sinks",
    [MLS_TENSOR_ATTN_GATE] = "self_attn.gate_proj.weight",
    [MLS_TENSOR_ATTN_SUB_NORM] = "self_attn.attn_sub_norm.weight",
    [MLS_TENSOR_Q_A] = "self_attn.q_a_proj.weight",
    [MLS_TENSOR_Q_A_NORM] = "self_attn.q_a_layernorm.weight",
    [MLS_TENSOR_Q_B] = "self_attn.q_b_proj.weight",
    [MLS_TENSOR_KV_A] = "self_attn.kv_a_proj_with_mqa.weight",
    [MLS_TENSOR_KV_A_NORM] = "self_attn.kv_a_layernorm.weight",
    [MLS_TENSOR_KV_B] = "self_attn.kv_b_proj.weight",
    [MLS_TENSOR_ATTN_POST_NORM] = "post_self_attn_layernorm.weight",
    [MLS_TENSOR_REC_IN] = "linear_attn.in_proj_qkv.weight",
    [MLS_TENSOR_REC_IN_BIAS] = "linear_attn.in_proj.bias",
    [MLS_TENSOR_REC_Z] = "linear_attn.in_proj_z.weight",
    [MLS_TENSOR_REC_B] = "linear_attn.in_proj_b.weight",
    [MLS_TENSOR_REC_A] = "linear_attn.in_proj_a.weight",
    [MLS_TENSOR_REC_CONV] = "linear_attn.conv1d.weight",
    [MLS_TENSOR_REC_CONV_BIAS] = "linear_attn.conv1d.bias",
    [MLS_TENSOR_REC_DT_BIAS] = "linear_attn.dt_bias",
    [MLS_TENSOR_REC_A_LOG] = "linear_attn.A_log",
    [MLS_TENSOR_REC_D] = "linear_attn.D",
    [MLS_TENSOR_REC_NORM] = "linear_attn.norm.weight",
    [MLS_TENSOR_REC_OUT] = "linear_attn.out_proj.weight",
    [MLS_TENSOR_REC_OUT_BIAS] = "linear_attn.out_proj.bias",
    [MLS_TENSOR_MLP_NORM] = "post_attention_layernorm.weight",
    [MLS_TENSOR_MLP_NORM_BIAS] = "post_attention_layernorm.bias",
    [MLS_TENSOR_GATE] = "mlp.gate_proj.weight",
    [MLS_TENSOR_GATE_BIAS] = "mlp.gate_proj.bias",
    [MLS_TENSOR_UP] = "mlp.up_proj.weight",
    [MLS_TENSOR_UP_BIAS] = "mlp.up_proj.bias",
    [MLS_TENSOR_GATE_UP] = "mlp.gate_up_proj.weight",
    [MLS_TENSOR_MLP_SUB_NORM] = "mlp.ffn_sub_norm.weight",
    [MLS_TENSOR_DOWN] = "mlp.down_proj.weight",
    [MLS_TENSOR_DOWN_BIAS] = "mlp.down_proj.bias",
    [MLS_TENSOR_ALPHA_P] = "mlp.act_fn.alpha_p",
    [MLS_TENSOR_ALPHA_N] = "mlp.act_fn.alpha_n",
    [MLS_TENSOR_BETA] = "mlp.act_fn.beta",
    [MLS_TENSOR_EPS] = "mlp.act_fn.eps",
    [MLS_TENSOR_ROUTER] = "mlp.gate.weight",
    [MLS_TENSOR_ROUTER_BIAS] = "mlp.gate.bias",
    [MLS_TENSOR_CORRECTION] = "mlp.gate.e_score_correction_bias",
    [MLS_TENSOR_EXPERT_GATE] = "mlp.experts.%zu.gate_proj.weight",
    [MLS_TENSOR_EXPERT_UP] = "mlp.experts.%zu.up_proj.weight",
    [MLS_TENSOR_EXPERT_GATE_UP] = "mlp.experts.gate_up_proj",
    [MLS_TENSOR_EXPERT_GATE_UP_BIAS] = "mlp.experts.gate_up_proj_bias",
    [MLS_TENSOR_EXPERT_GATE_BIAS] = "mlp.experts.gate_proj_bias",
    [MLS_TENSOR_EXPERT_UP_BIAS] = "mlp.experts.up_proj_bias",
    [MLS_TENSOR_EXPERT_DOWN] = "mlp.experts.%zu.down_proj.weight",
    [MLS_TENSOR_EXPERT_DOWN_BIAS] = "mlp.experts.down_proj_bias",
    [MLS_TENSOR_SHARED_GATE] = "mlp.shared_experts.gate_proj.weight",
    [MLS_TENSOR_SHARED_UP] = "mlp.shared_experts.up_proj.weight",
    [MLS_TENSOR_SHARED_GATE_UP] = "mlp.shared_experts.gate_up_proj.weight",
    [MLS_TENSOR_SHARED_DOWN] = "mlp.shared_experts.down_proj.weight",
    [MLS_TENSOR_SHARED_WEIGHT] = "mlp.shared_expert_gate.weight",
    [MLS_TENSOR_MLP_POST_NORM] = "post_mlp_layernorm.weight",
    [MLS_TENSOR_ROUTER_GAIN] = "router.scale",
    [MLS_TENSOR_EXPERT_GAIN] = "router.per_expert_scale",
    [MLS_TENSOR_EXPERTS_NORM] = "pre_feedforward_layernorm_2.weight",
    [MLS_TENSOR_EXPERTS_POST_NORM] = "post_feedforward_layernorm_2.weight",
    [MLS_TENSOR_BESIDE_POST_NORM] = "post_feedforward_layernorm_1.weight",
    [MLS_TENSOR_LAUREL_DOWN] = "laurel.linear_left.weight",
    [MLS_TENSOR_LAUREL_UP] = "laurel.linear_right.weight",
    [MLS_TENSOR_LAUREL_NORM] = "laurel.post_laurel_norm.weight",
    [MLS_TENSOR_STREAM_ROUTER] = "altup.modality_router.weight",
    [MLS_TENSOR_STREAM_NORM] = "altup.router_norm.weight",
    [MLS_TENSOR_STREAM_PREDICT] = "altup.prediction_coefs.weight",
    [MLS_TENSOR_STREAM_CORRECT] = "altup.correction_coefs.weight",
    [MLS_TENSOR_STREAM_GAIN] = "altup.correct_output_scale",
    [MLS_TENSOR_STREAM_OUT] = "model.altup_unembed_projections.%zu.weight",
    [MLS_TENSOR_INPUT_GATE] = "per_layer_input_gate.weight",
    [MLS_TENSOR_INPUT_OUT] = "per_layer_projection.weight",
    [MLS_TENSOR_INPUT_NORM] = "post_per_layer_input_norm.weight",
    [MLS_TENSOR_LAYER_SCALE] = "layer_scalar",
    [MLS_TENSOR_EMBED] = "model.embed_tokens.weight",
    [MLS_TENSOR_POSITIONS] = "model.embed_positions.weight",
    [MLS_TENSOR_EMBED_NORM] = "model.embed_norm.weight",
    [MLS_TENSOR_EMBED_NORM_BIAS] = "model.embed_norm.bias",
    [MLS_TENSOR_INPUTS] = "model.embed_tokens_per_layer.weight",
    [MLS_TENSOR_INPUTS_MAP] = "model.per_layer_model_projection.weight",
    [MLS_TENSOR_INPUTS_NORM] = "model.per_layer_projection_norm.weight",
    [MLS_TENSOR_STREAMS] = "model.altup_projections.%zu.weight",
    [MLS_TENSOR_NORM] = "model.norm.weight",
    [MLS_TENSOR_NORM_BIAS] = "model.norm.bias",
    [MLS_TENSOR_HEAD] = "lm_head.weight",
    [MLS_TENSOR_HEAD_BIAS] = "lm_head.bias",
};

static const char *name_of(const mls_config *c, mls_tensor_role role)
{
    for (const mls_tensor_name *n = c->net.names; n && n->name; n++)
        if (n->role == role)
            return n->name;
    return names[role];
}

bool mls_tensor_is_projection(mls_tensor_role role)
{
    return role >= MLS_TENSOR_WQ && role <= MLS_TENSOR_KV_B;
}

/* ---- attention ---- */

/* Rows of all of q, or of all of k. */
static void attention_shape(const mls_config *c, const mls_layer_shape *s,
                            mls_tensor_need *need)
{
    const mls_net *n = &c->net;
    const size_t q = (size_t)s->H * s->K, k = (size_t)s->G * s->K;
    const size_t v = (size_t)s->G * s->V, o = (size_t)s->H * s->V;
    const bool apart = n->qkv == MLS_QKV_APART;
    const bool wide = n->qk == MLS_QK_WIDTH, each = n->qk == MLS_QK_LAYER_EACH;
    const bool is_key = need->role == MLS_TENSOR_WK || need->role == MLS_TENSOR_BK ||
                        need->role == MLS_TENSOR_K_NORM ||
                        need->role == MLS_TENSOR_K_NORM_BIAS;
    const bool is_value = need->role == MLS_TENSOR_WV || need->role == MLS_TENSOR_BV;

    if ((s->reads_other && (is_key || is_value)) ||
        (n->k_is_v && !s->window && is_value))
        return;
    switch (need->role) {
    case MLS_TENSOR_WQ:
    case MLS_TENSOR_BQ:
        need->rows = apart ? q * (n->q_gate ? 2 : 1) : 0;
        break;
    case MLS_TENSOR_WK:
    case MLS_TENSOR_BK:
        need->rows = apart ? k : 0;
        break;
    case MLS_TENSOR_WV:
    case MLS_TENSOR_BV:
        need->rows = apart ? v : 0;
        break;
    case MLS_TENSOR_QKV:
    case MLS_TENSOR_QKV_BIAS:
        need->rows = apart ? 0 : q + k + v;
        break;
    case MLS_TENSOR_WO:
        need->rows = c->E;
        need->cols = o;
        return;
    case MLS_TENSOR_BO:
        need->rows = c->o_bias ? c->E : 0;
        return;
    case MLS_TENSOR_Q_NORM:
    case MLS_TENSOR_Q_NORM_BIAS:
        need->rows = n->qk_free ? 0 : wide ? q : each ? s->H : n->qk ? s->K : 0;
        need->cols = each ? s->K : 0;
        break;
    case MLS_TENSOR_K_NORM:
    case MLS_TENSOR_K_NORM_BIAS:
        need->rows = n->qk_free ? 0 : wide ? k : each ? s->G : n->qk ? s->K : 0;
        need->cols = each ? s->K : 0;
        break;
    case MLS_TENSOR_SINKS:
        need->rows = n->sinks && (s->window || !n->sinks_local) ? s->H : 0;
        return;
    case MLS_TENSOR_ATTN_SUB_NORM:
        need->rows = n->sub_norms ? o : 0;
        return;
    case MLS_TENSOR_ATTN_GATE:
        need->rows = !n->out_gate || n->q_gate ? 0 : n->gate_heads ? s->H : o;
        break;
    default:
        return;
    }
    switch (need->role) {
    case MLS_TENSOR_BQ:
    case MLS_TENSOR_BK:
    case MLS_TENSOR_BV:
    case MLS_TENSOR_QKV_BIAS:
        need->rows = c->qkv_bias ? need->rows : 0;
        break;
    case MLS_TENSOR_Q_NORM_BIAS:
    case MLS_TENSOR_K_NORM_BIAS:
        need->rows = n->qk == MLS_QK_LAYER ? need->rows : 0;
        break;
    case MLS_TENSOR_Q_NORM:
    case MLS_TENSOR_K_NORM:
        break;
    default:
        need->cols = c->E;
    }
}

/* DeepSeek's: K is what a head computes with, rope_dims of it rotate. */
static void latent_shape(const mls_config *c, const mls_layer_shape *s,
                         mls_tensor_need *need)
{
    const size_t rank = c->mla_q_lora_rank, q = (size_t)s->H * s->K;

    switch (need->role) {
    case MLS_TENSOR_WQ:
        need->rows = rank ? 0 : q;
        need->cols = c->E;
        break;
    case MLS_TENSOR_Q_A:
        need->rows = rank;
        need->cols = c->E;
        break;
    case MLS_TENSOR_Q_A_NORM:
        need->rows = rank;
        break;
    case MLS_TENSOR_Q_B:
        need->rows = rank ? q : 0;
        need->cols = rank;
        break;
    case MLS_TENSOR_KV_A:
        need->rows = c->mla_kv_lora_rank + c->mla_rope_dim;
        need->cols = c->E;
        break;
    case MLS_TENSOR_KV_A_NORM:
        need->rows = c->mla_kv_lora_rank;
        break;
    case MLS_TENSOR_KV_B:
        need->rows = s->H * (c->mla_nope_dim + c->mla_value_dim);
        need->cols = c->mla_kv_lora_rank;
        break;
    case MLS_TENSOR_WO:
        need->rows = c->E;
        need->cols = s->H * c->mla_value_dim;
        break;
    case MLS_TENSOR_BO:
        need->rows = c->o_bias ? c->E : 0;
        break;
    default:
        break;
    }
}

static void recurrent_shape(const mls_config *c, mls_tensor_need *need)
{
    const mls_recurrent *r = &c->net.recurrent;
    const bool delta = r->kind == MLS_REC_DELTA, mamba = r->kind == MLS_REC_MAMBA2;
    const size_t inner = r->kind == MLS_REC_CONV ? c->E : r->heads * r->V;
    const size_t mixed = r->kind == MLS_REC_CONV ? c->E : inner + 2 * r->groups * r->K;
    const size_t in = delta   ? mixed + (r->by_group ? inner : 0)
                      : mamba ? inner + mixed + r->heads
                              : 3 * c->E;

    switch (need->role) {
    case MLS_TENSOR_REC_IN:
        need->rows = in;
        need->cols = c->E;
        break;
    case MLS_TENSOR_REC_IN_BIAS:
        need->rows = r->bias ? in : 0;
        break;
    case MLS_TENSOR_REC_Z:
        need->rows = delta && !r->by_group ? inner : 0;
        need->cols = c->E;
        break;
    case MLS_TENSOR_REC_B:
        need->rows = delta ? r->heads * (r->by_group ? 2 : 1) : 0;
        need->cols = c->E;
        break;
    case MLS_TENSOR_REC_A:
        need->rows = delta && !r->by_group ? r->heads : 0;
        need->cols = c->E;
        break;
    case MLS_TENSOR_REC_CONV:
        need->rows = mixed;
        need->cols = r->taps;
        break;
    case MLS_TENSOR_REC_CONV_BIAS:
        need->rows = r->conv_bias ? mixed : 0;
        break;
    case MLS_TENSOR_REC_DT_BIAS:
    case MLS_TENSOR_REC_A_LOG:
        need->rows = delta || mamba ? r->heads : 0;
        break;
    case MLS_TENSOR_REC_D:
        need->rows = mamba ? r->heads : 0;
        break;
    case MLS_TENSOR_REC_NORM:
        need->rows = delta ? r->V : mamba && !r->free ? inner : 0;
        break;
    case MLS_TENSOR_REC_OUT:
        need->rows = c->E;
        need->cols = inner;
        break;
    case MLS_TENSOR_REC_OUT_BIAS:
        need->rows = r->bias ? c->E : 0;
        break;
    default:
        break;
    }
}

/* ---- MLP, experts, norms ---- */

static void mlp_shape(const mls_config *c, size_t l, mls_tensor_need *need)
{
    const mls_net *n = &c->net;
    const size_t F = mls_config_mlp_width(c, l);
    const bool apart = !n->gate_up;

    switch (need->role) {
    case MLS_TENSOR_GATE:
        need->rows = !n->plain_mlp && apart ? F : 0;
        need->cols = c->E;
        break;
    case MLS_TENSOR_GATE_BIAS:
        need->rows = !n->plain_mlp && apart && c->mlp_bias ? F : 0;
        break;
    case MLS_TENSOR_UP:
        need->rows = apart ? F : 0;
        need->cols = c->E;
        break;
    case MLS_TENSOR_UP_BIAS:
        need->rows = apart && c->mlp_bias ? F : 0;
        break;
    case MLS_TENSOR_GATE_UP:
        need->rows = apart ? 0 : 2 * F;
        need->cols = c->E;
        break;
    case MLS_TENSOR_MLP_SUB_NORM:
        need->rows = n->sub_norms ? F : 0;
        break;
    case MLS_TENSOR_DOWN:
        need->rows = c->E;
        need->cols = F;
        break;
    case MLS_TENSOR_DOWN_BIAS:
        need->rows = c->mlp_bias ? c->E : 0;
        break;
    case MLS_TENSOR_ALPHA_P:
    case MLS_TENSOR_ALPHA_N:
    case MLS_TENSOR_BETA:
    case MLS_TENSOR_EPS:
        need->rows = n->act == MLS_ACT_XIELU;
        break;
    default:
        break;
    }
}

static void expert_shape(const mls_config *c, mls_tensor_need *need)
{
    const mls_experts *x = &c->net.experts;
    const bool apart = x->layout == MLS_EXPERTS_APART;
    const bool in_out =
        x->layout == MLS_EXPERTS_TRANSPOSED || x->layout == MLS_EXPERTS_ZIPPED;
    const bool rows = x->layout == MLS_EXPERTS_ROWS;
    const bool both = !apart && !rows && x->layout != MLS_EXPERTS_SPLIT;
    const size_t F = x->F, E = c->E;

    const size_t planes = apart ? 1 : x->n;

    switch (need->role) {
    case MLS_TENSOR_EXPERT_GATE:
    case MLS_TENSOR_EXPERT_UP:
        need->rows = both || (need->role == MLS_TENSOR_EXPERT_GATE && c->net.plain_mlp)
                         ? 0
                         : planes * F;
        need->cols = E;
        break;
    case MLS_TENSOR_EXPERT_GATE_UP:
        need->rows = planes * (!both ? 0 : in_out ? E : 2 * F);
        need->cols = in_out ? 2 * F : E;
        break;
    case MLS_TENSOR_EXPERT_DOWN:
        need->rows = planes * (in_out || rows ? F : E);
        need->cols = in_out || rows ? E : F;
        break;
    case MLS_TENSOR_EXPERT_GATE_UP_BIAS:
        need->rows = both && x->bias ? x->n : 0;
        need->cols = 2 * F;
        break;
    case MLS_TENSOR_EXPERT_GATE_BIAS:
    case MLS_TENSOR_EXPERT_UP_BIAS:
        need->rows = !apart && !both && x->bias ? x->n : 0;
        need->cols = F;
        break;
    case MLS_TENSOR_EXPERT_DOWN_BIAS:
        need->rows = !apart && x->bias ? x->n : 0;
        need->cols = E;
        break;
    default:
        break;
    }
}

static void routing_shape(const mls_config *c, mls_tensor_need *need)
{
    const mls_experts *x = &c->net.experts;
    const bool both = x->layout == MLS_EXPERTS_STACKED && !x->shared_apart;

    switch (need->role) {
    case MLS_TENSOR_ROUTER:
        need->rows = x->n;
        need->cols = c->E;
        break;
    case MLS_TENSOR_ROUTER_BIAS:
        need->rows = x->bias ? x->n : 0;
        break;
    case MLS_TENSOR_CORRECTION:
        need->rows = x->correction ? x->n : 0;
        break;
    case MLS_TENSOR_SHARED_GATE:
    case MLS_TENSOR_SHARED_UP:
        need->rows = both || (need->role == MLS_TENSOR_SHARED_GATE && c->net.plain_mlp)
                         ? 0
                         : x->shared_F;
        need->cols = c->E;
        break;
    case MLS_TENSOR_SHARED_GATE_UP:
        need->rows = both ? 2 * x->shared_F : 0;
        need->cols = c->E;
        break;
    case MLS_TENSOR_SHARED_DOWN:
        need->rows = x->shared_F ? c->E : 0;
        need->cols = x->shared_F;
        break;
    case MLS_TENSOR_SHARED_WEIGHT:
        need->rows = x->shared_F && x->shared_gate;
        need->cols = c->E;
        break;
    default:
        break;
    }
}

static void norm_shape(const mls_config *c, size_t l, mls_tensor_need *need)
{
    const mls_net *n = &c->net;
    const bool is_mlp = c->layer[l].kind == MLS_LAYER_NONE;
    const bool before = n->place != MLS_NORM_AFTER && !n->norm_free;
    const bool after = n->place != MLS_NORM_BEFORE && !n->norm_free;
    const bool second = before && !(n->parallel && n->one_norm);
    bool there = false;

    switch (need->role) {
    case MLS_TENSOR_ATTN_NORM:
        there = before;
        break;
    case MLS_TENSOR_ATTN_NORM_BIAS:
        there = before && n->norm_bias;
        break;
    case MLS_TENSOR_MLP_NORM:
        there = second;
        break;
    case MLS_TENSOR_MLP_NORM_BIAS:
        there = second && n->norm_bias;
        break;
    case MLS_TENSOR_ATTN_POST_NORM:
        there = after;
        break;
    case MLS_TENSOR_MLP_POST_NORM:
        there = after || (n->norm_sparse && n->sparse[l]);
        break;
    default:
        break;
    }
    if (n->single && is_mlp != (need->role == MLS_TENSOR_MLP_NORM))
        there = false;
    need->rows = there ? c->E : 0;
}

/* What Gemma 3n and 4 have beside attention and MLP. */
static void carried_shape(const mls_config *c, size_t l, mls_tensor_need *need)
{
    const mls_net *n = &c->net;
    const mls_carry *y = &n->carry;
    const bool beside = n->experts.beside && n->sparse[l];

    switch (need->role) {
    case MLS_TENSOR_ROUTER_GAIN:
    case MLS_TENSOR_EXPERTS_NORM:
    case MLS_TENSOR_EXPERTS_POST_NORM:
    case MLS_TENSOR_BESIDE_POST_NORM:
        need->rows = beside ? c->E : 0;
        break;
    case MLS_TENSOR_EXPERT_GAIN:
        need->rows = beside ? n->experts.n : 0;
        break;
    case MLS_TENSOR_LAUREL_DOWN:
        need->rows = n->laurel;
        need->cols = c->E;
        break;
    case MLS_TENSOR_LAUREL_UP:
        need->rows = n->laurel ? c->E : 0;
        need->cols = n->laurel;
        break;
    case MLS_TENSOR_LAUREL_NORM:
        need->rows = n->laurel ? c->E : 0;
        break;
    case MLS_TENSOR_STREAM_ROUTER:
        need->rows = y->streams;
        need->cols = c->E;
        break;
    case MLS_TENSOR_STREAM_NORM:
        need->rows = y->streams ? c->E : 0;
        break;
    case MLS_TENSOR_STREAM_PREDICT:
        need->rows = y->streams * y->streams;
        need->cols = y->streams;
        break;
    case MLS_TENSOR_STREAM_CORRECT:
        need->rows = need->cols = y->streams;
        break;
    case MLS_TENSOR_STREAM_GAIN:
        need->rows = y->streams ? c->E : 0;
        break;
    case MLS_TENSOR_STREAM_OUT:
        need->rows = y->streams > 1 && l + 1 == c->L ? c->E : 0;
        need->cols = c->E;
        break;
    case MLS_TENSOR_INPUT_GATE:
        need->rows = y->inputs;
        need->cols = c->E;
        break;
    case MLS_TENSOR_INPUT_OUT:
        need->rows = y->inputs ? c->E : 0;
        need->cols = y->inputs;
        break;
    case MLS_TENSOR_INPUT_NORM:
        need->rows = y->inputs ? c->E : 0;
        break;
    case MLS_TENSOR_LAYER_SCALE:
        need->rows = n->layer_scale;
        break;
    default:
        break;
    }
}

/* GPT-2's matrices are (in, out). */
static void transpose(mls_tensor_need *need)
{
    const size_t rows = need->rows;

    if (need->cols) {
        need->rows = need->cols;
        need->cols = rows;
    }
}

/* rows = 0: the layer has no such tensor. */
static mls_tensor_need describe(const mls_config *c, size_t l, mls_tensor_role role)
{
    const mls_layer_shape *s = &c->layer[l];
    mls_tensor_need need = {.role = role};

    if (mls_tensor_is_projection(role)) {
        if (s->kind == MLS_LAYER_MLA)
            latent_shape(c, s, &need);
        else if (s->kind == MLS_LAYER_ATTENTION)
            attention_shape(c, s, &need);
        if (c->net.transposed && need.rows)
            transpose(&need);
        return need;
    }
    if (role >= MLS_TENSOR_REC_IN && role <= MLS_TENSOR_REC_OUT_BIAS) {
        if (s->kind == MLS_LAYER_RECURRENT || c->net.beside)
            recurrent_shape(c, &need);
        return need;
    }
    switch (role) {
    case MLS_TENSOR_ATTN_NORM:
    case MLS_TENSOR_ATTN_NORM_BIAS:
    case MLS_TENSOR_MLP_NORM:
    case MLS_TENSOR_MLP_NORM_BIAS:
    case MLS_TENSOR_ATTN_POST_NORM:
    case MLS_TENSOR_MLP_POST_NORM:
        norm_shape(c, l, &need);
        return need;
    default:
        break;
    }
    if (c->net.single && s->kind != MLS_LAYER_NONE)
        return need;
    if (role >= MLS_TENSOR_ROUTER_GAIN)
        carried_shape(c, l, &need);
    else if (role <= MLS_TENSOR_EPS) {
        if (!c->net.sparse[l] || c->net.experts.beside)
            mlp_shape(c, l, &need);
    } else if (!c->net.sparse[l])
        return need;
    else if (role >= MLS_TENSOR_EXPERT_GATE && role <= MLS_TENSOR_EXPERT_DOWN_BIAS)
        expert_shape(c, &need);
    else
        routing_shape(c, &need);
    if (c->net.transposed && need.rows)
        transpose(&need);
    return need;
}

/* How many tensors of one role a layer has: one for each expert, where they lie apart.
 */
static size_t how_many(const mls_config *c, const mls_tensor_need *need)
{
    if (need->rows == 0)
        return 0;
    if (need->role == MLS_TENSOR_STREAM_OUT)
        return c->net.carry.streams - 1;
    return need->role >= MLS_TENSOR_EXPERT_GATE &&
                   need->role <= MLS_TENSOR_EXPERT_DOWN &&
                   c->net.experts.layout == MLS_EXPERTS_APART
               ? c->net.experts.n
               : 1;
}

/* ---- names ---- */

/* text with %zu replaced by a number: names are our own, with one at most. */
static void put_number(char out[96], const char *text, size_t number)
{
    const char *at = strstr(text, "%zu");

    if (at)
        snprintf(out, 96, "%.*s%zu%s", (int)(at - text), text, number, at + 3);
    else
        snprintf(out, 96, "%s", text);
}

static void name_layer(const mls_config *c, size_t l, mls_tensor_need *need)
{
    char prefix[96] = "", rest[96];

    if (need->role != MLS_TENSOR_STREAM_OUT) /* of the model, used by its last layer */
        put_number(prefix, c->net.prefix ? c->net.prefix : "model.layers.%zu.", l);
    put_number(rest, name_of(c, need->role), need->plane);
    if (c->net.experts.stacks && need->role >= MLS_TENSOR_EXPERT_GATE &&
        need->role <= MLS_TENSOR_EXPERT_DOWN)
        snprintf(rest, sizeof rest, "%s%s_proj.weight", c->net.experts.stacks,
                 need->role == MLS_TENSOR_EXPERT_GATE ? "gate"
                 : need->role == MLS_TENSOR_EXPERT_UP ? "up"
                                                      : "down");
    if (snprintf(need->name, sizeof need->name, "%s%s", prefix, rest) >=
        (int)sizeof need->name)
        need->name[0] = '\0'; /* longer than any name of the table */
}

void mls_tensor_role_name(const mls_config *config, size_t l, mls_tensor_role role,
                          char out[96])
{
    mls_tensor_need need = {.role = role};

    if (role < MLS_TENSOR_LAYER_ROLES)
        name_layer(config, l, &need);
    else
        snprintf(need.name, sizeof need.name, "%s", name_of(config, role));
    memcpy(out, need.name, sizeof need.name);
}

size_t mls_tensor_layer_needs(const mls_config *config, size_t l)
{
    size_t n = 0;

    for (int role = 0; role < MLS_TENSOR_LAYER_ROLES; role++) {
        const mls_tensor_need need = describe(config, l, (mls_tensor_role)role);

        n += how_many(config, &need);
    }
    return n;
}

mls_tensor_need mls_tensor_layer_need_at(const mls_config *config, size_t l, size_t i)
{
    mls_tensor_need need = {0};

    for (int role = 0; role < MLS_TENSOR_LAYER_ROLES; role++) {
        need = describe(config, l, (mls_tensor_role)role);
        const size_t n = how_many(config, &need);

        if (i < n) {
            need.plane = i;
            need.planes = n;
            break;
        }
        i -= n;
    }
    name_layer(config, l, &need);
    return need;
}

bool mls_tensor_is_there(const mls_config *config, mls_tensor_role role)
{
    const mls_net *n = &config->net;

    switch (role) {
    case MLS_TENSOR_EMBED:
        return true;
    case MLS_TENSOR_POSITIONS:
        return n->positions;
    case MLS_TENSOR_EMBED_NORM:
        return n->embed_norm && !n->norm_free;
    case MLS_TENSOR_EMBED_NORM_BIAS:
        return n->embed_norm && n->norm_bias;
    case MLS_TENSOR_INPUTS:
    case MLS_TENSOR_INPUTS_MAP:
    case MLS_TENSOR_INPUTS_NORM:
        return n->carry.inputs > 0;
    case MLS_TENSOR_STREAMS:
        return n->carry.streams > 1;
    case MLS_TENSOR_NORM:
        return !n->norm_free;
    case MLS_TENSOR_NORM_BIAS:
        return !n->norm_free && n->norm_bias;
    case MLS_TENSOR_HEAD:
        return !config->tied_embeddings;
    case MLS_TENSOR_HEAD_BIAS:
        return n->head_bias;
    default:
        return false;
    }
}

mls_tensor_need mls_tensor_of(const mls_config *config, mls_tensor_role role)
{
    return mls_tensor_plane(config, role, 0);
}

/* How many tensors of a role are outside of the layers. */
static size_t whole_count(const mls_config *c, mls_tensor_role role)
{
    if (!mls_tensor_is_there(c, role))
        return 0;
    return role == MLS_TENSOR_STREAMS ? c->net.carry.streams - 1 : 1;
}

mls_tensor_need mls_tensor_plane(const mls_config *config, mls_tensor_role role,
                                 size_t plane)
{
    const mls_carry *y = &config->net.carry;
    const bool tied = role == MLS_TENSOR_HEAD && config->tied_embeddings;
    mls_tensor_need need = {.rows = config->E,
                            .role = tied ? MLS_TENSOR_EMBED : role,
                            .plane = plane,
                            .planes = whole_count(config, role)};

    if (role == MLS_TENSOR_EMBED || role == MLS_TENSOR_HEAD) {
        need.rows = config->V;
        need.cols = config->E;
    } else if (role == MLS_TENSOR_POSITIONS) {
        need.rows = config->max_position + config->net.first_position;
        need.cols = config->E;
    } else if (role == MLS_TENSOR_HEAD_BIAS) {
        need.rows = config->V;
    } else if (role == MLS_TENSOR_INPUTS) {
        need.rows = y->inputs_vocab;
        need.cols = config->L * y->inputs;
    } else if (role == MLS_TENSOR_INPUTS_MAP) {
        need.rows = config->L * y->inputs;
        need.cols = config->E;
    } else if (role == MLS_TENSOR_INPUTS_NORM) {
        need.rows = y->inputs;
    } else if (role == MLS_TENSOR_STREAMS) {
        need.cols = config->E;
    }
    put_number(need.name, name_of(config, need.role), plane);
    return need;
}

mls_tensor_need mls_tensor_embed(const mls_config *config)
{
    return mls_tensor_of(config, MLS_TENSOR_EMBED);
}

mls_tensor_need mls_tensor_norm(const mls_config *config)
{
    return mls_tensor_of(config, MLS_TENSOR_NORM);
}

mls_tensor_need mls_tensor_head(const mls_config *config)
{
    return mls_tensor_of(config, MLS_TENSOR_HEAD);
}

/* The i-th tensor outside of the layers whose role is in from .. to - 1. */
static bool whole_at(const mls_config *c, mls_tensor_role from, mls_tensor_role to,
                     size_t *i, mls_tensor_need *need)
{
    for (int role = (int)from; role < (int)to; role++) {
        const size_t count = whole_count(c, (mls_tensor_role)role);

        if (*i < count) {
            *need = mls_tensor_plane(c, (mls_tensor_role)role, *i);
            return true;
        }
        *i -= count;
    }
    return false;
}

size_t mls_tensor_needs(const mls_config *config)
{
    size_t n = 0;

    for (int role = MLS_TENSOR_EMBED; role < MLS_TENSOR_ROLES; role++)
        n += whole_count(config, (mls_tensor_role)role);
    for (size_t l = 0; l < config->L; l++)
        n += mls_tensor_layer_needs(config, l);
    return n;
}

mls_tensor_need mls_tensor_need_at(const mls_config *config, size_t i)
{
    mls_tensor_need need = {0};

    if (whole_at(config, MLS_TENSOR_EMBED, MLS_TENSOR_NORM, &i, &need))
        return need;
    for (size_t l = 0; l < config->L; l++) {
        const size_t n = mls_tensor_layer_needs(config, l);

        if (i < n)
            return mls_tensor_layer_need_at(config, l, i);
        i -= n;
    }
    whole_at(config, MLS_TENSOR_NORM, MLS_TENSOR_ROLES, &i, &need);
    return need;
}
