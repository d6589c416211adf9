/* What the network computes: the family's row, then what config.json says otherwise. */
#include <math.h>
#include <string.h>

#include "datasets/base/json.h"
#include "datasets/checkpoint/config_reader.h"
#include "datasets/checkpoint/net_families.h"

static const struct {
    const char *name;
    mls_act act;
} acts[] = {
    {"silu", MLS_ACT_SILU},
    {"swish", MLS_ACT_SILU},
    {"swiglu", MLS_ACT_SILU},
    {"gelu", MLS_ACT_GELU},
    {"gelu_new", MLS_ACT_GELU_TANH},
    {"gelu_fast", MLS_ACT_GELU_TANH},
    {"gelu_pytorch_tanh", MLS_ACT_GELU_TANH},
    {"relu", MLS_ACT_RELU},
    {"relu2", MLS_ACT_RELU2},
    {"xielu", MLS_ACT_XIELU},
};

/* The value of a key that the family's class reads; NULL otherwise. */
static const json_t *get(const mls_config_reader *r, const char *key)
{
    return mls_net_reads(r->net, key) ? mls_config_get(r, key) : NULL;
}

static mls_status get_real(const mls_config_reader *r, const char *key, double *out)
{
    const json_t *v = get(r, key);

    return v ? mls_config_real(r, key, v, -1e12, 1e12, out) : MLS_OK;
}

static mls_status get_bool(const mls_config_reader *r, const char *key, bool *out)
{
    const json_t *v = get(r, key);
    char shown[MLS_JSON_SHOW];

    if (v && !json_is_boolean(v))
        return mls_fail(r->err, MLS_E_INPUT, "%s: %s is %s, expected true or false",
                        r->path, key, mls_json_show(shown, v));
    if (v)
        *out = json_is_true(v);
    return MLS_OK;
}

/* Whether the class reads the key and the file gives null: off, whatever the class has.
 */
static bool is_null(const mls_config_reader *r, const char *key)
{
    return mls_net_reads(r->net, key) && json_is_null(json_object_get(r->inner, key));
}

static mls_status get_size(const mls_config_reader *r, const char *key, size_t *out)
{
    double x = (double)*out;
    const json_t *v = get(r, key);
    mls_status st;

    if (!v || (json_is_string(v) && strcmp(json_string_value(v), "auto") == 0))
        return MLS_OK;
    st = mls_config_real(r, key, v, 0, 1e9, &x);
    if (!st && x != floor(x))
        st = mls_fail(r->err, MLS_E_INPUT, "%s: %s is %g, expected a whole number",
                      r->path, key, x);
    *out = (size_t)x;
    return st;
}

/* A number under the first of several names that the class reads. */
static mls_status get_first(const mls_config_reader *r, const char *const *keys,
                            size_t *out)
{
    for (; *keys; keys++)
        if (get(r, *keys))
            return get_size(r, *keys, out);
    return MLS_OK;
}

static void refuse(mls_config_reader *r, const char *key, const char *why)
{
    mls_config_unsupported(r->config, "%s: %s", key, why);
}

static mls_status read_act(mls_config_reader *r)
{
    static const char *const keys[] = {"hidden_activation", "hidden_act",
                                       "activation_function", "activation"};
    mls_config *c = r->config;

    if (c->net.act == MLS_ACT_OAI) /* the key says silu */
        return MLS_OK;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const json_t *v = mls_config_get(r, keys[i]);

        for (size_t k = 0; v && k < sizeof acts / sizeof acts[0]; k++)
            if (json_is_string(v) && strcmp(json_string_value(v), acts[k].name) == 0) {
                c->net.act = acts[k].act;
                return MLS_OK;
            }
        if (v) {
            char shown[MLS_JSON_SHOW];

            mls_config_unsupported(c, "%s is %s, which is not computed", keys[i],
                                   mls_json_show(shown, v));
            return MLS_OK;
        }
    }
    return MLS_OK;
}

static mls_status read_norms(mls_config_reader *r)
{
    static const char *const keys[] = {"layer_norm_eps", "layer_norm_epsilon",
                                       "norm_eps", "norm_epsilon"};
    mls_config *c = r->config;
    mls_status st = MLS_OK;

    if (r->net->eps > 0 && !mls_config_get(r, "rms_norm_eps"))
        c->rms_eps = r->net->eps;
    /* Command A: an RMS norm where its eps is given. */
    if (mls_net_reads(r->net, "rms_norm_eps") && mls_config_get(r, "rms_norm_eps")) {
        c->net.norm = MLS_NORM_RMS;
        return MLS_OK;
    }
    for (size_t i = 0; !st && i < sizeof keys / sizeof keys[0]; i++)
        st = get_real(r, keys[i], &c->rms_eps);
    return st;
}

static mls_status read_biases(mls_config_reader *r)
{
    mls_config *c = r->config;
    bool all = false;
    mls_status st;

    c->qkv_bias = r->net->qkv_bias;
    c->o_bias = r->net->o_bias;
    c->mlp_bias = r->net->mlp_bias;
    if (get(r, "use_bias") || get(r, "bias")) {
        if ((st = get_bool(r, "use_bias", &all)) || (st = get_bool(r, "bias", &all)))
            return st;
        c->qkv_bias = c->o_bias = c->mlp_bias = all;
    }
    if (get(r, "attention_bias")) {
        if ((st = get_bool(r, "attention_bias", &all)))
            return st;
        c->qkv_bias = all;
        /* GLM's, Seed's and some others' output projection has none. */
        if (strncmp(c->model_type, "glm", 3) != 0 &&
            strcmp(c->model_type, "helium") != 0 &&
            strcmp(c->model_type, "mimo_v2_flash") != 0 &&
            strcmp(c->model_type, "sarvam_moe") != 0 &&
            strcmp(c->model_type, "solar_open") != 0 &&
            !mls_net_reads(r->net, "attention_out_bias"))
            c->o_bias = all;
    }
    if ((st = get_bool(r, "qkv_bias", &c->qkv_bias)) ||
        (st = get_bool(r, "use_qkv_bias", &c->qkv_bias)) ||
        (st = get_bool(r, "attention_out_bias", &c->o_bias)))
        return st;
    return get_bool(r, "mlp_bias", &c->mlp_bias);
}

static bool is_type(const json_t *file, const char *model_type)
{
    const char *own = json_string_value(json_object_get(file, "model_type"));

    return own && strcmp(own, model_type) == 0;
}

static mls_status read_scales(mls_config_reader *r)
{
    mls_net *n = &r->config->net;
    double query = 0, over = 0, depth = 0, base = 0;
    const json_t *tuning = get(r, "attn_temperature_tuning");
    bool scaled = true, by_layer = false, root = true, mup = false, tuned = true;
    mls_status st;

    if ((st = get_real(r, "attention_multiplier", &n->score_scale)) ||
        (st = get_real(r, "query_pre_attn_scalar", &query)) ||
        (st = get_bool(r, "scale_attn_weights", &scaled)) ||
        (st = get_bool(r, "scale_attn_by_inverse_layer_idx", &by_layer)) ||
        (st = get_real(r, "embedding_multiplier", &n->embed_scale)) ||
        (st = get_real(r, "scale_emb", &n->embed_scale)) ||
        (st = get_bool(r, "scale_embedding", &root)) ||
        (st = get_bool(r, "mup_enabled", &mup)) ||
        (st = get_real(r, "residual_multiplier", &n->residual_scale)) ||
        (st = get_real(r, "scale_depth", &depth)) ||
        (st = get_real(r, "logit_scale", &n->logit_scale)) ||
        (st = get_real(r, "logits_scaling", &over)) ||
        (st = get_real(r, "dim_model_base", &base)) ||
        (st = get_real(r, "lm_head_multiplier", &n->logit_scale)) ||
        (!json_is_integer(tuning) && /* Llama 4 Scout's file has 4 there */
         (st = get_bool(r, "attn_temperature_tuning", &tuned))) ||
        (st = get_real(r, "attn_scale", &n->query_beta)) ||
        (st = get_real(r, "floor_scale", &n->query_period)) ||
        (st = get_real(r, "clip_qkv", &n->clip)))
        return st;
    if (!tuned || (json_is_integer(tuning) && json_integer_value(tuning) == 0))
        n->query_beta = 0;
    if (query > 0)
        n->score_scale = 1 / sqrt(query);
    if (!scaled)
        n->score_scale = 1;
    if (by_layer)
        refuse(r, "scale_attn_by_inverse_layer_idx", "each layer has its own scale");
    if (strstr(r->config->model_type, "gemma")) /* it rounds it like a weight */
        n->embed_scale = (double)(float)sqrt((double)r->config->E);
    if ((mls_net_reads(r->net, "scale_embedding") && root) || mup)
        n->embed_scale = sqrt((double)r->config->E);
    if (depth > 0)
        n->residual_scale = depth / sqrt((double)r->config->L);
    if (over > 0) /* HyperCLOVA X multiplies, Granite divides */
        n->logit_scale =
            strcmp(r->config->model_type, "hyperclovax") == 0 ? over : 1 / over;
    if (base > 0)
        n->logit_scale = base / (double)r->config->E;
    /* transformers' class around Cohere's text model leaves its logit_scale out. */
    if (r->inner != r->outer && is_type(r->outer, "aya_vision"))
        n->logit_scale = 0;
    /* null switches the caps off; a missing key leaves the class's own. */
    if (is_null(r, "attn_logit_softcapping"))
        n->score_cap = 0;
    if (is_null(r, "final_logit_softcapping"))
        n->logit_cap = 0;
    st = get_real(r, "attn_logit_softcapping", &n->score_cap);
    return st ? st : get_real(r, "final_logit_softcapping", &n->logit_cap);
}

static mls_status read_blocks(mls_config_reader *r)
{
    static const mls_tensor_name two_norms[] = {
        {"transformer.word_embeddings.weight", MLS_TENSOR_EMBED},
        {"transformer.ln_f.weight", MLS_TENSOR_NORM},
        {"transformer.ln_f.bias", MLS_TENSOR_NORM_BIAS},
        {"self_attention.query_key_value.weight", MLS_TENSOR_QKV},
        {"self_attention.query_key_value.bias", MLS_TENSOR_QKV_BIAS},
        {"self_attention.dense.weight", MLS_TENSOR_WO},
        {"self_attention.dense.bias", MLS_TENSOR_BO},
        {"mlp.dense_h_to_4h.weight", MLS_TENSOR_UP},
        {"mlp.dense_h_to_4h.bias", MLS_TENSOR_UP_BIAS},
        {"mlp.dense_4h_to_h.weight", MLS_TENSOR_DOWN},
        {"mlp.dense_4h_to_h.bias", MLS_TENSOR_DOWN_BIAS},
        {"ln_attn.weight", MLS_TENSOR_ATTN_NORM},
        {"ln_attn.bias", MLS_TENSOR_ATTN_NORM_BIAS},
        {"ln_mlp.weight", MLS_TENSOR_MLP_NORM},
        {"ln_mlp.bias", MLS_TENSOR_MLP_NORM_BIAS},
        {NULL, 0}};
    mls_net *n = &r->config->net;
    bool alibi = false, new = false, qk = n->qk != MLS_QK_NONE, post = true;
    bool before = true;
    bool after = false, affine = true;
    size_t lns = 0, projected = r->config->E;
    mls_status st;

    if ((st = get_bool(r, "use_parallel_residual", &n->parallel)) ||
        (st = get_bool(r, "parallel_attn", &n->parallel)) ||
        (st = get_bool(r, "alibi", &alibi)) ||
        (st = get_bool(r, "new_decoder_architecture", &new)) ||
        (st = get_size(r, "num_ln_in_parallel_attn", &lns)) ||
        (strncmp(r->config->model_type, "hunyuan", 7) != 0 && /* has it always */
         (st = get_bool(r, "use_qk_norm", &qk))) ||
        (st = get_bool(r, "qk_norm", &qk)) || (st = get_bool(r, "qk_layernorm", &qk)) ||
        (st = get_bool(r, "rope_interleave", &n->interleaved)) ||
        (st = get_bool(r, "use_post_norm", &post)) ||
        (st = get_bool(r, "do_layer_norm_before", &before)) ||
        (st = get_bool(r, "apply_residual_connection_post_layernorm", &after)) ||
        (st = get_bool(r, "layer_norm_elementwise_affine", &affine)) ||
        (st = get_size(r, "word_embed_proj_dim", &projected)))
        return st;
    n->norm_free |= !affine;
    if (json_is_false(get(r, "multi_query")) &&
        strcmp(r->config->model_type, "gpt_bigcode") == 0)
        n->qkv = MLS_QKV_BY_HEAD;
    if (n->alibi && strcmp(r->config->model_type, "mpt") == 0 &&
        (r->config->H & (r->config->H - 1)))
        refuse(r, "n_heads", "slopes of heads that are no power of two");
    for (size_t i = 0; get(r, "attn_config") && i < 3; i++) {
        static const char *const inner[] = {"clip_qkv", "softmax_scale", "qk_ln"};

        if (i == 0 && mls_net_reads(r->net, "ffn_config") && n->experts.n)
            continue; /* DBRX's: read_parts */
        const json_t *v = json_object_get(get(r, "attn_config"), inner[i]);

        if (v && !json_is_null(v) && !json_is_false(v))
            refuse(r, inner[i], "is not computed for this model_type");
    }
    if (alibi)
        refuse(r, "alibi", "a slope per head is not computed for this model_type");
    if (new &&lns != 1) {
        n->one_norm = false;
        n->names = two_norms;
        n->parallel = true;
    }
    if (after)
        refuse(r, "apply_residual_connection_post_layernorm", "true is not computed");
    if (!before)
        refuse(r, "do_layer_norm_before", "false is not computed");
    if (projected != r->config->E)
        refuse(r, "word_embed_proj_dim", "embeddings of another width than the layers");
    if (!post)
        n->place = MLS_NORM_BEFORE;
    if (!qk)
        n->qk = MLS_QK_NONE;
    else if (n->qk == MLS_QK_NONE && strcmp(r->config->model_type, "cohere") == 0)
        n->qk = MLS_QK_LAYER_EACH;
    else if (n->qk == MLS_QK_NONE && strcmp(r->config->model_type, "phi") == 0)
        n->qk = MLS_QK_LAYER;
    else if (n->qk == MLS_QK_NONE && strcmp(r->config->model_type, "glm4_moe") == 0)
        n->qk = MLS_QK_HEAD;
    else if (n->qk == MLS_QK_NONE && mls_net_reads(r->net, "use_qk_norm"))
        refuse(r, "use_qk_norm", "true is not computed for this model_type");
    else if (n->qk == MLS_QK_NONE)
        refuse(r, "qk_layernorm", "true is not computed for this model_type");
    return MLS_OK;
}

/* ---- experts ---- */

/* Llama 4: a list of the layers with experts. */
static void list_sparse(const mls_config_reader *r)
{
    const json_t *list = get(r, "moe_layers");
    mls_config *c = r->config;

    for (size_t l = 0; list && l < c->L; l++)
        c->net.sparse[l] = false;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_int_t l = json_integer_value(json_array_get(list, i));

        if (l >= 0 && (size_t)l < c->L)
            c->net.sparse[l] = true;
    }
}

/* Nemotron-H: layers that are experts, among those without attention or state. */
static void word_sparse(const mls_config_reader *r)
{
    const json_t *pattern = mls_config_get(r, "hybrid_override_pattern");
    const json_t *words = mls_config_get(r, "layers_block_type");
    mls_config *c = r->config;

    if (!words)
        words = mls_config_get(r, "layer_types");
    for (size_t l = 0; l < c->L; l++) {
        const char *word = json_string_value(json_array_get(words, l));
        const char *letters = json_string_value(pattern);

        c->net.sparse[l] = word      ? strcmp(word, "moe") == 0
                           : letters ? l < strlen(letters) && letters[l] == 'E'
                                     : l == 1; /* of the class */
    }
}

/* Which layers have experts. */
static mls_status read_sparse(mls_config_reader *r, size_t first)
{
    mls_config *c = r->config;
    const json_t *types = get(r, "mlp_layer_types");
    const json_t *dense = get(r, "mlp_only_layers");
    size_t start = first, end = c->L, step = 1;
    const json_t *last = get(r, "moe_layer_end_index");
    const bool interval = mls_net_reads(r->net, "moe_layer_interval");
    mls_status st;

    if ((st = get_size(r, "first_k_dense_replace", &start)) ||
        (st = get_size(r, "num_dense_layers", &start)) ||
        (st = get_size(r, "moe_layer_start_index", &start)) ||
        (st = get_size(r, "decoder_sparse_step", &step)) ||
        (st = get_size(r, "moe_layer_freq", &step)) ||
        (st = get_size(r, "interleave_moe_layer_step", &step)) ||
        (st = get_size(r, "moe_layer_interval", &step)))
        return st;
    if (c->net.single) {
        word_sparse(r);
        return MLS_OK;
    }
    if (json_is_integer(last) && json_integer_value(last) >= 0)
        end = (size_t)json_integer_value(last) + 1;
    if (step == 0)
        return mls_fail(r->err, MLS_E_INPUT,
                        "%s: the step between layers with experts is 0", r->path);
    for (size_t l = 0; l < c->L; l++) {
        /* Qwen counts layers from 1, Ernie from 1 too; DeepSeek from 0. */
        const bool at = interval || mls_net_reads(r->net, "decoder_sparse_step") ||
                                mls_net_reads(r->net, "interleave_moe_layer_step")
                            ? (l + 1) % step == 0
                            : l % step == 0;

        c->net.sparse[l] = l >= start && l < end && at;
        if (types) {
            const json_t *t = json_array_get(types, l);

            c->net.sparse[l] =
                json_is_string(t) && strcmp(json_string_value(t), "sparse") == 0;
        }
    }
    list_sparse(r);
    for (size_t i = 0; i < json_array_size(dense); i++) {
        const json_int_t l = json_integer_value(json_array_get(dense, i));

        if (l >= 0 && (size_t)l < c->L)
            c->net.sparse[l] = false;
    }
    return MLS_OK;
}

/* Command A: softmax or sigmoid; layers without experts have a width of their own. */
static mls_status read_choice(mls_config_reader *r)
{
    mls_config *c = r->config;
    mls_experts *x = &c->net.experts;
    const char *how = json_string_value(get(r, "expert_selection_fn"));
    const char *joined =
        json_string_value(get(r, "shared_expert_combination_strategy"));

    if (!mls_net_reads(r->net, "expert_selection_fn"))
        return MLS_OK;
    if (how && strcmp(how, "sigmoid") == 0)
        x->routing = MLS_ROUTE_SIGMOID;
    else
        x->normalize = true; /* of the chosen alone */
    x->shared_mean = x->shared_F && !(joined && strcmp(joined, "sum") == 0);
    if (x->shared_mean)
        x->scale = 0.5;
    return get_size(r, "prefix_dense_intermediate_size", &c->F);
}

/* A number of an object's member; *out stays where it is missing or null. */
static mls_status part_real(mls_config_reader *r, const json_t *object, const char *key,
                            double *out)
{
    const json_t *v = json_object_get(object, key);

    return v && !json_is_null(v) ? mls_config_real(r, key, v, 0, 1e9, out) : MLS_OK;
}

/* DBRX says attention's and the experts' numbers in objects of their own. */
static mls_status read_parts(mls_config_reader *r)
{
    mls_net *n = &r->config->net;
    const json_t *attention = get(r, "attn_config"), *experts = get(r, "ffn_config");
    const json_t *norm = json_object_get(experts, "moe_normalize_expert_weights");
    const char *act = json_string_value(
        json_object_get(json_object_get(experts, "ffn_act_fn"), "name"));
    double count = (double)n->experts.n, chosen = (double)n->experts.top_k;
    double width = (double)n->experts.F;
    mls_status st;

    if (n->experts.n == 0 || !mls_net_reads(r->net, "ffn_config"))
        return MLS_OK;
    if ((st = part_real(r, attention, "clip_qkv", &n->clip)) ||
        (st = part_real(r, experts, "moe_num_experts", &count)) ||
        (st = part_real(r, experts, "moe_top_k", &chosen)) ||
        (st = part_real(r, experts, "ffn_hidden_size", &width)))
        return st;
    n->experts.n = (size_t)count;
    n->experts.top_k = (size_t)chosen;
    n->experts.F = (size_t)width;
    if (json_is_null(norm))
        n->experts.normalize = false;
    else if (norm && json_number_value(norm) != 1)
        refuse(r, "moe_normalize_expert_weights", "any but 1 is not computed");
    if (act && strcmp(act, "silu") != 0)
        refuse(r, "ffn_act_fn", "any but silu is not computed");
    return MLS_OK;
}

/* Gemma 4: experts stand beside the MLP of every layer, or of none. */
static mls_status count_beside(mls_config_reader *r)
{
    bool on = false;
    const mls_status st = get_bool(r, "enable_moe_block", &on);

    r->config->net.experts.n = on ? 1 : 0;
    return st;
}

static mls_status read_experts(mls_config_reader *r)
{
    static const char *const numbers[] = {"num_local_experts", "num_experts",
                                          "n_routed_experts", "moe_num_experts", NULL};
    static const char *const chosen[] = {
        "num_experts_per_tok", "moe_k",         "moe_topk",
        "experts_per_token",   "top_k_experts", NULL};
    static const char *const copies[] = {"n_shared_experts", "moe_num_shared_experts",
                                         "num_shared_experts", NULL};
    static const char *const widths[] = {"moe_shared_expert_intermediate_size",
                                         "shared_expert_intermediate_size",
                                         "shared_intermediate_size", NULL};
    static const char *const scales[] = {"routed_scaling_factor", "route_scale",
                                         "router_scaling_factor",
                                         "moe_routed_scaling_factor"};
    mls_config *c = r->config;
    mls_experts *x = &c->net.experts;
    size_t shared = 0;
    const json_t *method = get(r, "topk_method");
    mls_status st;

    if ((x->beside && (st = count_beside(r))) || (st = read_parts(r)))
        return st;
    if (x->n == 0)
        return MLS_OK;
    if (x->F == 0)
        x->F = c->F;
    if (x->scale == 0)
        x->scale = 1;
    if ((st = get_first(r, numbers, &x->n)) || (st = get_first(r, chosen, &x->top_k)) ||
        (st = get_size(r, "moe_intermediate_size", &x->F)))
        return st;
    for (size_t i = 0; copies[i]; i++)
        if (mls_net_reads(r->net, copies[i])) {
            shared = strcmp(copies[i], "moe_num_shared_experts") == 0 ||
                             strcmp(c->model_type, "deepseek_v2") == 0
                         ? 2
                         : 1; /* of the classes */
            if (strcmp(copies[i], "num_shared_experts") == 0 &&
                strcmp(c->model_type, "afmoe") == 0)
                shared = 2;
            if (strcmp(c->model_type, "cohere2_moe") == 0)
                shared = 0;
        }
    if ((st = get_first(r, copies, &shared)) ||
        (st = get_bool(r, "use_expert_bias", &x->correction)) ||
        (st = get_real(r, "router_jitter_noise", &x->near)))
        return st;
    if (shared)
        x->shared_F = shared * x->F;
    if (x->shared_whole)
        x->shared_F = c->F;
    if ((st = get_first(r, widths, &x->shared_F)) ||
        (st = get_bool(r, "norm_topk_prob", &x->normalize)) ||
        (st = get_size(r, "n_group", &x->groups)) ||
        (st = get_size(r, "topk_group", &x->top_groups)))
        return st;
    for (size_t i = 0; i < sizeof scales / sizeof scales[0]; i++)
        if ((st = get_real(r, scales[i], &x->scale)))
            return st;
    if ((st = read_choice(r)))
        return st;
    if (mls_net_reads(r->net, "topk_method") && !x->best_two &&
        !(json_is_string(method) &&
          strcmp(json_string_value(method), "group_limited_greedy") == 0))
        x->groups = 0;
    if (get(r, "topk_group") && x->top_groups == 0)
        refuse(r, "topk_group", "0 leaves no expert to choose");
    if (x->groups <= 1)
        x->groups = x->top_groups = 0;
    if (x->n == 0) { /* a family with experts, a model without */
        memset(x, 0, sizeof *x);
        return MLS_OK;
    }
    if (x->top_k == 0 || x->top_k > x->n || x->n > MLS_EXPERTS_MAX || x->F == 0 ||
        (x->groups && (x->n % x->groups || x->top_groups > x->groups)))
        return mls_fail(r->err, MLS_E_INPUT,
                        "%s: %zu of %zu experts of width %zu in %zu groups are chosen",
                        r->path, x->top_k, x->n, x->F, x->groups);
    return read_sparse(r, x->first_dense);
}

/* ---- recurrent layers ---- */

/* As many numbers as a list has to have; they stay where there is none. */
static void read_list(mls_config_reader *r, const char *key, size_t n, double *out)
{
    const json_t *list = get(r, key);

    if (list && json_array_size(list) != n)
        refuse(r, key, "has more or fewer numbers than its class");
    for (size_t i = 0; i < n && i < json_array_size(list); i++)
        out[i] = json_number_value(json_array_get(list, i));
}

static mls_status read_multipliers(mls_config_reader *r)
{
    mls_multipliers *m = &r->config->net.multiply;
    double mlp[2] = {1, 1};
    mls_status st;

    *m = (mls_multipliers){1, 1, 1, 1, {1, 1, 1, 1, 1}, 1, 1, 1};
    if ((st = get_real(r, "attention_in_multiplier", &m->in)) ||
        (st = get_real(r, "attention_out_multiplier", &m->out)) ||
        (st = get_real(r, "key_multiplier", &m->key)) ||
        (st = get_real(r, "ssm_in_multiplier", &m->ssm_in)) ||
        (st = get_real(r, "ssm_out_multiplier", &m->ssm_out)))
        return st;
    read_list(r, "ssm_multipliers", 5, m->ssm);
    read_list(r, "mlp_multipliers", 2, mlp);
    m->gate = mlp[0];
    m->down = mlp[1];
    return MLS_OK;
}

static mls_status read_mamba(mls_config_reader *r)
{
    static const char *const heads[] = {"mamba_n_heads", "mamba_num_heads", NULL};
    static const char *const dims[] = {"mamba_d_head", "mamba_head_dim", NULL};
    static const char *const groups[] = {"mamba_n_groups", "n_groups", NULL};
    static const char *const states[] = {"mamba_d_state", "ssm_state_size", NULL};
    static const char *const taps[] = {"mamba_d_conv", "conv_kernel", NULL};
    size_t inner = 2 * r->config->E;
    bool normed = !r->net->net.recurrent.free, projected = false;
    mls_config *c = r->config;
    mls_recurrent *m = &c->net.recurrent;
    /* Nemotron-H's class has the key, but reads time_step_min. */
    const json_t *limit = r->config->net.single ? NULL : get(r, "time_step_limit");
    const char *act = json_string_value(get(r, "mamba_hidden_act"));
    mls_status st;

    m->bias = false;
    m->conv_bias = true;
    if ((st = get_first(r, heads, &m->heads)) || (st = get_first(r, dims, &m->V)) ||
        (st = get_first(r, groups, &m->groups)) || (st = get_first(r, states, &m->K)) ||
        (st = get_first(r, taps, &m->taps)) ||
        (st = get_bool(r, "mamba_conv_bias", &m->conv_bias)) ||
        (st = get_bool(r, "use_conv_bias", &m->conv_bias)) ||
        (st = get_bool(r, "mamba_proj_bias", &m->bias)) ||
        (st = get_bool(r, "mamba_use_bias", &m->bias)) ||
        (st = get_real(r, "time_step_min", &m->dt_min)))
        return st;
    if (act && strcmp(act, "silu") != 0)
        refuse(r, "mamba_hidden_act", "any but silu is not computed");
    if (json_is_number(json_array_get(limit, 0)))
        m->dt_min = json_number_value(json_array_get(limit, 0));
    if (json_is_number(json_array_get(limit, 1)) &&
        isfinite(json_number_value(json_array_get(limit, 1))))
        m->dt_max = json_number_value(json_array_get(limit, 1));
    /* Granite: heads of the same width fill `expand` times the hidden size. */
    if ((st = get_size(r, "mamba_d_ssm", &inner)) ||
        (st = get_bool(r, "mamba_rms_norm", &normed)) ||
        (st = get_bool(r, "mamba_norm_before_gate", &m->norm_first)) ||
        (st = get_bool(r, "projectors_bias", &projected)))
        return st;
    m->free = !normed;
    if (projected)
        refuse(r, "projectors_bias", "true is not computed");
    if (m->V == 0 && m->heads && inner % m->heads == 0)
        m->V = inner / m->heads;
    return c->net.beside ? read_multipliers(r) : MLS_OK;
}

static mls_status read_recurrent(mls_config_reader *r)
{
    mls_config *c = r->config;
    mls_recurrent *m = &c->net.recurrent;
    mls_status st = MLS_OK;

    switch (m->kind) {
    case MLS_REC_NONE:
        return MLS_OK;
    case MLS_REC_CONV:
        if ((st = get_size(r, "conv_L_cache", &m->taps)) ||
            (st = get_bool(r, "conv_bias", &m->bias)))
            return st;
        m->conv_bias = m->bias;
        m->groups = m->heads = m->K = m->V = 1;
        break;
    case MLS_REC_DELTA:
        if ((st = get_size(r, "linear_num_key_heads", &m->groups)) ||
            (st = get_size(r, "linear_num_value_heads", &m->heads)) ||
            (st = get_size(r, "linear_key_head_dim", &m->K)) ||
            (st = get_size(r, "linear_value_head_dim", &m->V)) ||
            (st = get_size(r, "linear_conv_kernel_dim", &m->taps)))
            return st;
        break;
    case MLS_REC_MAMBA2:
        st = read_mamba(r);
        break;
    }
    if (!st && (m->groups == 0 || m->heads % m->groups || m->heads > MLS_WIDTH_MAX ||
                m->K == 0 || m->K > MLS_DIM_MAX || m->V == 0 || m->V > MLS_DIM_MAX ||
                m->taps == 0 || m->taps > MLS_DIM_MAX))
        mls_config_unsupported(c,
                               "recurrent layers of %zu heads in %zu groups, %zu and "
                               "%zu dims, %zu taps",
                               m->heads, m->groups, m->K, m->V, m->taps);
    return st;
}

/* LFM2: two thirds of the width, rounded up to a multiple. */
static mls_status adjust_width(mls_config_reader *r)
{
    mls_config *c = r->config;
    bool adjust = true;
    double by = 1;
    size_t multiple = 256;
    mls_status st;

    if (!mls_net_reads(r->net, "block_auto_adjust_ff_dim"))
        return MLS_OK;
    if ((st = get_size(r, "block_ff_dim", &c->F)) ||
        (st = get_bool(r, "block_auto_adjust_ff_dim", &adjust)) ||
        (st = get_real(r, "block_ffn_dim_multiplier", &by)) ||
        (st = get_size(r, "block_multiple_of", &multiple)))
        return st;
    if (adjust && multiple && c->F) {
        c->F = (size_t)(by * (double)(2 * c->F / 3));
        c->F = (c->F + multiple - 1) / multiple * multiple;
    }
    if (c->F > MLS_WIDTH_MAX)
        mls_config_unsupported(c, "block_ff_dim: an MLP of width %zu", c->F);
    return MLS_OK;
}

/* A gate behind the heads: on, or one for each head or dim (Laguna, LFM3). */
static mls_status read_gates(mls_config_reader *r)
{
    mls_net *n = &r->config->net;
    const json_t *gating = get(r, "gating");
    const char *kind = json_string_value(gating);
    bool sandwich = true, on_input = false;
    mls_status st;

    if (json_is_false(gating) || (kind && strcmp(kind, "per-head") != 0))
        n->gate_heads = false;
    if ((st = get_bool(r, "use_attention_gate", &n->out_gate)) ||
        (st = get_bool(r, "use_sandwich_norm", &sandwich)) ||
        (st = get_real(r, "attention_value_scale", &n->value_scale)))
        return st;
    if (json_number_value(get(r, "moe_router_logit_softcapping")) > 0)
        refuse(r, "moe_router_logit_softcapping", "above 0 is not computed");
    if ((st = get_bool(r, "moe_apply_router_weight_on_input", &on_input)))
        return st;
    if (on_input)
        refuse(r, "moe_apply_router_weight_on_input", "true is not computed");
    if (is_null(r, "attention_value_scale"))
        n->value_scale = 1;
    if (mls_net_reads(r->net, "use_sandwich_norm") && !sandwich)
        n->place = MLS_NORM_BEFORE;
    return MLS_OK;
}

/* A share for each layer, or one for all; without any the first ten have 0.95. */
static mls_status read_sparsity(mls_config_reader *r)
{
    const char *key = "activation_sparsity_pattern";
    const json_t *list = get(r, key);
    mls_config *c = r->config;

    if (!mls_net_reads(r->net, key))
        return MLS_OK;
    if (list && json_array_size(list) != c->L)
        refuse(r, key, "has more or fewer numbers than there are layers");
    for (size_t l = 0; l < c->L; l++) {
        double x = !list && c->L > 10 && l < 10 ? 0.95 : 0;
        const json_t *v = json_array_get(list, l);
        const mls_status st = v ? mls_config_real(r, key, v, 0, 0.999999, &x) : MLS_OK;

        if (st)
            return st;
        c->layer[l].sparsity = (float)x;
    }
    return MLS_OK;
}

/* Gemma 3n and 4. */
static mls_status read_carry(mls_config_reader *r)
{
    mls_config *c = r->config;
    mls_net *n = &c->net;
    mls_carry *y = &n->carry;
    bool wide = false;
    mls_status st;

    if ((st = get_size(r, "hidden_size_per_layer_input", &y->inputs)) ||
        (st = get_size(r, "vocab_size_per_layer_input", &y->inputs_vocab)) ||
        (st = get_size(r, "altup_num_inputs", &y->streams)) ||
        (st = get_size(r, "altup_active_idx", &y->active)) ||
        (st = get_bool(r, "altup_correct_scale", &y->stream_scaled)) ||
        (st = get_size(r, "laurel_rank", &n->laurel)) ||
        (st = get_bool(r, "attention_k_eq_v", &n->k_is_v)) ||
        (st = get_bool(r, "use_double_wide_mlp", &wide)) || (st = read_sparsity(r)))
        return st;
    if (is_null(r, "hidden_size_per_layer_input"))
        y->inputs = 0;
    for (size_t l = 0; wide && l < c->L; l++)
        if (c->layer[l].reads_other)
            c->layer[l].F = (uint32_t)(2 * c->F);
    if (y->streams > MLS_STREAMS_MAX || (y->streams && y->active >= y->streams))
        refuse(r, "altup_num_inputs", "more states than are computed");
    if (y->inputs > MLS_WIDTH_MAX || y->inputs_vocab > MLS_VOCAB_MAX ||
        n->laurel > MLS_WIDTH_MAX || 2 * c->F > MLS_WIDTH_MAX)
        refuse(r, "hidden_size_per_layer_input", "larger than what is computed");
    return MLS_OK;
}

mls_status mls_config_net(mls_config_reader *r)
{
    mls_config *c = r->config;
    const json_t *sees;
    bool both_ways;
    mls_status st;

    if (!r->net)
        return MLS_OK;
    sees = get(r, "use_bidirectional_attention");
    both_ways = json_is_string(sees) && strcmp(json_string_value(sees), "all") == 0;
    c->net = r->net->net;
    c->net.prefix = r->net->prefix;
    c->net.still = r->net->still;
    c->net.names = r->net->names;
    if ((st = read_act(r)) || (st = read_norms(r)) || (st = read_biases(r)) ||
        (st = read_scales(r)) || (st = read_blocks(r)) || (st = read_experts(r)) ||
        (st = read_recurrent(r)) || (st = adjust_width(r)) || (st = read_carry(r)) ||
        (!json_is_string(sees) && /* "vision": of pictures, which we do not see */
         (st = get_bool(r, "use_bidirectional_attention", &both_ways))))
        return st;
    if (strcmp(c->model_type, "granitemoehybrid") == 0 && c->net.experts.n == 0 &&
        (st = get_size(r, "shared_intermediate_size", &c->F)))
        return st;
    if (mls_net_reads(r->net, "intermediate_size_mlp")) {
        c->F = 16384; /* of the class */
        if ((st = get_size(r, "intermediate_size_mlp", &c->F)))
            return st;
    }
    if (strcmp(c->model_type, "youtu") == 0 && c->tied_embeddings &&
        mls_config_get(r, "pad_token_id"))
        refuse(r, "pad_token_id",
               "transformers empties its row of a tied embedding when it loads");
    if (c->net.waves && json_integer_value(mls_config_get(r, "pad_token_id")) > 1)
        refuse(r, "pad_token_id", "above 1 it empties the row of a position");
    if (both_ways)
        refuse(r, "use_bidirectional_attention", "tokens see later ones");
    if (c->mla_kv_lora_rank && c->qkv_bias)
        refuse(r, "attention_bias", "biases of latent projections are not computed");
    if ((st = get_bool(r, "lm_head_bias", &c->net.head_bias)))
        return st;
    if (c->net.experts.n && c->mlp_bias)
        refuse(r, "mlp_bias", "biases beside experts are not computed");
    if ((st = get_size(r, "index_topk", &c->net.index_top_k)) || (st = read_gates(r)))
        return st;
    c->qk_norm = c->net.qk == MLS_QK_HEAD;
    c->net.latent_eps = 1e-6; /* whatever rms_norm_eps says */
    return MLS_OK;
}

/* GPT-Neo: "local" layers see the last window_size tokens, though all are cached. */
static void see_less(mls_config *c, const json_t *kinds, const json_t *window)
{
    for (size_t l = 0; l < c->L; l++) {
        const json_t *kind = json_array_get(kinds, l);

        if (json_is_string(kind) && strcmp(json_string_value(kind), "local") == 0)
            c->layer[l].sees =
                json_is_integer(window) ? (size_t)json_integer_value(window) : 256;
    }
}

/* [[["global", "local"], 12]]: the kinds in turn, so many times. */
static void see_less_in_turn(mls_config *c, const json_t *types, const json_t *window)
{
    json_t *kinds = json_array();

    for (size_t i = 0; i < json_array_size(types); i++) {
        const json_t *part = json_array_get(types, i), *turn = json_array_get(part, 0);
        const json_int_t times = json_integer_value(json_array_get(part, 1));

        for (json_int_t k = 0; k < times && k < MLS_LAYERS_MAX; k++)
            for (size_t j = 0; j < json_array_size(turn); j++)
                json_array_append(kinds, json_array_get(turn, j));
    }
    see_less(c, kinds, window);
    json_decref(kinds);
}

/* EXAONE's full layers turn where the file has no window at all. */
static bool still_full(const mls_config_reader *r)
{
    return strncmp(r->config->model_type, "exaone", 6) != 0 ||
           mls_fact_peek(&r->keys, "sliding_window");
}

/* Command A's layers without experts turn, unless they have a pattern of their own. */
static bool turns_anyway(const mls_config_reader *r, size_t l)
{
    const char *key = "prefix_dense_sliding_window_pattern";
    const json_t *pattern = get(r, key);

    return mls_net_reads(r->net, key) && !r->config->net.sparse[l] &&
           (!pattern || json_integer_value(pattern) == 1);
}

/* layer_rope_theta: one base for all layers, or 0 for those that do not turn. */
static void turn_by_theta(mls_config_reader *r)
{
    mls_config *c = r->config;
    const json_t *list = r->net && mls_net_reads(r->net, "layer_rope_theta")
                             ? mls_config_get(r, "layer_rope_theta")
                             : NULL;
    double one = 0;

    for (size_t l = 0; list && l < c->L; l++) {
        const double theta = json_number_value(json_array_get(list, l));

        c->layer[l].no_rope |= theta == 0;
        if (theta != 0 && one != 0 && theta != one)
            refuse(r, "layer_rope_theta", "more than one base is not computed");
        one = theta != 0 ? theta : one;
    }
    if (one > 0)
        c->rope.theta = c->rope_local.theta = one;
}

void mls_config_turn_layers(mls_config_reader *r)
{
    mls_config *c = r->config;
    const bool by_place = c->net.positions || c->net.alibi;
    const json_t *places = mls_config_get(r, "position_embedding_type");
    const bool unturned =
        strcmp(c->model_type, "granitemoehybrid") == 0 &&
        !(json_is_string(places) && strcmp(json_string_value(places), "rope") == 0);

    if (r->net && mls_net_reads(r->net, "attention_types")) {
        const json_t *kinds = mls_config_get(r, "attention_layers");
        const json_t *window = mls_config_get(r, "window_size");

        if (kinds)
            see_less(c, kinds, window);
        else
            see_less_in_turn(c, mls_config_get(r, "attention_types"), window);
    }
    turn_by_theta(r);
    if (r->net && mls_net_reads(r->net, "ffn_config") && c->net.experts.n &&
        !mls_config_get(r, "rope_parameters")) { /* DBRX */
        const json_t *theta =
            json_object_get(mls_config_get(r, "attn_config"), "rope_theta");

        if (json_is_number(theta) && json_number_value(theta) > 0)
            c->rope.theta = json_number_value(theta);
    }
    for (size_t l = 0; r->net && l < c->L; l++) {
        mls_layer_shape *s = &c->layer[l];

        s->local_rope = r->net->local_rope && s->window;
        s->no_rope |=
            s->kind == MLS_LAYER_RECURRENT || s->kind == MLS_LAYER_NONE ||
            c->net.still || unturned || by_place ||
            (r->net->still_full && still_full(r) && !s->window && !turns_anyway(r, l));
    }
}
