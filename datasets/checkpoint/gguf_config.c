/*
 * Keys are translated one by one, and those of the architecture that nothing here reads
 * are carried over under their GGUF names, so that the reader of configs refuses what
 * it does not know instead of losing it. Two things are not in keys and are found
 * again: llama3's scaling from the factors in rope_freqs.weight, biases and tied
 * embeddings from which tensors are there.
 */
#include "datasets/checkpoint/gguf_config.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/shape.h"
#include "datasets/base/json.h"
#include "datasets/checkpoint/gguf_config_inner.h"
#include "datasets/checkpoint/net_families.h"

/* "llama.block_count" of "block_count", until the next call. */
const char *mls_gguf_key(mls_gguf_writer *w, const char *name)
{
    snprintf(w->key, sizeof w->key, "%.60s.%s", w->arch, name);
    return w->key;
}

mls_status mls_gguf_missing(mls_gguf_writer *w, const char *name)
{
    return mls_fail(w->err, MLS_E_INPUT, "%s: key \"%s\" is missing",
                    mls_gguf_path(w->f), mls_gguf_key(w, name));
}

void mls_gguf_put_whole(mls_gguf_writer *w, const char *key, uint64_t x)
{
    json_object_set_new(w->out, key,
                        json_integer(x > INT64_MAX ? INT64_MAX : (json_int_t)x));
}

void mls_gguf_put_real(mls_gguf_writer *w, const char *key, double x)
{
    json_object_set_new(w->out, key, json_real(x));
}

void mls_gguf_put_bool(mls_gguf_writer *w, const char *key, bool x)
{
    json_object_set_new(w->out, key, json_boolean(x));
}

void mls_gguf_put_text(mls_gguf_writer *w, const char *key, const char *x)
{
    json_object_set_new(w->out, key, json_string(x));
}

bool mls_gguf_has_in_layer(const mls_gguf_writer *w, const char *rest)
{
    char name[96];

    for (uint64_t l = 0; l < w->L; l++) {
        snprintf(name, sizeof name, "blk.%" PRIu64 ".%s", l, rest);
        if (mls_gguf_has_tensor(w, name))
            return true;
    }
    return false;
}

/*
 * A whole number per model, or of an array with one for every layer the first that is
 * not 0: of the layers that have what is counted.
 */
static mls_status read_first(mls_gguf_writer *w, const char *name, uint64_t *out,
                             bool *found)
{
    const mls_gguf_value *v =
        mls_gguf_header_value(mls_gguf_head(w->f), mls_gguf_key(w, name));

    mls_status st = MLS_OK;

    *found = v != NULL;
    if (!v || !v->is_array)
        return mls_gguf_whole(w->f, w->key, out, w->err);
    *out = 0;
    for (uint64_t l = 0; !st && *out == 0 && l < v->n && l < w->L; l++)
        st = mls_gguf_whole_at(w->f, w->key, l, out, w->err);
    return st;
}

/*
 * Heads: a number, or one for every layer, which goes into the config as a list when
 * they differ. *most is the largest. Blocks that only predict further tokens come last
 * and are left out.
 */
static mls_status read_heads(mls_gguf_writer *w, const char *name, const char *hf,
                             uint64_t *most)
{
    const mls_gguf_value *v =
        mls_gguf_header_value(mls_gguf_head(w->f), mls_gguf_key(w, name));
    bool alike = true, apart = true;
    json_t *list;
    mls_status st = MLS_OK;

    if (!v || !v->is_array) {
        st = mls_gguf_whole(w->f, w->key, most, w->err);
        mls_gguf_put_whole(w, hf, *most);
        return st;
    }
    if (v->n != w->L + w->nextn)
        return mls_fail(w->err, MLS_E_INPUT,
                        "%s: key \"%s\" has %" PRIu64
                        " items, expected one for each of "
                        "the %" PRIu64 " layers",
                        mls_gguf_path(w->f), w->key, v->n, w->L + w->nextn);
    list = json_array();
    *most = 0;
    for (uint64_t i = 0; !st && i < w->L; i++) {
        uint64_t x = 0;

        st = mls_gguf_whole_at(w->f, w->key, i, &x, w->err);
        json_array_append_new(list, json_integer((json_int_t)x));
        alike = alike && (i == 0 || x == *most);
        apart = apart && (x == 0 || *most == 0 || x == *most);
        *most = x > *most ? x : *most;
    }
    /* Layers of 0 heads are recurrent: mls_gguf_put_state() tells the config so. */
    if (alike || (apart && mls_gguf_has_states(w))) {
        json_decref(list);
        mls_gguf_put_whole(w, hf, *most);
    } else
        json_object_set_new(w->out, hf, list);
    return st;
}

static mls_status need(mls_gguf_writer *w, const char *name, uint64_t *out)
{
    bool found;
    const mls_status st = read_first(w, name, out, &found);

    return st || found ? st : mls_gguf_missing(w, name);
}

/* ---- shape ---- */

static mls_status put_vocabulary(mls_gguf_writer *w)
{
    const mls_tensor_info *t = mls_gguf_parts_find(w->p, "token_embd.weight", NULL);
    const mls_gguf_value *tokens =
        mls_gguf_header_value(mls_gguf_head(w->f), "tokenizer.ggml.tokens");
    uint64_t V = tokens ? tokens->n : 0;
    mls_status st = mls_gguf_whole(w->f, mls_gguf_key(w, "vocab_size"), &V, w->err);

    if (st)
        return st;
    if (t && t->n_dims == 2)
        V = t->shape[0];
    if (V == 0)
        return mls_gguf_missing(w, "vocab_size");
    mls_gguf_put_whole(w, "vocab_size", V);
    return MLS_OK;
}

/* The MLPs' width where the key has 0 for layers that have one (Nemotron-H's does). */
static void tell_width(const mls_gguf_writer *w, uint64_t *F)
{
    for (uint64_t l = 0; l < w->L; l++) {
        const mls_tensor_info *t;
        char name[96];

        snprintf(name, sizeof name, "blk.%" PRIu64 ".ffn_up.weight", l);
        t = mls_gguf_parts_find(w->p, name, NULL);
        if (t && t->n_dims == 2) {
            *F = t->shape[0];
            return;
        }
    }
}

/* DeepSeek's: the cached latent, and what of a head rotates. */
static mls_status put_mla(mls_gguf_writer *w, uint64_t key_length,
                          uint64_t value_length)
{
    uint64_t rank = 0, q_rank = 0;
    mls_status st;

    if ((st = mls_gguf_whole(w->f, mls_gguf_key(w, "attention.kv_lora_rank"), &rank,
                             w->err)) ||
        (st = mls_gguf_whole(w->f, mls_gguf_key(w, "attention.q_lora_rank"), &q_rank,
                             w->err)) ||
        (st = mls_gguf_whole(w->f, mls_gguf_key(w, "attention.key_length_mla"),
                             &key_length, w->err)) ||
        (st = mls_gguf_whole(w->f, mls_gguf_key(w, "attention.value_length_mla"),
                             &value_length, w->err)))
        return st;
    if (key_length <= w->rope_dims)
        return mls_fail(w->err, MLS_E_INPUT,
                        "%s: keys have %" PRIu64
                        " dims, expected more than the %" PRIu64 " that rotate",
                        mls_gguf_path(w->f), key_length, w->rope_dims);
    mls_gguf_put_whole(w, "kv_lora_rank", rank);
    if (q_rank)
        mls_gguf_put_whole(w, "q_lora_rank", q_rank);
    else /* a missing key is the class's own rank */
        json_object_set_new(w->out, "q_lora_rank", json_null());
    mls_gguf_put_whole(w, "num_key_value_heads", w->H); /* 1 where it is absorbed */
    mls_gguf_put_whole(w, "qk_rope_head_dim", w->rope_dims);
    mls_gguf_put_whole(w, "qk_nope_head_dim", key_length - w->rope_dims);
    mls_gguf_put_whole(w, "v_head_dim", value_length);
    return MLS_OK;
}

/* Gemma 4: heads of layers with a window have another width, and another number. */
static mls_status put_two_widths(mls_gguf_writer *w, uint64_t wide)
{
    const json_t *heads = json_object_get(w->out, "num_key_value_heads");
    const mls_gguf_value *pattern = mls_gguf_header_value(
        mls_gguf_head(w->f), mls_gguf_key(w, "attention.sliding_window_pattern"));
    uint64_t narrow = wide;
    mls_status st = mls_gguf_whole(w->f, mls_gguf_key(w, "attention.key_length_swa"),
                                   &narrow, w->err);
    json_t *count[2] = {NULL,
                        NULL}; /* of layers that see all, of those with a window */

    mls_gguf_put_whole(w, "head_dim", narrow);
    mls_gguf_put_whole(w, "global_head_dim", wide);
    if (st || !json_is_array(heads) || !pattern || !pattern->is_array ||
        pattern->type != MLS_GGUF_BOOL || pattern->n < w->L)
        return st;
    for (size_t l = 0; l < w->L; l++) {
        json_t *n = json_array_get(heads, l);
        const bool window = pattern->data[l] != 0;

        if (count[window] && !json_equal(count[window], n))
            return MLS_OK; /* neither one number for each kind: a list is refused */
        count[window] = n;
    }
    if (count[0])
        mls_gguf_put_whole(w, "num_global_key_value_heads",
                           (uint64_t)json_integer_value(count[0]));
    if (count[1])
        mls_gguf_put_whole(w, "num_key_value_heads",
                           (uint64_t)json_integer_value(count[1]));
    return MLS_OK;
}

static mls_status put_heads(mls_gguf_writer *w)
{
    const bool mla = mls_gguf_has(w->f, mls_gguf_key(w, "attention.kv_lora_rank"));
    uint64_t G, key_length, value_length;
    mls_status st;

    if (!mls_gguf_has(w->f, mls_gguf_key(w, "attention.head_count")))
        return mls_gguf_missing(w, "attention.head_count");
    if ((st = read_heads(w, "attention.head_count", "num_attention_heads", &w->H)))
        return st;
    G = w->H;
    if (w->H == 0)
        return mls_fail(w->err, MLS_E_INPUT, "%s: key \"%s\" is 0, expected 1 or more",
                        mls_gguf_path(w->f), w->key);
    key_length = value_length = w->E / w->H;
    if ((st = read_heads(w, "attention.head_count_kv", "num_key_value_heads", &G)) ||
        (st = mls_gguf_whole(w->f, mls_gguf_key(w, "attention.key_length"), &key_length,
                             w->err)) ||
        (st = mls_gguf_whole(w->f, mls_gguf_key(w, "attention.value_length"),
                             &value_length, w->err)))
        return st;
    if (G == w->H && strcmp(w->model_type, "gpt_neox") == 0)
        json_object_del(w->out, "num_key_value_heads"); /* its class has no such key */
    w->D = w->rope_dims = key_length;
    if ((st = mls_gguf_whole(w->f, mls_gguf_key(w, "rope.dimension_count"),
                             &w->rope_dims, w->err)))
        return st;
    w->is_mla = mla;
    if (mla)
        return put_mla(w, key_length, value_length);
    if (strcmp(w->model_type, "gemma4_text") == 0)
        return put_two_widths(w, key_length);
    if (key_length != value_length)
        mls_gguf_put_whole(w, "v_head_dim", value_length);
    mls_gguf_put_whole(w, "head_dim", key_length);
    if (strcmp(w->arch, "gemma3") == 0 || strcmp(w->arch, "gemma2") == 0) {
        /* 27B of either scales by another width */
        const uint64_t big = strcmp(w->arch, "gemma3") == 0 ? 62 : 46;

        mls_gguf_put_whole(w, "query_pre_attn_scalar",
                           w->L == big ? w->E / w->H : key_length);
    }
    const mls_net_family *f = mls_net_find(w->model_type);

    if (w->D > 0 && (w->rope_dims != w->D || (f && f->partial > 0))) {
        /* llama.cpp turns a part of the head where Hugging Face's class does not. */
        mls_gguf_put_real(w,
                          f && f->partial > 0 ? "partial_rotary_factor"
                                              : mls_gguf_key(w, "rope.dimension_count"),
                          (double)w->rope_dims / (double)w->D);
    }
    return MLS_OK;
}

static mls_status put_shape(mls_gguf_writer *w)
{
    uint64_t F = 0, context = 0;
    bool found;
    mls_status st;

    if ((st = need(w, "block_count", &w->L)) ||
        (st = need(w, "embedding_length", &w->E)) ||
        (st = read_first(w, "feed_forward_length", &F, &found)) ||
        (!found && (st = need(w, "expert_feed_forward_length", &F))) ||
        (st =
             mls_gguf_whole(w->f, mls_gguf_key(w, "context_length"), &context, w->err)))
        return st;
    if ((st = mls_gguf_whole(w->f, mls_gguf_key(w, "nextn_predict_layers"), &w->nextn,
                             w->err)))
        return st;
    if (w->nextn >= w->L)
        return mls_fail(w->err, MLS_E_INPUT,
                        "%s: key \"%s\" is %" PRIu64 ", of %" PRIu64 " layers",
                        mls_gguf_path(w->f), w->key, w->nextn, w->L);
    w->L -= w->nextn;
    if (w->L > MLS_LAYERS_MAX)
        return mls_fail(w->err, MLS_E_INPUT,
                        "%s: %" PRIu64 " layers, expected at most %d",
                        mls_gguf_path(w->f), w->L, MLS_LAYERS_MAX);
    if (strcmp(w->model_type, "nemotron_h") == 0)
        tell_width(w, &F);
    mls_gguf_put_whole(w, "num_hidden_layers", w->L);
    mls_gguf_put_whole(w, "hidden_size", w->E);
    mls_gguf_put_whole(w, "intermediate_size", F);
    if (context)
        mls_gguf_put_whole(w, "max_position_embeddings", context);
    if ((st = put_vocabulary(w)))
        return st;
    return put_heads(w);
}

/* ---- windows, norms, biases ---- */

bool mls_gguf_has_tensor(const mls_gguf_writer *w, const char *name)
{
    return mls_gguf_parts_find(w->p, name, NULL) != NULL;
}

/* Families whose classes say which layers have the window. */
static bool has_windows(const mls_gguf_writer *w)
{
    static const char *const types[] = {
        "gemma2", "gemma3_text", "gemma3n_text", "gemma4_text", "cohere2",
        "phi3",   "exaone4",     "exaone_moe",   "gpt_oss",     "olmo3"};

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(w->model_type, types[i]) == 0)
            return true;
    return false;
}

/* Mistral's files have the architecture llama; a window tells them. */
static mls_status put_window(mls_gguf_writer *w)
{
    uint64_t window = 0, context = UINT64_MAX, pattern = 0;
    const mls_gguf_value *v;
    mls_status st;

    if ((st = mls_gguf_whole(w->f, mls_gguf_key(w, "attention.sliding_window"), &window,
                             w->err)) ||
        (st =
             mls_gguf_whole(w->f, mls_gguf_key(w, "context_length"), &context, w->err)))
        return st;
    if (window >= context && !has_windows(w))
        window = 0;
    if (strcmp(w->model_type, "llama") == 0 && window) {
        mls_gguf_put_text(w, "model_type", "mistral");
        json_object_set_new(w->out, "architectures",
                            json_pack("[s]", "MistralForCausalLM"));
    } else if (w->family && w->family->architecture && window && !has_windows(w)) {
        /* Which of its layers have the window is in no key. */
        mls_gguf_key(w, "attention.sliding_window");
        mls_gguf_put_whole(w, w->key, window);
        return MLS_OK;
    }
    if (window)
        mls_gguf_put_whole(w, "sliding_window", window);
    else if (strcmp(w->arch, "exaone4") == 0 && w->L != 64) /* 32B's class has one */
        json_object_set_new(w->out, "sliding_window", json_null());
    v = mls_gguf_header_value(mls_gguf_head(w->f),
                              mls_gguf_key(w, "attention.sliding_window_pattern"));
    if (!v || !window)
        return MLS_OK;
    if (!v->is_array) {
        if ((st = mls_gguf_whole(w->f, w->key, &pattern, w->err)))
            return st;
        mls_gguf_put_whole(w, "sliding_window_pattern", pattern);
        return MLS_OK;
    }
    if (v->type != MLS_GGUF_BOOL || v->n != w->L + w->nextn)
        return mls_fail(w->err, MLS_E_INPUT,
                        "%s: key \"%s\" is an array of %" PRIu64
                        " %s, expected a bool for each of the %" PRIu64 " layers",
                        mls_gguf_path(w->f), w->key, v->n, mls_gguf_type_name(v->type),
                        w->L);
    json_t *types = json_array();

    for (uint64_t i = 0; i < w->L; i++)
        json_array_append_new(
            types, json_string(v->data[i] ? "sliding_attention" : "full_attention"));
    json_object_set_new(w->out, "layer_types", types);
    return MLS_OK;
}

/* Keys in the words of the classes: the first one that the family's class reads. */
static const struct {
    const char *gguf, *hf[5];
} spelled[] = {
    {"attention.layer_norm_epsilon",
     {"layer_norm_eps", "norm_epsilon", "layer_norm_epsilon", "norm_eps"}},
    {"attention.scale", {"attention_multiplier"}},
    {"attention.value_scale", {"attention_value_scale"}},
    {"attn_logit_softcapping", {"attn_logit_softcapping"}},
    {"embedding_scale", {"embedding_multiplier"}},
    {"expert_count",
     {"num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"}},
    {"expert_feed_forward_length", {"moe_intermediate_size"}},
    {"expert_group_count", {"n_group"}},
    {"expert_group_used_count", {"topk_group"}},
    {"expert_shared_count",
     {"n_shared_experts", "moe_num_shared_experts", "num_shared_experts"}},
    {"expert_shared_feed_forward_length",
     {"shared_expert_intermediate_size", "moe_shared_expert_intermediate_size",
      "shared_intermediate_size"}},
    {"expert_used_count",
     {"num_experts_per_tok", "moe_k", "moe_topk", "top_k_experts"}},
    {"expert_weights_norm", {"norm_topk_prob", "route_norm"}},
    {"expert_weights_scale",
     {"routed_scaling_factor", "route_scale", "router_scaling_factor",
      "moe_routed_scaling_factor"}},
    {"final_logit_softcapping", {"final_logit_softcapping"}},
    {"interleave_moe_layer_step", {"interleave_moe_layer_step", "moe_layer_interval"}},
    {"leading_dense_block_count",
     {"first_k_dense_replace", "num_dense_layers", "moe_layer_start_index"}},
    {"logit_scale", {"logits_scaling", "logit_scale"}},
    {"residual_scale", {"residual_multiplier"}},
    {"rope.freq_base_swa", {"rope_local_base_freq"}},
    {"use_parallel_residual", {"use_parallel_residual"}},
};

/* NULL: its class does not read the key. */
static const char *spelling(const mls_gguf_writer *w, size_t i)
{
    const mls_net_family *f =
        w->family && w->family->architecture ? mls_net_find(w->model_type) : NULL;

    for (size_t k = 0; f && k < 5 && spelled[i].hf[k]; k++)
        if (mls_net_reads(f, spelled[i].hf[k]))
            return spelled[i].hf[k];
    return NULL;
}

/*
 * What the experts' keys mean where they are missing: as llama.cpp has it, not as the
 * class of transformers does (src/models/, build_moe_ffn).
 */
static void put_experts(mls_gguf_writer *w, const mls_net_family *f)
{
    static const struct {
        const char *arch;
        bool norm;
    } sums[] = {{"qwen3moe", true},  {"qwen3vlmoe", true},  {"qwen3next", true},
                {"qwen35moe", true}, {"lfm2moe", true},     {"minimax-m2", true},
                {"mimo2", true},     {"deepseek2", false},  {"glm4moe", false},
                {"dots1", false},    {"exaone-moe", false}, {"nemotron_h_moe", false}};
    uint64_t gate = 0;

    for (size_t i = 0; i < sizeof sums / sizeof sums[0]; i++)
        if (strcmp(w->arch, sums[i].arch) == 0 &&
            !json_object_get(w->out, "norm_topk_prob"))
            mls_gguf_put_bool(w, "norm_topk_prob", sums[i].norm);
    if (mls_net_reads(f, "mlp_layer_types") && !f->net.single) {
        json_t *types = json_array();

        for (uint64_t l = 0; l < w->L; l++) {
            char name[96];

            snprintf(name, sizeof name, "blk.%" PRIu64 ".ffn_gate_inp.weight", l);
            json_array_append_new(
                types, json_string(mls_gguf_has_tensor(w, name) ? "sparse" : "dense"));
        }
        json_object_set_new(w->out, "mlp_layer_types", types);
    }
    /* What DeepSeek-V2's files were made of; V3's rule is another class's. */
    if (strcmp(w->model_type, "deepseek_v2") == 0)
        mls_gguf_put_text(w, "topk_method", "group_limited_greedy");
    if (mls_net_reads(f, "routed_scaling_factor") &&
        !json_object_get(w->out, "routed_scaling_factor"))
        mls_gguf_put_real(w, "routed_scaling_factor", 1);
    if (mls_net_reads(f, "n_group") && !json_object_get(w->out, "n_group"))
        mls_gguf_put_whole(w, "n_group", 1);
    if (mls_net_reads(f, "topk_group") && !json_object_get(w->out, "topk_group"))
        mls_gguf_put_whole(w, "topk_group", 1);
    if (mls_net_reads(f, "n_routed_experts") &&
        !json_object_get(w->out, "n_routed_experts"))
        mls_gguf_put_whole(w, "n_routed_experts", 0);
    if (mls_net_reads(f, "n_shared_experts") &&
        !json_object_get(w->out, "n_shared_experts"))
        mls_gguf_put_whole(w, "n_shared_experts", 0);
    /* enum llama_expert_gating_func_type: softmax, sigmoid, others */
    (void)mls_gguf_whole(w->f, mls_gguf_key(w, "expert_gating_func"), &gate, NULL);
    if (gate && gate != (f->net.experts.routing == MLS_ROUTE_SIGMOID ||
                                 f->net.experts.routing == MLS_ROUTE_INPUT
                             ? 2
                             : 1))
        mls_gguf_put_whole(w, w->key, gate);
}

static mls_status put_spelled(mls_gguf_writer *w)
{
    for (size_t i = 0; i < sizeof spelled / sizeof spelled[0]; i++) {
        const char *hf = spelling(w, i);
        const mls_gguf_value *v = mls_gguf_header_value(
            mls_gguf_head(w->f), mls_gguf_key(w, spelled[i].gguf));
        uint64_t whole = 0;
        bool flag = false;
        double real = 0;
        mls_status st;

        if (!hf || !v)
            continue;
        if (v->type == MLS_GGUF_BOOL) {
            st = mls_gguf_bool(w->f, w->key, &flag, w->err);
            mls_gguf_put_bool(w, hf, flag);
        } else if (v->type == MLS_GGUF_F32) {
            st = mls_gguf_real(w->f, w->key, &real, w->err);
            mls_gguf_put_real(w, hf, real);
        } else {
            st = mls_gguf_whole(w->f, w->key, &whole, w->err);
            mls_gguf_put_whole(w, hf, whole);
        }
        if (st)
            return st;
    }
    return MLS_OK;
}

static mls_status put_flags(mls_gguf_writer *w)
{
    static const char layer_eps[] = "attention.layer_norm_epsilon";
    static const char eps_key[] = "attention.layer_norm_rms_epsilon";
    uint64_t experts = 0, id, type = UINT64_MAX;
    bool causal = true;
    double eps = 0;
    mls_status st;

    if ((st = mls_gguf_real(w->f, mls_gguf_key(w, eps_key), &eps, w->err)) ||
        (st =
             mls_gguf_whole(w->f, mls_gguf_key(w, "expert_count"), &experts, w->err)) ||
        (st = mls_gguf_bool(w->f, mls_gguf_key(w, "attention.causal"), &causal,
                            w->err)) ||
        (st = mls_gguf_whole(w->f, "general.file_type", &type, w->err)))
        return st;
    const mls_net_family *own = mls_net_find(w->model_type);

    if (eps > 0)
        mls_gguf_put_real(w,
                          own && mls_net_reads(own, "norm_eps") ? "norm_eps"
                          : own && mls_net_reads(own, "layer_norm_epsilon")
                              ? "layer_norm_epsilon"
                              : "rms_norm_eps",
                          eps);
    else if (w->family && w->family->architecture &&
             !mls_gguf_has(w->f, mls_gguf_key(w, layer_eps)))
        return mls_gguf_missing(w, eps_key);
    if ((st = put_spelled(w)))
        return st;
    if (own && (own->net.experts.n || own->net.experts.beside) && w->family &&
        w->family->architecture)
        put_experts(w, own);
    else if (experts) { /* sized: not computed */
        mls_gguf_put_whole(w, "num_local_experts", experts);
        mls_gguf_put_whole(w, mls_gguf_key(w, "expert_count"), experts);
    }
    if (!causal)
        mls_gguf_put_bool(w, "is_causal", false);
    mls_gguf_put_bool(w, "tie_word_embeddings",
                      !mls_gguf_has_tensor(w, "output.weight"));
    const mls_net_family *f = mls_net_find(w->model_type);

    /* Where its class has biases of q, k, v alone, or of all, completeness tells. */
    if (mls_gguf_has_in_layer(w, "attn_q.bias") && !(f && f->qkv_bias))
        mls_gguf_put_bool(w, "attention_bias", true);
    if (f && mls_net_reads(f, "use_qk_norm"))
        mls_gguf_put_bool(w, "use_qk_norm",
                          mls_gguf_has_in_layer(w, "attn_q_norm.weight"));
    if (mls_gguf_has_tensor(w, "blk.0.ffn_gate.bias"))
        mls_gguf_put_bool(w, "mlp_bias", true);
    if (w->family && w->family->interleaved &&
        mls_gguf_has_tensor(w, "blk.0.attn_q_norm.weight"))
        mls_gguf_put_text(w, "attn_q_norm", "a norm of interleaved queries");
    /* enum llama_ftype: those whose matrices are all of one plain type */
    if (type == 0 || type == 1 || type == 32)
        mls_gguf_put_text(w, "torch_dtype",
                          type == 0   ? "float32"
                          : type == 1 ? "float16"
                                      : "bfloat16");
    id = UINT64_MAX;
    if ((st = mls_gguf_whole(w->f, "tokenizer.ggml.bos_token_id", &id, w->err)))
        return st;
    if (id != UINT64_MAX)
        mls_gguf_put_whole(w, "bos_token_id", id);
    id = UINT64_MAX;
    if ((st = mls_gguf_whole(w->f, "tokenizer.ggml.eos_token_id", &id, w->err)))
        return st;
    if (id != UINT64_MAX)
        mls_gguf_put_whole(w, "eos_token_id", id);
    return MLS_OK;
}

/*
 * What follows from other keys: one base of RoPE for all layers, the width of so many
 * shared experts, a norm's epsilon where the class has it fixed.
 */
static bool says_again(mls_gguf_writer *w, const char *name)
{
    const mls_net_family *f =
        w->family && w->family->architecture ? mls_net_find(w->model_type) : NULL;
    double base = 10000, local = 0;

    if (strcmp(name, "rope.freq_base_swa") == 0) {
        (void)mls_gguf_real(w->f, mls_gguf_key(w, "rope.freq_base"), &base, NULL);
        (void)mls_gguf_real(w->f, mls_gguf_key(w, name), &local, NULL);
        return local == base;
    }
    return f &&
           ((strcmp(name, "expert_shared_feed_forward_length") == 0 &&
             (mls_net_reads(f, "moe_num_shared_experts") ||
              mls_net_reads(f, "num_shared_experts"))) ||
            (strcmp(name, "attention.layer_norm_epsilon") == 0 && f->net.norm_free));
}

/* Keys of the architecture that nothing above reads: they may change the model. */
static void put_unknown(mls_gguf_writer *w)
{
    static const char *const known[] = {
        "attention.causal",
        "attention.head_count",
        "attention.head_count_kv",
        "attention.key_length",
        "attention.key_length_mla",
        "attention.key_length_swa",
        "attention.kv_lora_rank",
        "attention.layer_norm_rms_epsilon",
        "attention.q_lora_rank",
        "attention.sliding_window",
        "attention.sliding_window_pattern",
        "attention.value_length",
        "attention.value_length_mla",
        "attention.value_length_swa",
        "block_count",
        "context_length",
        "embedding_length",
        "expert_count",
        "expert_feed_forward_length",
        "expert_gating_func", /* put where it is not its class's */
        "expert_used_count",
        "feed_forward_length",
        "nextn_predict_layers",
        "rope.dimension_count",
        "rope.dimension_sections", /* of places in pictures; a text's are alike */
        "rope.freq_base",
        "rope.scale_linear",
        "rope.scaling.attn_factor",
        "rope.scaling.factor",
        "rope.scaling.finetuned",
        "rope.scaling.original_context_length",
        "rope.scaling.type",
        "rope.scaling.yarn_beta_fast",
        "rope.scaling.yarn_beta_slow",
        "tensor_data_layout", /* says in words that q and k are interleaved */
        "vocab_size",
    };
    static const char log_multiplier[] = "rope.scaling.yarn_log_multiplier";
    const mls_gguf_header *h = mls_gguf_head(w->f);
    const size_t n = strlen(w->arch);

    for (size_t i = 0; i < h->n_values; i++) {
        const mls_gguf_value *v = &h->value[i];
        bool is_known = false;
        char shown[64];

        if (strncmp(v->key, w->arch, n) != 0 || v->key[n] != '.')
            continue;
        for (size_t k = 0; k < sizeof known / sizeof known[0]; k++)
            is_known = is_known || strcmp(v->key + n + 1, known[k]) == 0;
        is_known = is_known || mls_gguf_state_reads(w, v->key + n + 1) ||
                   (w->is_mla && strcmp(v->key + n + 1, log_multiplier) == 0) ||
                   says_again(w, v->key + n + 1);
        snprintf(shown, sizeof shown, "%s%s", v->is_array ? "array of " : "",
                 mls_gguf_type_name(v->type));
        for (size_t k = 0; k < sizeof spelled / sizeof spelled[0]; k++)
            is_known = is_known ||
                       (strcmp(v->key + n + 1, spelled[k].gguf) == 0 && spelling(w, k));
        if (!is_known)
            mls_gguf_put_text(w, v->key, shown);
    }
}

/* DeepSeek-V3 and who followed choose by sigmoids, which files of V2 do not say. */
static mls_status tell_deepseek(mls_gguf_writer *w)
{
    uint64_t gate = 0, layers = 0;
    mls_status st =
        mls_gguf_whole(w->f, mls_gguf_key(w, "expert_gating_func"), &gate, w->err);

    if (st ||
        (st = mls_gguf_whole(w->f, mls_gguf_key(w, "block_count"), &layers, w->err)))
        return st;
    w->L = layers;
    if (gate == 2 ||
        (layers <= MLS_LAYERS_MAX && mls_gguf_has_in_layer(w, "exp_probs_b.bias"))) {
        w->model_type = "deepseek_v3";
        json_object_set_new(w->out, "architectures",
                            json_pack("[s]", "DeepseekV3ForCausalLM"));
    }
    return MLS_OK;
}

static mls_status put_kind(mls_gguf_writer *w)
{
    uint64_t experts = 0;
    mls_status st;

    if ((st = mls_gguf_text(w->f, "general.architecture", &w->arch, w->err)))
        return st;
    if (!w->arch)
        return mls_fail(w->err, MLS_E_INPUT,
                        "%s: key \"general.architecture\" is missing",
                        mls_gguf_path(w->f));
    if (!*w->arch || strlen(w->arch) > 60)
        return mls_fail(w->err, MLS_E_INPUT,
                        "%s: general.architecture has %zu bytes, expected 1 to 60",
                        mls_gguf_path(w->f), strlen(w->arch));
    w->family = mls_gguf_family_find(w->arch);
    if (w->family && w->family->architecture)
        json_object_set_new(w->out, "architectures",
                            json_pack("[s]", w->family->architecture));
    else if (w->family ||
             mls_net_find(w->arch)) /* sized: another layout, or none seen */
        mls_gguf_put_text(w, "general.architecture", w->arch);
    w->model_type = w->family ? w->family->model_type : w->arch;
    if (strcmp(w->arch, "deepseek2") == 0 && (st = tell_deepseek(w)))
        return st;
    if ((st = mls_gguf_whole(w->f, mls_gguf_key(w, "expert_count"), &experts, w->err)))
        return st;
    if (strcmp(w->arch, "granitemoe") == 0 &&
        mls_gguf_has(w->f, mls_gguf_key(w, "expert_shared_feed_forward_length"))) {
        w->model_type = "granitemoeshared";
        json_object_set_new(w->out, "architectures",
                            json_pack("[s]", "GraniteMoeSharedForCausalLM"));
    }
    if (strcmp(w->arch, "olmo2") == 0 &&
        mls_gguf_has(w->f, mls_gguf_key(w, "attention.sliding_window"))) {
        w->model_type = "olmo3";
        json_object_set_new(w->out, "architectures",
                            json_pack("[s]", "Olmo3ForCausalLM"));
    }
    if (experts && strcmp(w->arch, "llama") == 0) { /* Mixtral's, too */
        w->model_type = "mixtral";
        json_object_set_new(w->out, "architectures",
                            json_pack("[s]", "MixtralForCausalLM"));
    }
    mls_gguf_put_text(w, "model_type", w->model_type);
    return MLS_OK;
}

mls_status mls_gguf_config(const mls_gguf_parts *p, char **json, size_t *len,
                           mls_err *err)
{
    mls_gguf_writer w = {.p = p, .f = p->part[0], .out = json_object(), .err = err};
    mls_status st;

    *json = NULL;
    if (!w.out)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a config");
    if (!(st = put_kind(&w)) && !(st = put_shape(&w)) &&
        !(st = mls_gguf_put_rope(&w)) && !(st = put_window(&w)))
        st = put_flags(&w);
    if (!st)
        st = mls_gguf_put_state(&w);
    if (!st) {
        put_unknown(&w);
        *json = json_dumps(w.out, JSON_INDENT(2));
        if (!*json)
            st = mls_fail(err, MLS_E_NOMEM, "no memory for a config");
        else
            *len = strlen(*json);
    }
    json_decref(w.out);
    free(w.arch);
    return st;
}
