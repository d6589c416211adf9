/*
 * Layers that keep something else than keys and values, and Gemma's numbers beside the
 * state, in the words of config.json. Which layers are which is said by head counts for
 * each layer where the file has them, and otherwise by the tensors that a layer has.
 * Families whose converter multiplies weights (Falcon-H1) have factors of 1.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "datasets/checkpoint/gguf_config_inner.h"

typedef struct spelled {
    const char *gguf, *hf;
} spelled;

/* Of any family. */
static const spelled caches[] = {
    {"full_attention_interval", "full_attention_interval"},
    {"attention.shared_kv_layers", "num_kv_shared_layers"},
    {"attention.chunk_size", "attention_chunk_size"},
    {"attention.indexer.key_length", "index_head_dim"},
    {"shortconv.l_cache", "conv_L_cache"},
};
static const spelled delta[] = {
    {"ssm.group_count", "linear_num_key_heads"},
    {"ssm.time_step_rank", "linear_num_value_heads"},
    {"ssm.state_size", "linear_key_head_dim"},
    {"ssm.conv_kernel", "linear_conv_kernel_dim"},
};
static const spelled mamba[] = {
    {"ssm.group_count", "mamba_n_groups"},
    {"ssm.time_step_rank", "mamba_n_heads"},
    {"ssm.state_size", "mamba_d_state"},
    {"ssm.conv_kernel", "mamba_d_conv"},
};
static const spelled nemotron[] = {
    {"ssm.group_count", "n_groups"},
    {"ssm.time_step_rank", "mamba_num_heads"},
    {"ssm.state_size", "ssm_state_size"},
    {"ssm.conv_kernel", "conv_kernel"},
};
static const spelled gemma[] = {
    {"embedding_length_per_layer_input", "hidden_size_per_layer_input"},
    {"altup.active_idx", "altup_active_idx"},
    {"altup.num_inputs", "altup_num_inputs"},
};

static bool is(const mls_gguf_writer *w, const char *model_type)
{
    return strcmp(w->model_type, model_type) == 0;
}

static bool is_delta(const mls_gguf_writer *w)
{
    return is(w, "qwen3_next") || is(w, "qwen3_5_text") || is(w, "qwen3_5_moe_text");
}

static bool is_mamba(const mls_gguf_writer *w)
{
    return is(w, "granitemoehybrid") || is(w, "falcon_h1") || is(w, "nemotron_h");
}

static bool is_gemma(const mls_gguf_writer *w)
{
    return is(w, "gemma3n_text") || is(w, "gemma4_text");
}

static bool is_conv(const mls_gguf_writer *w)
{
    return is(w, "lfm2") || is(w, "lfm2_moe");
}

bool mls_gguf_has_states(const mls_gguf_writer *w)
{
    return is_conv(w) || is_delta(w) || is_mamba(w);
}

bool mls_gguf_state_reads(const mls_gguf_writer *w, const char *name)
{
    static const char *const of_states[] = {"ssm.group_count", "ssm.time_step_rank",
                                            "ssm.state_size",  "ssm.conv_kernel",
                                            "ssm.inner_size",  NULL};
    static const char *const of_gemma[] = {"embedding_length_per_layer_input",
                                           "altup.active_idx", "altup.num_inputs",
                                           "activation_sparsity_scale", NULL};
    const char *const *list = is_delta(w) || is_mamba(w) ? of_states
                              : is_gemma(w)              ? of_gemma
                                                         : NULL;

    for (size_t i = 0; i < sizeof caches / sizeof caches[0]; i++)
        if (strcmp(caches[i].gguf, name) == 0)
            return true;
    while (list && *list && strcmp(*list, name) != 0)
        list++;
    return (list && *list) ||
           (is_delta(w) && strcmp(name, "attention.recurrent_layers") == 0) ||
           (is(w, "gemma4_text") && (strcmp(name, "rope.freq_base_swa") == 0 ||
                                     strcmp(name, "rope.dimension_count_swa") == 0));
}

/* ---- numbers ---- */

static mls_status put_all(mls_gguf_writer *w, const spelled *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t x = 0;
        const bool is_there = mls_gguf_has(w->f, mls_gguf_key(w, list[i].gguf));
        const mls_status st = mls_gguf_whole(w->f, w->key, &x, w->err);

        if (st)
            return st;
        if (is_there)
            mls_gguf_put_whole(w, list[i].hf, x);
    }
    return MLS_OK;
}

/* Dims of a value head: those of all of them, over their number. */
static mls_status put_value_dims(mls_gguf_writer *w, const char *hf, uint64_t *inner)
{
    uint64_t heads = 0;
    mls_status st;

    if ((st = mls_gguf_whole(w->f, mls_gguf_key(w, "ssm.inner_size"), inner, w->err)) ||
        (st = mls_gguf_whole(w->f, mls_gguf_key(w, "ssm.time_step_rank"), &heads,
                             w->err)))
        return st;
    if (heads == 0 || *inner % heads)
        return mls_fail(w->err, MLS_E_INPUT,
                        "%s: key \"%s\" is %" PRIu64
                        ", expected a divisor of ssm.inner_size, %" PRIu64,
                        mls_gguf_path(w->f), w->key, heads, *inner);
    mls_gguf_put_whole(w, hf, *inner / heads);
    return MLS_OK;
}

/* ---- layers ---- */

static bool layer_has(const mls_gguf_writer *w, uint64_t l, const char *rest)
{
    char name[96];

    snprintf(name, sizeof name, "blk.%" PRIu64 ".%s", l, rest);
    return mls_gguf_has_tensor(w, name);
}

static mls_status has_keys(mls_gguf_writer *w, uint64_t l, bool *out)
{
    const mls_gguf_value *v = mls_gguf_header_value(
        mls_gguf_head(w->f), mls_gguf_key(w, "attention.head_count_kv"));
    uint64_t heads = 0;
    mls_status st = MLS_OK;

    if (v && v->is_array)
        st = mls_gguf_whole_at(w->f, w->key, l, &heads, w->err);
    *out = v && v->is_array ? heads > 0 : layer_has(w, l, "attn_k.weight");
    return st;
}

/* A word for each layer: whether it has keys and values, and else which other one. */
static mls_status put_kinds(mls_gguf_writer *w, const char *key, const char *attention,
                            const char *other)
{
    json_t *types = json_array();
    mls_status st = MLS_OK;

    for (uint64_t l = 0; !st && l < w->L; l++) {
        bool keys = false;

        st = has_keys(w, l, &keys);
        json_array_append_new(
            types, json_string(keys                                     ? attention
                               : !is(w, "nemotron_h")                   ? other
                               : layer_has(w, l, "ssm_in.weight")       ? other
                               : layer_has(w, l, "ffn_gate_inp.weight") ? "moe"
                                                                        : "mlp"));
    }
    json_object_set_new(w->out, key, types);
    return st;
}

static mls_status put_conv(mls_gguf_writer *w)
{
    const mls_gguf_value *v = mls_gguf_header_value(
        mls_gguf_head(w->f), mls_gguf_key(w, "attention.head_count_kv"));

    if (!v || !v->is_array)
        return mls_gguf_missing(w, "attention.head_count_kv");
    if (is(w, "lfm2"))
        mls_gguf_put_bool(w, "block_auto_adjust_ff_dim", false);
    else
        mls_gguf_put_bool(w, "use_expert_bias",
                          mls_gguf_has_in_layer(w, "exp_probs_b.bias"));
    return put_kinds(w, "layer_types", "full_attention", "conv");
}

static mls_status put_delta(mls_gguf_writer *w)
{
    uint64_t inner = 0;
    mls_status st;

    if ((st = put_all(w, delta, sizeof delta / sizeof delta[0])) ||
        (st = put_value_dims(w, "linear_value_head_dim", &inner)))
        return st;
    return put_kinds(w, "layer_types", "full_attention", "linear_attention");
}

/* Its converter multiplies the weights by them. */
static void put_ones(mls_gguf_writer *w)
{
    static const char *const keys[] = {
        "attention_in_multiplier", "attention_out_multiplier", "key_multiplier",
        "ssm_in_multiplier",       "ssm_out_multiplier",       "embedding_multiplier",
        "lm_head_multiplier"};

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        mls_gguf_put_real(w, keys[i], 1);
    json_object_set_new(w->out, "ssm_multipliers",
                        json_pack("[f,f,f,f,f]", 1.0, 1.0, 1.0, 1.0, 1.0));
    json_object_set_new(w->out, "mlp_multipliers", json_pack("[f,f]", 1.0, 1.0));
}

static mls_status put_mamba(mls_gguf_writer *w)
{
    const bool single = is(w, "nemotron_h"), beside = is(w, "falcon_h1");
    bool turns = false;
    uint64_t inner = 0;
    mls_status st = single ? put_all(w, nemotron, sizeof nemotron / sizeof nemotron[0])
                           : put_all(w, mamba, sizeof mamba / sizeof mamba[0]);

    if (st ||
        (st = put_value_dims(w, single ? "mamba_head_dim" : "mamba_d_head", &inner)))
        return st;
    mls_gguf_put_bool(w, single ? "use_conv_bias" : "mamba_conv_bias",
                      mls_gguf_has_in_layer(w, "ssm_conv1d.bias"));
    mls_gguf_put_bool(w, "mamba_proj_bias", mls_gguf_has_in_layer(w, "ssm_in.bias"));
    if (beside) {
        mls_gguf_put_whole(w, "mamba_d_ssm", inner);
        mls_gguf_put_bool(w, "mamba_rms_norm",
                          mls_gguf_has_in_layer(w, "ssm_norm.weight"));
        mls_gguf_put_bool(w, "mamba_norm_before_gate", false);
        put_ones(w);
        return MLS_OK;
    }
    if (single)
        return put_kinds(w, "layers_block_type", "attention", "mamba");
    if ((st = mls_gguf_bool(w->f, mls_gguf_key(w, "rope.scaling.finetuned"), &turns,
                            w->err)))
        return st;
    mls_gguf_put_text(w, "position_embedding_type", turns ? "rope" : "nope");
    return put_kinds(w, "layer_types", "attention", "mamba");
}

/* ---- Gemma 3n and 4 ---- */

/* The share of a normal distribution below what the file has, for each layer. */
static mls_status put_sparsity(mls_gguf_writer *w)
{
    const mls_gguf_value *v = mls_gguf_header_value(
        mls_gguf_head(w->f), mls_gguf_key(w, "activation_sparsity_scale"));
    json_t *list;

    if (!v)
        return MLS_OK;
    if (!v->is_array || v->type != MLS_GGUF_F32 || v->n < w->L)
        return mls_fail(w->err, MLS_E_INPUT,
                        "%s: key \"%s\" is no array of f32 for each of the %" PRIu64
                        " layers",
                        mls_gguf_path(w->f), w->key, w->L);
    list = json_array();
    for (uint64_t l = 0; l < w->L; l++) {
        float x;

        memcpy(&x, v->data + 4 * l, sizeof x);
        json_array_append_new(
            list, json_real(isfinite(x) ? erfc(-(double)x / sqrt(2)) / 2 : 0));
    }
    json_object_set_new(w->out, "activation_sparsity_pattern", list);
    return MLS_OK;
}

/* Where every layer that sees all tokens lacks v, values are keys. */
static void put_keys_as_values(mls_gguf_writer *w)
{
    bool alike = false;

    for (uint64_t l = 0; l < w->L; l++)
        alike |= layer_has(w, l, "attn_k.weight") && !layer_has(w, l, "attn_v.weight");
    mls_gguf_put_bool(w, "attention_k_eq_v", alike);
}

/* Gemma 3n's MLPs may differ; Gemma 4's are twice as wide where keys are another's. */
static mls_status put_widths(mls_gguf_writer *w)
{
    const mls_gguf_value *v = mls_gguf_header_value(
        mls_gguf_head(w->f), mls_gguf_key(w, "feed_forward_length"));
    const bool each = is(w, "gemma3n_text");
    json_t *list = json_array();
    uint64_t first = 0, x = 0;
    bool wide = false;
    mls_status st = MLS_OK;

    for (uint64_t l = 0; !st && v && v->is_array && l < w->L; l++) {
        st = mls_gguf_whole_at(w->f, w->key, l, &x, w->err);
        first = l ? first : x;
        wide |= x == 2 * first;
        json_array_append_new(list, json_integer((json_int_t)x));
    }
    if (each && json_array_size(list) == w->L)
        json_object_set(w->out, "intermediate_size", list);
    else if (!each)
        mls_gguf_put_bool(w, "use_double_wide_mlp", wide);
    json_decref(list);
    return st;
}

static mls_status put_gemma(mls_gguf_writer *w)
{
    const mls_tensor_info *table =
        mls_gguf_parts_find(w->p, "per_layer_token_embd.weight", NULL);
    const mls_tensor_info *low =
        mls_gguf_parts_find(w->p, "blk.0.laurel_l.weight", NULL);
    mls_status st;

    if ((st = put_all(w, gemma, sizeof gemma / sizeof gemma[0])) ||
        (st = put_sparsity(w)) || (st = put_widths(w)))
        return st;
    if (table && table->n_dims == 2)
        mls_gguf_put_whole(w, "vocab_size_per_layer_input", table->shape[0]);
    if (is(w, "gemma3n_text") && low && low->n_dims == 2)
        mls_gguf_put_whole(w, "laurel_rank", low->shape[0]);
    if (is(w, "gemma4_text")) {
        put_keys_as_values(w);
        mls_gguf_put_bool(w, "enable_moe_block",
                          mls_gguf_has_in_layer(w, "ffn_gate_inp.weight"));
    }
    return MLS_OK;
}

mls_status mls_gguf_put_state(mls_gguf_writer *w)
{
    const mls_status st = put_all(w, caches, sizeof caches / sizeof caches[0]);

    return st            ? st
           : is_conv(w)  ? put_conv(w)
           : is_delta(w) ? put_delta(w)
           : is_mamba(w) ? put_mamba(w)
           : is_gemma(w) ? put_gemma(w)
                         : MLS_OK;
}
