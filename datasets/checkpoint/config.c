/*
 * The text model may lie inside a file of several; it is found by its own layers. What
 * cannot be read of a shape is an error; what the forward pass has no computation for
 * is noted (unsupported), and `size` goes on with what the cache depends on.
 */
#include "datasets/checkpoint/config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/system/files.h"
#include "datasets/base/json.h"
#include "datasets/checkpoint/config_reader.h"
#include "datasets/family/layers.h"

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
    char shown[MLS_JSON_SHOW];
    mls_status st;

    if (architectures && !json_is_array(architectures))
        return mls_fail(r->err, MLS_E_INPUT, "%s: architectures is %s, expected [...]",
                        r->path, mls_json_show(shown, architectures));
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

/* Layers, heads and dims; what they cannot say goes into c->doubt. */
static mls_status read_layers(mls_config_reader *r)
{
    mls_config *c = r->config;
    mls_layers *layers = malloc(sizeof *layers);
    mls_status st;

    if (!layers)
        return mls_fail(r->err, MLS_E_NOMEM, "no memory for the layers of %s", r->path);
    st = mls_layers_read(layers, &r->keys, c->model_type, r->inner == r->outer);
    if (!st) {
        c->L = layers->L;
        c->E = layers->E;
        c->H = layers->H;
        c->G = layers->G;
        c->D = layers->D;
        c->mla_kv_lora_rank = layers->latent;
        c->mla_rope_dim = layers->rope_dim;
        c->mla_nope_dim = layers->nope_dim;
        c->mla_value_dim = layers->value_dim;
        c->mla_q_lora_rank = layers->q_latent;
        memcpy(c->layer, layers->layer, sizeof c->layer);
        memcpy(c->doubt, layers->doubt, sizeof c->doubt);
    }
    free(layers);
    return st;
}

/* Falcon's copies are of the same keys: they change no number of the network. */
static bool copies_heads(const mls_config *c)
{
    return strcmp(c->model_type, "falcon") == 0;
}

/* The first layer that the forward pass has no computation for. */
static void judge_layers(const mls_config_reader *r)
{
    mls_config *c = r->config;

    for (size_t l = 0; l < c->L; l++) {
        const mls_layer_shape *s = &c->layer[l];
        /* Only the forward pass of some classes was compared with such layers. */
        const bool alike = mls_config_layer_is_alike(c, l) || (r->net && r->net->mixed);
        const bool shares = r->net && mls_net_reads(r->net, "num_kv_shared_layers");

        if ((s->kind == MLS_LAYER_RECURRENT && c->net.recurrent.kind) ||
            (s->kind == MLS_LAYER_NONE && c->net.single))
            continue;
        if (s->kind == MLS_LAYER_RECURRENT || s->kind == MLS_LAYER_NONE)
            mls_config_unsupported(c, "layer %zu has no attention", l);
        else if (!alike)
            mls_config_unsupported(c,
                                   "layer %zu has %u KV heads of %u and %u dims, which "
                                   "other layers have not",
                                   l, s->G, s->K, s->V);
        else if ((s->reads_other && !shares) || (s->copies != 1 && !copies_heads(c)) ||
                 (s->index.n && !c->net.index_top_k) || s->compressed.n ||
                 ((s->conv_numbers || s->state_numbers) && !c->net.beside))
            mls_config_unsupported(c,
                                   "layer %zu keeps more or less than its keys and "
                                   "values",
                                   l);
    }
    if (c->D % 2 != 0)
        mls_config_unsupported(c, "head_dim is %zu, expected an even number", c->D);
}

/* A width for each layer; *most is the largest. */
static mls_status read_mlp_widths(mls_config_reader *r, const char *key,
                                  const json_t *list, int64_t *most)
{
    mls_config *c = r->config;

    for (size_t l = 0; l < c->L; l++) {
        int64_t n;
        const mls_status st =
            whole(r, key, json_array_get(list, l), 0, MLS_WIDTH_MAX, &n);

        if (st)
            return st;
        c->layer[l].F = (uint32_t)n;
        *most = n > *most ? n : *most;
    }
    return MLS_OK;
}

/* Width of the MLP, on which no byte of the cache depends. */
static mls_status read_mlp_width(mls_config_reader *r)
{
    static const char *const keys[] = {"intermediate_size", "n_inner", "ffn_dim",
                                       "ffn_hidden_size"};
    mls_config *c = r->config;
    int64_t n = 0;
    mls_status st;

    for (size_t i = 0; n == 0 && i < sizeof keys / sizeof keys[0]; i++) {
        const json_t *F = mls_config_get(r, keys[i]);

        if (json_is_array(F) && json_array_size(F) == c->L) {
            if ((st = read_mlp_widths(r, keys[i], F, &n)))
                return st;
            continue;
        }
        if (json_is_array(F)) /* for each kind of layers */
            F = json_array_get(F, 0);
        if (F && !json_is_null(F) && (st = whole(r, keys[i], F, 0, MLS_WIDTH_MAX, &n)))
            return st;
    }
    c->F = (size_t)n;
    if (!c->F && r->net && r->net->wider)
        c->F = c->E * r->net->wider;
    return MLS_OK;
}

/* Only where all layers have experts there is no MLP whose width must be known. */
static void judge_width(mls_config *c)
{
    for (size_t l = 0; l < c->L; l++)
        if (!c->F && !c->net.sparse[l] &&
            !(c->net.single && c->layer[l].kind != MLS_LAYER_NONE))
            mls_config_unsupported(c, "intermediate_size is missing");
}

static mls_status read_shape(mls_config_reader *r)
{
    mls_config *c = r->config;
    int64_t n = 0;
    mls_status st;

    if ((st = read_layers(r)) || (st = read_mlp_width(r)))
        return st;
    if (mls_config_get(r, "vocab_size") &&
        (st = whole(r, "vocab_size", mls_config_get(r, "vocab_size"), 1, MLS_VOCAB_MAX,
                    &n)))
        return st;
    c->V = (size_t)n;
    if (!c->V)
        mls_config_unsupported(c, "vocab_size is missing");
    for (size_t i = 0; !st && !c->max_position && i < 2; i++) {
        static const char *const keys[] = {"max_position_embeddings", "n_positions"};

        if (mls_config_get(r, keys[i]))
            st = read_size(r, keys[i], (size_t)1 << 40, 0, &c->max_position);
    }
    return st;
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
    if ((st = read_bool(r, "tie_word_embeddings",
                        (f && f->tied) || (r->net && r->net->tied),
                        &c->tied_embeddings)) ||
        (st = read_id(r, "bos_token_id", &c->bos_id)) ||
        (st = read_id(r, "eos_token_id", &c->eos_id)))
        return st;
    return MLS_OK;
}

static mls_status read_all(mls_config_reader *r)
{
    mls_status st;

    r->config->nested = r->inner != r->outer;
    if ((st = read_kind(r)) || (st = read_shape(r)) || (st = read_flags(r)) ||
        (st = mls_config_net(r)) || (st = mls_config_rope(r)))
        return st;
    mls_config_turn_layers(r);
    mls_config_judge_keys(r);
    judge_layers(r);
    judge_width(r->config);
    if (r->config->doubt[0] && !copies_heads(r->config))
        mls_config_unsupported(r->config, "%s", r->config->doubt);
    return MLS_OK;
}

/* Some files repeat the text model's width, but not its layers. */
static bool says_layers(const json_t *file)
{
    static const char *const keys[] = {"num_hidden_layers", "num_layers", "n_layer",
                                       "n_layers"};

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (json_object_get(file, keys[i]))
            return true;
    return false;
}

/*
 * The text model inside a file of several models. A file that says its own layers is a
 * text model, whatever else it holds.
 */
static json_t *text_model(json_t *file)
{
    static const char *const inside[] = {"text_config",     "llm_config",
                                         "language_config", "thinker_config",
                                         "llama_config",    "decoder_config"};

    for (size_t i = 0; i < sizeof inside / sizeof inside[0]; i++) {
        json_t *inner = json_object_get(file, inside[i]);

        if (json_is_object(inner) && !says_layers(file))
            return text_model(inner);
    }
    return file;
}

/* model_type of the text model: its own word, or what the class of the file holds. */
static mls_status read_type(mls_config_reader *r)
{
    mls_config *c = r->config;
    const json_t *own = json_object_get(r->inner, "model_type");
    const json_t *outer = json_object_get(r->outer, "model_type");
    const json_t *type = own && !json_is_null(own) ? own : outer;
    const mls_class *class;
    mls_status st;

    if (!type || json_is_null(type))
        return mls_fail(r->err, MLS_E_INPUT, "%s: model_type is missing", r->path);
    st = read_name(r, "model_type", type, c->model_type, sizeof c->model_type);
    class = st ? NULL : mls_class_find(c->model_type);
    if (class && class->text)
        snprintf(c->model_type, sizeof c->model_type, "%s", class->text);
    return st;
}

/* From a parsed file, whose reference is given up. */
static mls_status read_object(mls_config *config, json_t *file, const char *path,
                              mls_err *err)
{
    mls_config_reader r = {
        .path = path,
        .outer = file,
        .inner = text_model(file),
        .config = config,
        .err = err,
    };
    mls_status st = read_type(&r);

    if (!st)
        st = mls_facts_init(&r.keys, path, r.inner, config->model_type, err);
    if (!st)
        st = read_all(&r);
    mls_facts_free(&r.keys);
    json_decref(file);
    return st;
}

mls_status mls_config_read(mls_config *config, const char *path, mls_err *err)
{
    json_t *file = NULL;
    char *inside = NULL;
    const char *kind;
    mls_status st;

    memset(config, 0, sizeof *config);
    if (mls_folder_exists(path)) {
        inside = mls_path_join(path, "config.json");
        if (!inside)
            return mls_fail(err, MLS_E_NOMEM, "no memory for a file name");
        path = inside;
    } else if ((kind = mls_file_kind(path)))
        return mls_fail(err, MLS_E_INPUT,
                        "%s: is %s, expected a model: its folder, its config.json or a "
                        "GGUF file",
                        path, kind);
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

const char *mls_config_no_heads(const mls_config *config, size_t layer)
{
    const mls_layer_shape *s = &config->layer[layer];

    if (!mls_layer_attends(s))
        return "has no keys and values";
    if (s->kind == MLS_LAYER_MLA)
        return "has a latent in place of keys and values";
    if (s->reads_other)
        return "reads the keys and values of an earlier layer";
    if (!mls_config_layer_is_alike(config, layer))
        return "has heads whose number or width is not that of all keys and values";
    return config->net.k_is_v && !s->window ? "makes keys and values with one matrix"
                                            : NULL;
}

bool mls_config_layer_is_seen(const mls_config *config, size_t layer)
{
    return mls_layer_is_attention(&config->layer[layer]) &&
           mls_config_layer_is_alike(config, layer);
}

bool mls_config_layer_is_alike(const mls_config *config, size_t layer)
{
    const mls_layer_shape *s = &config->layer[layer];

    return s->H == config->H && s->G == config->G && s->K == config->D &&
           (s->V == s->K || s->kind == MLS_LAYER_MLA);
}

size_t mls_config_mlp_width(const mls_config *config, size_t layer)
{
    return config->layer[layer].F ? config->layer[layer].F : config->F;
}

mls_status mls_config_runnable(const mls_config *config, mls_err *err)
{
    if (!config->unsupported[0])
        return MLS_OK;
    return mls_fail(err, MLS_E_INPUT, "config.json: %s", config->unsupported);
}
