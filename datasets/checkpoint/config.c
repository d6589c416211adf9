#include "datasets/checkpoint/config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/system/files.h"
#include "datasets/base/json.h"
#include "datasets/checkpoint/config_reader.h"

enum { CONFIG_BYTES_MAX = 1 << 24 };

/* value is the key's; a whole number in min..max, or MLS_E_INPUT naming the key. */
static mls_status whole(const mls_config_reader *r, const char *key,
                        const json_t *value, int64_t min, int64_t max, int64_t *out)
{
    char shown[MLS_JSON_SHOW];

    if (!json_is_integer(value) || json_integer_value(value) < min ||
        json_integer_value(value) > max)
        return mls_fail(r->err, MLS_E_INPUT,
                        "%s: %s is %s, expected a whole number from %lld to %lld",
                        r->path, key, mls_json_show(shown, value), (long long)min,
                        (long long)max);
    *out = json_integer_value(value);
    return MLS_OK;
}

/* A size; when the key is missing: fallback, and 0 means that the file must give it. */
static mls_status read_size(const mls_config_reader *r, const char *key, size_t max,
                            size_t fallback, size_t *out)
{
    const json_t *v = mls_config_get(r, key);
    int64_t n = (int64_t)fallback;
    mls_status st = MLS_OK;

    if (v)
        st = whole(r, key, v, 1, (int64_t)max, &n);
    else if (!fallback)
        st = mls_fail(r->err, MLS_E_INPUT, "%s: %s is missing", r->path, key);
    if (!st)
        *out = (size_t)n;
    return st;
}

static mls_status read_bool(const mls_config_reader *r, const char *key, bool fallback,
                            bool *out)
{
    const json_t *v = mls_config_get(r, key);
    char shown[MLS_JSON_SHOW];

    if (v && !json_is_boolean(v))
        return mls_fail(r->err, MLS_E_INPUT, "%s: %s is %s, expected true or false",
                        r->path, key, mls_json_show(shown, v));
    *out = v ? json_is_true(v) : fallback;
    return MLS_OK;
}

/* A short string into a buffer of n bytes; "" when the key is missing. */
static mls_status read_name(const mls_config_reader *r, const char *key,
                            const json_t *v, char *out, size_t n)
{
    char shown[MLS_JSON_SHOW];

    out[0] = '\0';
    if (!v)
        return MLS_OK;
    if (!json_is_string(v) || json_string_length(v) >= n)
        return mls_fail(r->err, MLS_E_INPUT,
                        "%s: %s is %s, expected text of fewer than %zu bytes", r->path,
                        key, mls_json_show(shown, v), n);
    snprintf(out, n, "%s", json_string_value(v));
    return MLS_OK;
}

/* A token id, or the first of a list of them; -1 for none. */
static mls_status read_id(const mls_config_reader *r, const char *key, int64_t *out)
{
    const json_t *v = mls_config_get(r, key);

    if (json_is_array(v))
        v = json_array_get(v, 0);
    *out = -1;
    return v ? whole(r, key, v, -1, MLS_VOCAB_MAX, out) : MLS_OK;
}

static mls_status read_kind(mls_config_reader *r)
{
    mls_config *c = r->config;
    const json_t *architectures = mls_config_get(r, "architectures");
    const json_t *dtype = mls_config_get(r, "torch_dtype");
    json_t *type = mls_config_get(r, "model_type");
    char shown[MLS_JSON_SHOW];
    mls_status st;

    if (!type)
        return mls_fail(r->err, MLS_E_INPUT, "%s: model_type is missing", r->path);
    if (architectures && !json_is_array(architectures))
        return mls_fail(r->err, MLS_E_INPUT, "%s: architectures is %s, expected [...]",
                        r->path, mls_json_show(shown, architectures));
    st = read_name(r, "model_type", type, c->model_type, sizeof c->model_type);
    if (!st)
        st = read_name(r, "architectures[0]", json_array_get(architectures, 0),
                       c->architecture, sizeof c->architecture);
    if (!st)
        st = read_name(r, dtype ? "torch_dtype" : "dtype",
                       dtype ? dtype : mls_config_get(r, "dtype"), c->dtype,
                       sizeof c->dtype);
    r->family = mls_family_find(c->model_type);
    r->net = mls_net_find(c->model_type);
    if (!r->net && r->family && r->family->unsupported)
        mls_config_unsupported(c, "model_type \"%s\" is not computed (%s)",
                               c->model_type, r->family->unsupported);
    else if (!r->net)
        mls_config_unsupported(c, "model_type \"%s\" is not a known family",
                               c->model_type);
    return st;
}

/*
 * Keys that change what a layer caches in a way that this struct cannot say: a model
 * that has them would get a wrong size, so it is refused.
 */
static mls_status refuse_other_caches(const mls_config_reader *r)
{
    static const char *const keys[] = {
        "attention_chunk_size",    "attn_layer_period",       "cross_attention_layers",
        "full_attention_interval", "hybrid_override_pattern", "layers_block_type",
        "linear_num_key_heads",    "mamba_d_state",           "num_kv_shared_layers",
        "ssm_state_size",
    };

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (mls_config_get(r, keys[i]))
            return mls_fail(r->err, MLS_E_INPUT,
                            "%s: %s: layers that cache something else than keys and "
                            "values of every head are not known",
                            r->path, keys[i]);
    return MLS_OK;
}

static mls_status read_mla(mls_config_reader *r)
{
    mls_config *c = r->config;
    mls_status st;

    if (!mls_config_get(r, "kv_lora_rank"))
        return MLS_OK;
    if ((st = read_size(r, "kv_lora_rank", MLS_WIDTH_MAX, 0, &c->mla_kv_lora_rank)) ||
        (st = read_size(r, "qk_rope_head_dim", MLS_DIM_MAX, 0, &c->mla_rope_dim)) ||
        (st = read_size(r, "qk_nope_head_dim", MLS_DIM_MAX, 0, &c->mla_nope_dim)) ||
        (st = read_size(r, "v_head_dim", MLS_DIM_MAX, 0, &c->mla_value_dim)))
        return st;
    if (mls_config_get(r, "q_lora_rank"))
        st = read_size(r, "q_lora_rank", MLS_WIDTH_MAX, 0, &c->mla_q_lora_rank);
    c->D = c->mla_nope_dim + c->mla_rope_dim;
    return st;
}

/* Head dim: the key, the family's own, or E / H. */
static mls_status read_head_dim(mls_config_reader *r, size_t fallback)
{
    mls_config *c = r->config;

    if (c->mla_kv_lora_rank)
        return MLS_OK;
    if (!fallback && !mls_config_get(r, "head_dim")) {
        if (c->E % c->H != 0)
            return mls_fail(r->err, MLS_E_INPUT,
                            "%s: hidden_size %zu is not a multiple of "
                            "num_attention_heads %zu, and head_dim is not given",
                            r->path, c->E, c->H);
        fallback = c->E / c->H;
    }
    return read_size(r, "head_dim", MLS_DIM_MAX, fallback, &c->D);
}

static mls_status read_shape(mls_config_reader *r)
{
    static const mls_family no_defaults = {0};
    const mls_family *f = r->family ? r->family : &no_defaults;
    mls_config *c = r->config;
    mls_status st;

    if ((st = read_size(r, "num_hidden_layers", MLS_LAYERS_MAX, 0, &c->L)) ||
        (st = read_size(r, "hidden_size", MLS_WIDTH_MAX, 0, &c->E)) ||
        (st = read_size(r, "intermediate_size", MLS_WIDTH_MAX, 0, &c->F)) ||
        (st = read_size(r, "vocab_size", MLS_VOCAB_MAX, f->V, &c->V)) ||
        (st = read_size(r, "num_attention_heads", MLS_HEADS_MAX, f->H, &c->H)))
        return st;
    /* Other classes have other defaults, so that H would be a guess. */
    if (!r->family && !mls_config_get(r, "num_key_value_heads"))
        return mls_fail(r->err, MLS_E_INPUT,
                        "%s: num_key_value_heads is missing, and model_type \"%s\" is "
                        "not a known family",
                        r->path, c->model_type);
    if ((st = read_size(r, "num_key_value_heads", MLS_HEADS_MAX, f->G ? f->G : c->H,
                        &c->G)) ||
        (st = read_mla(r)) || (st = read_head_dim(r, f->D)))
        return st;
    if (c->H % c->G != 0)
        return mls_fail(r->err, MLS_E_INPUT,
                        "%s: num_attention_heads %zu is not a multiple of "
                        "num_key_value_heads %zu",
                        r->path, c->H, c->G);
    if (c->D % 2 != 0 || c->D > MLS_DIM_MAX)
        return mls_fail(r->err, MLS_E_INPUT,
                        "%s: head_dim is %zu, expected an even number up to %d",
                        r->path, c->D, MLS_DIM_MAX);
    if (mls_config_get(r, "max_position_embeddings"))
        st = read_size(r, "max_position_embeddings", (size_t)1 << 40, 0,
                       &c->max_position);
    return st;
}

/* "full_attention" or "sliding_attention" for every layer. */
static mls_status read_layer_types(mls_config_reader *r, const json_t *types,
                                   size_t window)
{
    mls_config *c = r->config;
    char shown[MLS_JSON_SHOW];

    if (!json_is_array(types) || json_array_size(types) != c->L)
        return mls_fail(r->err, MLS_E_INPUT,
                        "%s: layer_types has %zu items, expected num_hidden_layers %zu",
                        r->path, json_array_size(types), c->L);
    for (size_t l = 0; l < c->L; l++) {
        const json_t *v = json_array_get(types, l);
        const char *name = json_is_string(v) ? json_string_value(v) : "";

        const bool slides = strcmp(name, "sliding_attention") == 0;

        if (!slides && strcmp(name, "full_attention") != 0)
            return mls_fail(r->err, MLS_E_INPUT,
                            "%s: layer_types[%zu] is %s, expected full_attention or "
                            "sliding_attention",
                            r->path, l, mls_json_show(shown, v));
        if (slides && !window)
            return mls_fail(r->err, MLS_E_INPUT,
                            "%s: layer_types[%zu] is sliding_attention, but "
                            "sliding_window is off",
                            r->path, l);
        c->layer[l].window = slides ? window : 0;
    }
    return MLS_OK;
}

/* Which layers see only a window, and how long it is. */
static mls_status read_window(mls_config_reader *r)
{
    mls_config *c = r->config;
    const mls_window_rule rule = r->family ? r->family->window : MLS_WINDOW_NONE;
    const json_t *types = mls_config_get(r, "layer_types");
    const json_t *given = mls_config_get(r, "sliding_window");
    /* null switches the window off; a missing key means the family's default. */
    const bool missing = !json_object_get(r->inner, "sliding_window");
    const size_t fallback = missing && r->family ? r->family->window_default : 0;
    size_t window = 0, from = 0, pattern = 0;
    bool use = true;
    mls_status st = MLS_OK;

    if (rule == MLS_WINDOW_QWEN || rule == MLS_WINDOW_NOPE)
        st = read_bool(r, "use_sliding_window", false, &use);
    if (!st && use && (given || fallback))
        st = read_size(r, "sliding_window", (size_t)1 << 40, fallback, &window);
    if (st)
        return st;
    if (types && (rule == MLS_WINDOW_ALL || (r->family && rule == MLS_WINDOW_NONE)))
        mls_config_unsupported(c,
                               "layer_types is given, but model_type \"%s\" is "
                               "not known to read it",
                               c->model_type);
    if (types)
        return read_layer_types(r, types, window);
    if (rule == MLS_WINDOW_NONE) {
        if (window)
            mls_config_unsupported(c,
                                   "sliding_window is %zu, but model_type \"%s\" is "
                                   "not known to have one",
                                   window, c->model_type);
        return MLS_OK;
    }
    if (rule == MLS_WINDOW_QWEN && window) {
        int64_t n = 28; /* of the class, when the key is missing */

        if (mls_config_get(r, "max_window_layers"))
            st = whole(r, "max_window_layers", mls_config_get(r, "max_window_layers"),
                       0, INT32_MAX, &n);
        from = (size_t)n;
    }
    if (!st && rule == MLS_WINDOW_ALTERNATE)
        st = read_size(r, "sliding_window_pattern", MLS_LAYERS_MAX,
                       r->family->pattern_default, &pattern);
    for (size_t l = 0; !st && window && l < c->L; l++)
        if (l >= from && !(pattern && (l + 1) % pattern == 0) &&
            (rule != MLS_WINDOW_NOPE || c->layer[l].no_rope))
            c->layer[l].window = window;
    return st;
}

/* SmolLM3: a 1 in no_rope_layers means that the layer does rotate. */
static mls_status read_no_rope(mls_config_reader *r)
{
    mls_config *c = r->config;
    const json_t *layers = mls_config_get(r, "no_rope_layers");
    size_t interval = 0;
    mls_status st;

    if (!r->family || !r->family->no_rope)
        return MLS_OK;
    if (!layers) {
        st = read_size(r, "no_rope_layer_interval", MLS_LAYERS_MAX, 4, &interval);
        for (size_t l = 0; !st && l < c->L; l++)
            c->layer[l].no_rope = (l + 1) % interval == 0;
        return st;
    }
    if (json_array_size(layers) != c->L)
        return mls_fail(r->err, MLS_E_INPUT,
                        "%s: no_rope_layers has %zu items, expected num_hidden_layers "
                        "%zu",
                        r->path, json_array_size(layers), c->L);
    for (size_t l = 0; l < c->L; l++) {
        int64_t rotates;

        st = whole(r, "no_rope_layers[]", json_array_get(layers, l), 0, 1, &rotates);
        if (st)
            return st;
        c->layer[l].no_rope = !rotates;
    }
    return MLS_OK;
}

static mls_status read_flags(mls_config_reader *r)
{
    mls_config *c = r->config;
    const mls_family *f = r->family;
    const json_t *eps = mls_config_get(r, "rms_norm_eps");
    mls_status st;

    c->rms_eps = 1e-6; /* of the classes, when the key is missing */
    if (eps && (st = mls_config_real(r, "rms_norm_eps", eps, 1e-30, 0.1, &c->rms_eps)))
        return st;
    if ((st = read_bool(r, "tie_word_embeddings", f && f->tied, &c->tied_embeddings)) ||
        (st = read_id(r, "bos_token_id", &c->bos_id)) ||
        (st = read_id(r, "eos_token_id", &c->eos_id)))
        return st;
    return MLS_OK;
}

static mls_status read_all(mls_config_reader *r)
{
    mls_status st;

    if ((st = read_kind(r)) || (st = refuse_other_caches(r)) || (st = read_shape(r)))
        return st;
    mls_config_uniform(r->config);
    if ((st = read_no_rope(r)) || (st = read_window(r)) || (st = read_flags(r)) ||
        (st = mls_config_net(r)) || (st = mls_config_rope(r)))
        return st;
    mls_config_turn_layers(r);
    mls_config_judge_keys(r);
    return MLS_OK;
}

/* From a parsed file, whose reference is given up. */
static mls_status read_object(mls_config *config, json_t *file, const char *path,
                              mls_err *err)
{
    json_t *text = json_object_get(file, "text_config");
    const bool nested = json_is_object(text) && !json_object_get(file, "hidden_size");
    mls_config_reader r = {
        .path = path,
        .outer = file,
        .inner = nested ? text : file,
        .config = config,
        .err = err,
    };
    const mls_status st = read_all(&r);

    json_decref(file);
    return st;
}

mls_status mls_config_read(mls_config *config, const char *path, mls_err *err)
{
    json_t *file = NULL;
    char *inside = NULL;
    mls_status st;

    memset(config, 0, sizeof *config);
    if (mls_folder_exists(path)) {
        inside = mls_path_join(path, "config.json");
        if (!inside)
            return mls_fail(err, MLS_E_NOMEM, "no memory for a file name");
        path = inside;
    }
    st = mls_json_read(&file, path, CONFIG_BYTES_MAX, config->sha256, err);
    if (!st)
        st = read_object(config, file, path, err);
    free(inside);
    return st;
}

mls_status mls_config_parse(mls_config *config, const char *text, size_t len,
                            const char *name, mls_err *err)
{
    json_t *file = NULL;
    mls_status st;

    memset(config, 0, sizeof *config);
    st = mls_json_object(&file, text, len, name, config->sha256, err);
    return st ? st : read_object(config, file, name, err);
}

void mls_config_uniform(mls_config *config)
{
    const mls_config *c = config;
    const mls_layer_shape one = {
        .kind = c->mla_kv_lora_rank ? MLS_LAYER_MLA : MLS_LAYER_ATTENTION,
        .H = (uint32_t)c->H,
        .G = (uint32_t)c->G,
        .K = (uint32_t)c->D,
        .V = (uint32_t)(c->mla_kv_lora_rank ? c->mla_value_dim : c->D),
        .rope_dims = (uint32_t)(c->mla_kv_lora_rank ? c->mla_rope_dim : c->D),
        .latent = (uint32_t)c->mla_kv_lora_rank,
        .copies = 1,
    };

    for (size_t l = 0; l < c->L; l++)
        config->layer[l] = one;
}

const mls_rope_config *mls_config_layer_rope(const mls_config *config, size_t layer)
{
    return config->layer[layer].local_rope ? &config->rope_local : &config->rope;
}

mls_status mls_config_runnable(const mls_config *config, mls_err *err)
{
    if (!config->unsupported[0])
        return MLS_OK;
    return mls_fail(err, MLS_E_INPUT, "config.json: %s", config->unsupported);
}
