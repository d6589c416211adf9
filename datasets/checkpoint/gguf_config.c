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

#include <jansson.h>

#include "common/base/shape.h"
#include "datasets/base/json.h"
#include "datasets/checkpoint/gguf_names.h"
#include "datasets/checkpoint/net_families.h"

typedef struct writer {
    const mls_gguf_parts *p;
    const mls_gguf *f; /* the first part */
    char *arch;
    const mls_gguf_family *family; /* NULL: unknown */
    const char *model_type;        /* "" before it is known */
    json_t *out;
    uint64_t L, E, H, D; /* as far as they are read */
    uint64_t nextn;      /* blocks behind the L that predict further tokens */
    uint64_t rope_dims;
    char key[128]; /* of the last key_of() */
    mls_err *err;
} writer;

/* "llama.block_count" of "block_count", until the next call. */
static const char *key_of(writer *w, const char *name)
{
    snprintf(w->key, sizeof w->key, "%.60s.%s", w->arch, name);
    return w->key;
}

static mls_status missing(writer *w, const char *name)
{
    return mls_fail(w->err, MLS_E_INPUT, "%s: key \"%s\" is missing",
                    mls_gguf_path(w->f), key_of(w, name));
}

static void put_whole(writer *w, const char *key, uint64_t x)
{
    json_object_set_new(w->out, key,
                        json_integer(x > INT64_MAX ? INT64_MAX : (json_int_t)x));
}

static void put_real(writer *w, const char *key, double x)
{
    json_object_set_new(w->out, key, json_real(x));
}

static void put_bool(writer *w, const char *key, bool x)
{
    json_object_set_new(w->out, key, json_boolean(x));
}

static void put_text(writer *w, const char *key, const char *x)
{
    json_object_set_new(w->out, key, json_string(x));
}

/* A whole number per model, or the first of an array with one for every layer. */
static mls_status read_first(writer *w, const char *name, uint64_t *out, bool *found)
{
    const mls_gguf_value *v =
        mls_gguf_header_value(mls_gguf_head(w->f), key_of(w, name));

    *found = v != NULL;
    return v && v->is_array ? mls_gguf_whole_at(w->f, w->key, 0, out, w->err)
                            : mls_gguf_whole(w->f, w->key, out, w->err);
}

/*
 * Heads: a number, or one for every layer, which goes into the config as a list when
 * they differ. *most is the largest. Blocks that only predict further tokens come last
 * and are left out.
 */
static mls_status read_heads(writer *w, const char *name, const char *hf,
                             uint64_t *most)
{
    const mls_gguf_value *v =
        mls_gguf_header_value(mls_gguf_head(w->f), key_of(w, name));
    bool alike = true;
    json_t *list;
    mls_status st = MLS_OK;

    if (!v || !v->is_array) {
        st = mls_gguf_whole(w->f, w->key, most, w->err);
        put_whole(w, hf, *most);
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
        *most = x > *most ? x : *most;
    }
    if (alike || strcmp(w->model_type, "lfm2") == 0) {
        json_decref(list);
        put_whole(w, hf, *most);
    } else
        json_object_set_new(w->out, hf, list);
    return st;
}

static mls_status need(writer *w, const char *name, uint64_t *out)
{
    bool found;
    const mls_status st = read_first(w, name, out, &found);

    return st || found ? st : missing(w, name);
}

/* ---- shape ---- */

/* Layers without KV heads are convolutions; the width of the MLP is final. */
static mls_status put_lfm2(writer *w)
{
    const mls_gguf_value *v = mls_gguf_header_value(
        mls_gguf_head(w->f), key_of(w, "attention.head_count_kv"));
    json_t *types = json_array();
    mls_status st = MLS_OK;

    if (!v || !v->is_array) {
        json_decref(types);
        return missing(w, "attention.head_count_kv");
    }
    for (uint64_t l = 0; !st && l < w->L; l++) {
        uint64_t heads = 0;

        st = mls_gguf_whole_at(w->f, key_of(w, "attention.head_count_kv"), l, &heads,
                               w->err);
        json_array_append_new(types, json_string(heads ? "full_attention" : "conv"));
    }
    json_object_set_new(w->out, "layer_types", types);
    put_bool(w, "block_auto_adjust_ff_dim", false);
    return st;
}

/* Keys that say what else layers keep, in the words of config.json. */
static mls_status put_other_caches(writer *w)
{
    static const struct {
        const char *gguf, *hf;
    } keys[] = {
        {"full_attention_interval", "full_attention_interval"},
        {"attention.shared_kv_layers", "num_kv_shared_layers"},
        {"attention.chunk_size", "attention_chunk_size"},
        {"attention.indexer.key_length", "index_head_dim"},
        {"shortconv.l_cache", "conv_L_cache"},
    };

    if (strcmp(w->model_type, "lfm2") == 0) {
        const mls_status st = put_lfm2(w);

        if (st)
            return st;
    }
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        uint64_t x = 0;
        const mls_status st = mls_gguf_whole(w->f, key_of(w, keys[i].gguf), &x, w->err);

        if (st)
            return st;
        if (x)
            put_whole(w, keys[i].hf, x);
    }
    return MLS_OK;
}

static mls_status put_vocabulary(writer *w)
{
    const mls_tensor_info *t = mls_gguf_parts_find(w->p, "token_embd.weight", NULL);
    const mls_gguf_value *tokens =
        mls_gguf_header_value(mls_gguf_head(w->f), "tokenizer.ggml.tokens");
    uint64_t V = tokens ? tokens->n : 0;
    mls_status st = mls_gguf_whole(w->f, key_of(w, "vocab_size"), &V, w->err);

    if (st)
        return st;
    if (t && t->n_dims == 2)
        V = t->shape[0];
    if (V == 0)
        return missing(w, "vocab_size");
    put_whole(w, "vocab_size", V);
    return MLS_OK;
}

/* DeepSeek's: the cached latent, and what of a head rotates. */
static mls_status put_mla(writer *w, uint64_t key_length, uint64_t value_length)
{
    uint64_t rank = 0, q_rank = 0;
    mls_status st;

    if ((st = mls_gguf_whole(w->f, key_of(w, "attention.kv_lora_rank"), &rank,
                             w->err)) ||
        (st = mls_gguf_whole(w->f, key_of(w, "attention.q_lora_rank"), &q_rank,
                             w->err)) ||
        (st = mls_gguf_whole(w->f, key_of(w, "attention.key_length_mla"), &key_length,
                             w->err)) ||
        (st = mls_gguf_whole(w->f, key_of(w, "attention.value_length_mla"),
                             &value_length, w->err)))
        return st;
    if (key_length <= w->rope_dims)
        return mls_fail(w->err, MLS_E_INPUT,
                        "%s: keys have %" PRIu64
                        " dims, expected more than the %" PRIu64 " that rotate",
                        mls_gguf_path(w->f), key_length, w->rope_dims);
    put_whole(w, "kv_lora_rank", rank);
    if (q_rank)
        put_whole(w, "q_lora_rank", q_rank);
    put_whole(w, "qk_rope_head_dim", w->rope_dims);
    put_whole(w, "qk_nope_head_dim", key_length - w->rope_dims);
    put_whole(w, "v_head_dim", value_length);
    return MLS_OK;
}

static mls_status put_heads(writer *w)
{
    const bool mla = mls_gguf_has(w->f, key_of(w, "attention.kv_lora_rank"));
    uint64_t G, key_length, value_length;
    mls_status st;

    if (!mls_gguf_has(w->f, key_of(w, "attention.head_count")))
        return missing(w, "attention.head_count");
    if ((st = read_heads(w, "attention.head_count", "num_attention_heads", &w->H)))
        return st;
    G = w->H;
    if (w->H == 0)
        return mls_fail(w->err, MLS_E_INPUT, "%s: key \"%s\" is 0, expected 1 or more",
                        mls_gguf_path(w->f), w->key);
    key_length = value_length = w->E / w->H;
    if ((st = read_heads(w, "attention.head_count_kv", "num_key_value_heads", &G)) ||
        (st = mls_gguf_whole(w->f, key_of(w, "attention.key_length"), &key_length,
                             w->err)) ||
        (st = mls_gguf_whole(w->f, key_of(w, "attention.value_length"), &value_length,
                             w->err)))
        return st;
    if (G == w->H && strcmp(w->model_type, "gpt_neox") == 0)
        json_object_del(w->out, "num_key_value_heads"); /* its class has no such key */
    w->D = w->rope_dims = key_length;
    if ((st = mls_gguf_whole(w->f, key_of(w, "rope.dimension_count"), &w->rope_dims,
                             w->err)))
        return st;
    if (mla)
        return put_mla(w, key_length, value_length);
    if (key_length != value_length)
        put_whole(w, "v_head_dim", value_length);
    put_whole(w, "head_dim", key_length);
    if (strcmp(w->arch, "gemma3") == 0 || strcmp(w->arch, "gemma2") == 0) {
        /* 27B of either scales by another width */
        const uint64_t big = strcmp(w->arch, "gemma3") == 0 ? 62 : 46;

        put_whole(w, "query_pre_attn_scalar", w->L == big ? w->E / w->H : key_length);
    }
    const mls_net_family *f = mls_net_find(w->model_type);

    if (w->D > 0 && (w->rope_dims != w->D || (f && f->partial > 0))) {
        /* llama.cpp turns a part of the head where Hugging Face's class does not. */
        put_real(w,
                 f && f->partial > 0 ? "partial_rotary_factor"
                                     : key_of(w, "rope.dimension_count"),
                 (double)w->rope_dims / (double)w->D);
    }
    return MLS_OK;
}

static mls_status put_shape(writer *w)
{
    uint64_t F = 0, context = 0;
    bool found;
    mls_status st;

    if ((st = need(w, "block_count", &w->L)) ||
        (st = need(w, "embedding_length", &w->E)) ||
        (st = read_first(w, "feed_forward_length", &F, &found)) ||
        (!found && (st = need(w, "expert_feed_forward_length", &F))) ||
        (st = mls_gguf_whole(w->f, key_of(w, "context_length"), &context, w->err)))
        return st;
    if ((st = mls_gguf_whole(w->f, key_of(w, "nextn_predict_layers"), &w->nextn,
                             w->err)))
        return st;
    if (w->nextn >= w->L)
        return mls_fail(w->err, MLS_E_INPUT,
                        "%s: key \"%s\" is %" PRIu64 ", of %" PRIu64 " layers",
                        mls_gguf_path(w->f), w->key, w->nextn, w->L);
    w->L -= w->nextn;
    put_whole(w, "num_hidden_layers", w->L);
    put_whole(w, "hidden_size", w->E);
    put_whole(w, "intermediate_size", F);
    if (context)
        put_whole(w, "max_position_embeddings", context);
    if ((st = put_vocabulary(w)))
        return st;
    return put_heads(w);
}

/* ---- RoPE ---- */

static const double PI = 3.14159265358979323846, LOW = 1, HIGH = 4;

/*
 * What llama3 scaling divides the frequency of each chunk by (modeling_rope_utils.py).
 */
static void llama3_factors(double *factor, size_t C, double theta, double by,
                           double original)
{
    for (size_t c = 0; c < C; c++) {
        const double turns = original * pow(theta, -(double)c / (double)C) / (2 * PI);
        const double smooth = (turns - LOW) / (HIGH - LOW);

        factor[c] = turns < LOW    ? by
                    : turns > HIGH ? 1
                                   : 1 / ((1 - smooth) / by + smooth);
    }
}

/* The original length that a chunk in the blended band tells; 0: none is in it. */
static double original_of(const float *factor, size_t C, double theta, double by)
{
    for (size_t c = 0; c < C; c++) {
        const double f = (double)factor[c];

        if (f > 1.001 && f < 0.999 * by) {
            const double smooth = (1 / f - 1 / by) / (1 - 1 / by);
            const double turn = 2 * PI * pow(theta, (double)c / (double)C);

            return round((LOW + smooth * (HIGH - LOW)) * turn);
        }
    }
    return 0;
}

static bool are_llama3(const float *factor, size_t C, double theta, double by,
                       double original)
{
    double want[MLS_DIM_MAX / 2];
    size_t same = 0;

    llama3_factors(want, C, theta, by, original);
    while (same < C && fabs((double)factor[same] - want[same]) <= 1e-5 * want[same])
        same++;
    return same == C;
}

/*
 * Llama 3's converter stores the factors themselves in rope_freqs.weight. All its
 * models have low_freq_factor 1 and high_freq_factor 4; the largest factor and the
 * original length follow from the numbers.
 */
static mls_status put_rope_factors(writer *w, double theta)
{
    const mls_gguf *part = NULL;
    const mls_tensor_info *t = mls_gguf_parts_find(w->p, "rope_freqs.weight", &part);
    float found[MLS_DIM_MAX / 2];
    double by = 1, original;
    const size_t C = (size_t)w->rope_dims / 2;
    mls_status st;

    if (!t)
        return MLS_OK;
    if (t->n_elements != C || C > MLS_DIM_MAX / 2)
        return mls_fail(w->err, MLS_E_INPUT,
                        "%s: tensor \"rope_freqs.weight\" has %" PRIu64
                        " numbers, expected one for each of the %zu chunks",
                        mls_gguf_path(part), t->n_elements, C);
    if ((st = mls_gguf_read_f32(part, t, 0, C, found, w->err)))
        return st;
    for (size_t c = 0; c < C; c++)
        by = (double)found[c] > by ? (double)found[c] : by;
    original = original_of(found, C, theta, by);
    /* Without a chunk in the band several lengths give the same factors. */
    for (double power = 32; original == 0 && power <= 1 << 20; power *= 2)
        original = are_llama3(found, C, theta, by, power) ? power : 0;
    if (original == 0 || !are_llama3(found, C, theta, by, original))
        put_text(w, "rope_freqs.weight", "factors that are not those of Llama 3");
    else if (by != 1)
        json_object_set_new(
            w->out, "rope_scaling",
            json_pack("{s:s,s:f,s:f,s:f,s:I}", "rope_type", "llama3", "factor", by,
                      "low_freq_factor", LOW, "high_freq_factor", HIGH,
                      "original_max_position_embeddings", (json_int_t)original));
    return MLS_OK;
}

/* The keys of rope.scaling; absent ones mean what llama.cpp takes them for. */
static mls_status put_scaling(writer *w)
{
    double factor = 1, original = 0;
    uint64_t length = 0;
    char *type = NULL;
    json_t *scaling;
    mls_status st;

    if ((st = mls_gguf_real(w->f, key_of(w, "rope.scale_linear"), &factor, w->err)) ||
        (st = mls_gguf_real(w->f, key_of(w, "rope.scaling.factor"), &factor, w->err)) ||
        (st = mls_gguf_whole(w->f, key_of(w, "rope.scaling.original_context_length"),
                             &length, w->err)) ||
        (st = mls_gguf_text(w->f, key_of(w, "rope.scaling.type"), &type, w->err)))
        return st;
    original = (double)length;
    if (factor == 0)
        factor = 1;
    if ((type && strcmp(type, "none") == 0) ||
        ((!type || strcmp(type, "linear") == 0) && factor == 1)) {
        free(type);
        return MLS_OK;
    }
    scaling =
        json_pack("{s:s,s:f}", "rope_type", type ? type : "linear", "factor", factor);
    if (original > 0)
        json_object_set_new(scaling, "original_max_position_embeddings",
                            json_real(original));
    if (json_object_get(w->out, "rope_scaling"))
        st = mls_fail(w->err, MLS_E_INPUT,
                      "%s: RoPE is scaled by rope_freqs.weight and by "
                      "%s.rope.scaling.type %s",
                      mls_gguf_path(w->f), w->arch, type ? type : "linear");
    else
        json_object_set(w->out, "rope_scaling", scaling);
    if (strcmp(w->model_type, "gpt_oss") == 0) /* trained so; no key says it */
        json_object_set_new(scaling, "truncate", json_false());
    json_decref(scaling);
    free(type);
    return st;
}

/* One of Phi-3's two lists of factors, behind a key of rope_scaling. */
static mls_status put_long_factors(writer *w, json_t *scaling, const char *name,
                                   const char *hf)
{
    const mls_gguf *part = NULL;
    const mls_tensor_info *t = mls_gguf_parts_find(w->p, name, &part);
    const size_t C = (size_t)w->rope_dims / 2;
    float factor[MLS_DIM_MAX / 2];
    json_t *list = json_array();
    mls_status st = MLS_OK;

    if (!t || t->n_elements != C || C > MLS_DIM_MAX / 2)
        st = mls_fail(w->err, MLS_E_INPUT, "%s: tensor \"%s\" %s, expected %zu numbers",
                      mls_gguf_path(w->f), name,
                      t ? "has another length" : "is missing", C);
    else
        st = mls_gguf_read_f32(part, t, 0, C, factor, w->err);
    for (size_t c = 0; !st && c < C; c++)
        json_array_append_new(list, json_real((double)factor[c]));
    json_object_set_new(scaling, hf, list);
    return st;
}

/*
 * Phi-3's LongRoPE: factors in tensors, what queries and keys are scaled by as
 * rope.scaling.attn_factor, which follows from both lengths (transformers,
 * modeling_rope_utils.py).
 */
static mls_status put_longrope(writer *w)
{
    uint64_t length = 0, context = 0;
    double scale = 0;
    json_t *scaling;
    mls_status st;

    if (!mls_gguf_parts_find(w->p, "rope_factors_long.weight", NULL))
        return MLS_OK;
    if (strcmp(w->model_type, "phi3") != 0) {
        put_text(w, "rope_factors_long.weight", "factors of LongRoPE");
        return MLS_OK;
    }
    if ((st = mls_gguf_whole(w->f, key_of(w, "rope.scaling.original_context_length"),
                             &length, w->err)) ||
        (st = mls_gguf_whole(w->f, key_of(w, "context_length"), &context, w->err)) ||
        (st = mls_gguf_real(w->f, key_of(w, "rope.scaling.attn_factor"), &scale,
                            w->err)))
        return st;
    if (!length)
        return missing(w, "rope.scaling.original_context_length");
    scaling = json_pack("{s:s,s:I}", "rope_type", "longrope",
                        "original_max_position_embeddings", (json_int_t)length);
    put_whole(w, "original_max_position_embeddings", length);
    /* Rounded in the file: what the class makes is taken where it is that. */
    const double own =
        sqrt(1 + log((double)context / (double)length) / log((double)length));

    if (scale > 0 && !(fabs(scale - own) <= 1e-6 * own))
        json_object_set_new(scaling, "attention_factor", json_real(scale));
    if (!(st = put_long_factors(w, scaling, "rope_factors_long.weight", "long_factor")))
        st = put_long_factors(w, scaling, "rope_factors_short.weight", "short_factor");
    json_object_set_new(w->out, "rope_scaling", scaling);
    return st;
}

static mls_status put_rope(writer *w)
{
    double theta = 10000; /* of llama.cpp, when the key is missing */
    mls_status st;

    if ((st = mls_gguf_real(w->f, key_of(w, "rope.freq_base"), &theta, w->err)))
        return st;
    put_real(w, "rope_theta", theta);
    if ((st = put_rope_factors(w, theta)) || (st = put_scaling(w)))
        return st;
    return put_longrope(w);
}

/* ---- windows, norms, biases ---- */

static bool has_tensor(const writer *w, const char *name)
{
    return mls_gguf_parts_find(w->p, name, NULL) != NULL;
}

/* Families whose classes say which layers have the window. */
static bool has_windows(const writer *w)
{
    static const char *const types[] = {"gemma2", "gemma3_text", "cohere2",
                                        "phi3",   "exaone4",     "gpt_oss"};

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(w->model_type, types[i]) == 0)
            return true;
    return false;
}

/* Mistral's files have the architecture llama; a window tells them. */
static mls_status put_window(writer *w)
{
    uint64_t window = 0, context = UINT64_MAX, pattern = 0;
    const mls_gguf_value *v;
    mls_status st;

    if ((st = mls_gguf_whole(w->f, key_of(w, "attention.sliding_window"), &window,
                             w->err)) ||
        (st = mls_gguf_whole(w->f, key_of(w, "context_length"), &context, w->err)))
        return st;
    if (window >= context && !has_windows(w))
        window = 0;
    if (strcmp(w->model_type, "llama") == 0 && window) {
        put_text(w, "model_type", "mistral");
        json_object_set_new(w->out, "architectures",
                            json_pack("[s]", "MistralForCausalLM"));
    } else if (w->family && w->family->architecture && window && !has_windows(w)) {
        /* Which of its layers have the window is in no key. */
        key_of(w, "attention.sliding_window");
        put_whole(w, w->key, window);
        return MLS_OK;
    }
    if (window)
        put_whole(w, "sliding_window", window);
    v = mls_gguf_header_value(mls_gguf_head(w->f),
                              key_of(w, "attention.sliding_window_pattern"));
    if (!v || !window)
        return MLS_OK;
    if (!v->is_array) {
        if ((st = mls_gguf_whole(w->f, w->key, &pattern, w->err)))
            return st;
        put_whole(w, "sliding_window_pattern", pattern);
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

/* Keys in the words of the classes that read them. */
static const struct {
    const char *gguf, *hf, *older; /* hf, or older, whichever the class reads */
} spelled[] = {
    {"attention.layer_norm_epsilon", "layer_norm_eps", "norm_epsilon"},
    {"attention.scale", "attention_multiplier", NULL},
    {"attn_logit_softcapping", "attn_logit_softcapping", NULL},
    {"embedding_scale", "embedding_multiplier", NULL},
    {"expert_count", "num_local_experts", "num_experts"},
    {"expert_feed_forward_length", "moe_intermediate_size", NULL},
    {"expert_shared_feed_forward_length", "shared_expert_intermediate_size", NULL},
    {"expert_used_count", "num_experts_per_tok", NULL},
    {"final_logit_softcapping", "final_logit_softcapping", NULL},
    {"logit_scale", "logits_scaling", "logit_scale"},
    {"residual_scale", "residual_multiplier", NULL},
    {"use_parallel_residual", "use_parallel_residual", NULL},
};

/* NULL: its class does not read the key. */
static const char *spelling(const writer *w, size_t i)
{
    const mls_net_family *f =
        w->family && w->family->architecture ? mls_net_find(w->model_type) : NULL;

    return !f                                                       ? NULL
           : mls_net_reads(f, spelled[i].hf)                        ? spelled[i].hf
           : spelled[i].older && mls_net_reads(f, spelled[i].older) ? spelled[i].older
                                                                    : NULL;
}

static mls_status put_spelled(writer *w)
{
    for (size_t i = 0; i < sizeof spelled / sizeof spelled[0]; i++) {
        const char *hf = spelling(w, i);
        const mls_gguf_value *v =
            mls_gguf_header_value(mls_gguf_head(w->f), key_of(w, spelled[i].gguf));
        uint64_t whole = 0;
        bool flag = false;
        double real = 0;
        mls_status st;

        if (!hf || !v)
            continue;
        if (v->type == MLS_GGUF_BOOL) {
            st = mls_gguf_bool(w->f, w->key, &flag, w->err);
            put_bool(w, hf, flag);
        } else if (v->type == MLS_GGUF_F32) {
            st = mls_gguf_real(w->f, w->key, &real, w->err);
            put_real(w, hf, real);
        } else {
            st = mls_gguf_whole(w->f, w->key, &whole, w->err);
            put_whole(w, hf, whole);
        }
        if (st)
            return st;
    }
    if (strcmp(w->arch, "qwen3moe") == 0) /* the converter takes it for granted */
        put_bool(w, "norm_topk_prob", true);
    return MLS_OK;
}

static mls_status put_flags(writer *w)
{
    static const char layer_eps[] = "attention.layer_norm_epsilon";
    static const char eps_key[] = "attention.layer_norm_rms_epsilon";
    uint64_t experts = 0, id, type = UINT64_MAX;
    bool causal = true;
    double eps = 0;
    mls_status st;

    if ((st = mls_gguf_real(w->f, key_of(w, eps_key), &eps, w->err)) ||
        (st = mls_gguf_whole(w->f, key_of(w, "expert_count"), &experts, w->err)) ||
        (st = mls_gguf_bool(w->f, key_of(w, "attention.causal"), &causal, w->err)) ||
        (st = mls_gguf_whole(w->f, "general.file_type", &type, w->err)))
        return st;
    const mls_net_family *own = mls_net_find(w->model_type);

    if (eps > 0)
        put_real(w, own && mls_net_reads(own, "norm_eps") ? "norm_eps" : "rms_norm_eps",
                 eps);
    else if (w->family && w->family->architecture &&
             !mls_gguf_has(w->f, key_of(w, layer_eps)))
        return missing(w, eps_key);
    if ((st = put_spelled(w)))
        return st;
    if (experts && !json_object_get(w->out, "num_local_experts") &&
        !json_object_get(w->out, "num_experts")) { /* sized: not computed */
        put_whole(w, "num_local_experts", experts);
        put_whole(w, key_of(w, "expert_count"), experts);
    }
    if (!causal)
        put_bool(w, "is_causal", false);
    put_bool(w, "tie_word_embeddings", !has_tensor(w, "output.weight"));
    const mls_net_family *f = mls_net_find(w->model_type);

    if (has_tensor(w, "blk.0.attn_q.bias") && has_tensor(w, "blk.0.attn_output.bias") &&
        !(f && f->qkv_bias && f->o_bias))
        put_bool(w, "attention_bias", true);
    if (has_tensor(w, "blk.0.ffn_gate.bias"))
        put_bool(w, "mlp_bias", true);
    if (w->family && w->family->interleaved &&
        has_tensor(w, "blk.0.attn_q_norm.weight"))
        put_text(w, "attn_q_norm", "a norm of interleaved queries");
    /* enum llama_ftype: those whose matrices are all of one plain type */
    if (type == 0 || type == 1 || type == 32)
        put_text(w, "torch_dtype",
                 type == 0   ? "float32"
                 : type == 1 ? "float16"
                             : "bfloat16");
    id = UINT64_MAX;
    if ((st = mls_gguf_whole(w->f, "tokenizer.ggml.bos_token_id", &id, w->err)))
        return st;
    if (id != UINT64_MAX)
        put_whole(w, "bos_token_id", id);
    id = UINT64_MAX;
    if ((st = mls_gguf_whole(w->f, "tokenizer.ggml.eos_token_id", &id, w->err)))
        return st;
    if (id != UINT64_MAX)
        put_whole(w, "eos_token_id", id);
    return MLS_OK;
}

/* Keys of the architecture that nothing above reads: they may change the model. */
static void put_unknown(writer *w)
{
    static const char *const known[] = {
        "attention.causal",
        "attention.chunk_size",
        "attention.head_count",
        "attention.head_count_kv",
        "attention.indexer.key_length",
        "attention.key_length",
        "attention.key_length_mla",
        "attention.kv_lora_rank",
        "attention.layer_norm_rms_epsilon",
        "attention.q_lora_rank",
        "attention.shared_kv_layers",
        "attention.sliding_window",
        "attention.sliding_window_pattern",
        "attention.value_length",
        "attention.value_length_mla",
        "block_count",
        "context_length",
        "embedding_length",
        "expert_count",
        "expert_feed_forward_length",
        "expert_used_count",
        "feed_forward_length",
        "full_attention_interval",
        "nextn_predict_layers",
        "rope.dimension_count",
        "rope.freq_base",
        "rope.scale_linear",
        "rope.scaling.attn_factor",
        "rope.scaling.factor",
        "rope.scaling.finetuned",
        "rope.scaling.original_context_length",
        "rope.scaling.type",
        "shortconv.l_cache",
        "tensor_data_layout", /* says in words that q and k are interleaved */
        "vocab_size",
    };
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
        snprintf(shown, sizeof shown, "%s%s", v->is_array ? "array of " : "",
                 mls_gguf_type_name(v->type));
        for (size_t k = 0; k < sizeof spelled / sizeof spelled[0]; k++)
            is_known = is_known ||
                       (strcmp(v->key + n + 1, spelled[k].gguf) == 0 && spelling(w, k));
        if (!is_known)
            put_text(w, v->key, shown);
    }
}

static mls_status put_kind(writer *w)
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
    else if (w->family) /* sized: its tensors have names that are not mapped */
        put_text(w, "general.architecture", w->arch);
    w->model_type = w->family ? w->family->model_type : w->arch;
    if ((st = mls_gguf_whole(w->f, key_of(w, "expert_count"), &experts, w->err)))
        return st;
    if (experts && strcmp(w->arch, "llama") == 0) { /* Mixtral's, too */
        w->model_type = "mixtral";
        json_object_set_new(w->out, "architectures",
                            json_pack("[s]", "MixtralForCausalLM"));
    }
    put_text(w, "model_type", w->model_type);
    return MLS_OK;
}

mls_status mls_gguf_config(const mls_gguf_parts *p, char **json, size_t *len,
                           mls_err *err)
{
    writer w = {.p = p, .f = p->part[0], .out = json_object(), .err = err};
    mls_status st;

    *json = NULL;
    if (!w.out)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a config");
    if (!(st = put_kind(&w)) && !(st = put_shape(&w)) && !(st = put_rope(&w)) &&
        !(st = put_window(&w)))
        st = put_flags(&w);
    if (!st)
        st = put_other_caches(&w);
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
