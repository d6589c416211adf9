/*
 * Heads and dims of every layer: what the model says for all of them. heads_own.c has
 * what it says of single ones.
 */
#include <stdio.h>
#include <string.h>

#include "datasets/base/json.h"
#include "datasets/family/layers_inner.h"

mls_status mls_layers_number(const mls_layers_reader *r, const char *key, size_t l,
                             size_t min, size_t max, size_t *out)
{
    const json_t *v = mls_fact(r->k, key);

    if (!v)
        return MLS_OK;
    if (json_is_array(v)) {
        if (json_array_size(v) != r->out->L)
            return mls_fail(r->k->err, MLS_E_INPUT,
                            "%s: %s has %zu items, expected num_hidden_layers %zu",
                            r->k->path, key, json_array_size(v), r->out->L);
        v = json_array_get(v, l);
        if (json_is_null(v))
            return MLS_OK;
        min = 0; /* a layer may have no attention */
    }
    return mls_fact_whole_of(r->k, key, v, min, max, out);
}

/* Query heads: JetMoE's follow from its experts. */
static mls_status read_queries(const mls_layers_reader *r, size_t *H)
{
    size_t experts = 0;
    mls_status st;

    if (strcmp(r->model_type, "jetmoe") != 0)
        return mls_layers_number(r, "num_attention_heads", 0, 1, MLS_HEADS_MAX, H);
    if ((st = mls_fact_whole(r->k, "num_key_value_heads", 1, MLS_HEADS_MAX, H)) ||
        (st = mls_fact_whole(r->k, "num_experts_per_tok", 1, MLS_HEADS_MAX, &experts)))
        return st;
    *H *= experts ? experts : 2;
    return MLS_OK;
}

/* Falcon, GPT-BigCode and DBRX say the KV heads in their own words. */
static mls_status read_own_groups(mls_layers_reader *r, size_t H, size_t *G, bool *own)
{
    bool multi = true, new_decoder = false;
    mls_status st;

    *own = true;
    *G = H;
    if (strcmp(r->model_type, "dbrx") == 0) {
        const json_t *v = json_object_get(mls_fact(r->k, "attn_config"), "kv_n_heads");

        *G = 1;
        return v ? mls_fact_whole_of(r->k, "attn_config.kv_n_heads", v, 1,
                                     MLS_HEADS_MAX, G)
                 : MLS_OK;
    }
    if (strcmp(r->model_type, "gpt_bigcode") == 0) {
        if ((st = mls_fact_flag(r->k, "multi_query", &multi)))
            return st;
        *G = multi ? 1 : H;
        return MLS_OK;
    }
    if (strcmp(r->model_type, "falcon") != 0) {
        *own = false;
        return MLS_OK;
    }
    if ((st = mls_fact_flag(r->k, "multi_query", &multi)) ||
        (st = mls_fact_flag(r->k, "new_decoder_architecture", &new_decoder)) ||
        (st = mls_fact_whole(r->k, "num_kv_heads", 1, MLS_HEADS_MAX, G)))
        return st;
    if (!new_decoder)
        *G = multi ? 1 : H;
    else if (*G != H) {
        mls_layers_doubt(r->out,
                         "new_decoder_architecture: transformers keeps a copy of the "
                         "%zu KV heads for each of the %zu query heads; a server keeps "
                         "%zu of them",
                         *G, H, *G);
    }
    return MLS_OK;
}

/* ChatGLM and the first Falcons, which are no classes: many KV heads or few. */
static mls_status read_multi_query(const mls_layers_reader *r, size_t H, size_t *G,
                                   bool *own)
{
    static const char *const keys[] = {"multi_query_attention", "multi_query"};
    const bool any = !r->k->class || r->k->alike;

    for (size_t i = 0; any && !*own && i < sizeof keys / sizeof keys[0]; i++) {
        bool few = false;
        mls_status st;

        if (!mls_fact_peek(r->k, keys[i]))
            continue;
        if ((st = mls_fact_flag(r->k, keys[i], &few)))
            return st;
        *G = few ? 1 : H;
        *own = !few || !mls_fact_peek(r->k, "num_key_value_heads");
    }
    return MLS_OK;
}

static mls_status read_groups(mls_layers_reader *r, size_t H, size_t *G)
{
    bool own;
    mls_status st = read_own_groups(r, H, G, &own);

    if (st || (!own && (st = read_multi_query(r, H, G, &own))) || own)
        return st;
    if (!mls_layers_has(r, "num_key_value_heads") ||
        (mls_fact_given(r->k, "num_key_value_heads") &&
         !mls_fact_peek(r->k, "num_key_value_heads"))) {
        *G = H; /* a class without the key, or null */
        return MLS_OK;
    }
    /* Other classes have other defaults, so that H would be a guess. */
    if (!r->k->class && !mls_fact_peek(r->k, "num_key_value_heads"))
        return mls_fail(r->k->err, MLS_E_INPUT,
                        "%s: num_key_value_heads is missing, and model_type \"%s\" is "
                        "not a known family",
                        r->k->path, r->model_type);
    return mls_layers_number(r, "num_key_value_heads", 0, 1, MLS_HEADS_MAX, G);
}

/* Dims of a key: the key, or what the class derives from the hidden size. */
static mls_status read_dim(mls_layers_reader *r, size_t H, size_t *K)
{
    const size_t E = r->out->E;
    const bool zamba = strncmp(r->model_type, "zamba", 5) == 0;

    if (mls_fact_peek(r->k, "head_dim") &&
        (strcmp(r->model_type, "zamba2") != 0 || mls_fact_given(r->k, "head_dim")))
        return mls_fact_whole(r->k, "head_dim", 1, MLS_DIM_MAX, K);
    *K = H ? (zamba ? 2 * E : E) / H : 0; /* none: of a list whose first is null */
    if (*K == 0 || E % H != 0)
        return mls_fail(r->k->err, MLS_E_INPUT,
                        "%s: hidden_size %zu is not a multiple of num_attention_heads "
                        "%zu, and head_dim is not given",
                        r->k->path, E, H);
    if (!r->k->class)
        mls_layers_doubt(r->out,
                         "head_dim is missing: %zu = hidden_size / num_attention_heads "
                         "is a guess for model_type \"%.60s\"",
                         *K, r->model_type);
    return MLS_OK;
}

static mls_status need(const mls_layers_reader *r, const char *key, size_t max,
                       size_t *out)
{
    if (!mls_fact_peek(r->k, key))
        return mls_fail(r->k->err, MLS_E_INPUT, "%s: %s is missing", r->k->path, key);
    return mls_fact_whole(r->k, key, 0, max, out);
}

/* Multi-head latent attention: a key of v_head_dim that is null is MiniCPM3's. */
static mls_status read_mla(mls_layers_reader *r, mls_heads *h)
{
    mls_layers *out = r->out;
    bool use = true;
    mls_status st;

    if (mls_fact_peek(r->k, "use_mla") && (st = mls_fact_flag(r->k, "use_mla", &use)))
        return st;
    if (!use || !mls_fact_peek(r->k, "kv_lora_rank"))
        return MLS_OK;
    out->value_dim = h->H ? out->E / h->H : 0;
    if ((st = mls_fact_whole(r->k, "kv_lora_rank", 1, MLS_WIDTH_MAX, &h->latent)) ||
        (st = need(r, "qk_rope_head_dim", MLS_DIM_MAX, &h->rope)) ||
        (st = need(r, "qk_nope_head_dim", MLS_DIM_MAX, &h->nope)) ||
        (strcmp(r->model_type, "minicpm3") != 0 &&
         (st = need(r, "v_head_dim", MLS_DIM_MAX, &out->value_dim))) ||
        (st = mls_fact_whole(r->k, "v_head_dim", 1, MLS_DIM_MAX, &out->value_dim)) ||
        (st = mls_fact_whole(r->k, "q_lora_rank", 1, MLS_WIDTH_MAX, &out->q_latent)))
        return st;
    mls_fact(r->k, "head_dim"); /* what these say follows from the others */
    mls_fact(r->k, "qk_head_dim");
    out->latent = h->latent;
    out->rope_dim = h->rope;
    out->nope_dim = h->nope;
    h->K = h->nope + h->rope;
    h->V = out->value_dim;
    return MLS_OK;
}

/* A second word for a number that is understood is understood, too. */
static void same_word(const mls_layers_reader *r, const char *key, size_t n)
{
    const json_t *v = mls_fact_peek(r->k, key);

    if (json_is_integer(v) && json_integer_value(v) == (json_int_t)n)
        mls_fact(r->k, key);
}

/* What all layers have where nothing else is said. */
static mls_status read_common(mls_layers_reader *r, mls_heads *h)
{
    mls_status st;

    *h = (mls_heads){0};
    if ((st = read_queries(r, &h->H)) || (st = read_groups(r, h->H, &h->G)) ||
        (st = read_mla(r, h)))
        return st;
    if (h->latent)
        return MLS_OK;
    if ((st = read_dim(r, h->H, &h->K)))
        return st;
    h->V = h->K;
    same_word(r, "attention_head_dim", h->K);
    return mls_fact_whole(r->k, "v_head_dim", 1, MLS_DIM_MAX, &h->V);
}

/* How many tokens one vector stands for, by the kind of layer. */
static mls_status block_tokens(const mls_layers_reader *r, bool heavy, size_t *ratio)
{
    const char *name =
        heavy ? "heavily_compressed_attention" : "compressed_sparse_attention";
    const json_t *v = json_object_get(mls_fact(r->k, "compress_rates"), name);

    *ratio = heavy ? 128 : 4;
    return v ? mls_fact_whole_of(r->k, name, v, 1, 1 << 20, ratio) : MLS_OK;
}

/*
 * DeepSeek-V4: the window has one head whose key is its value, too; beside it one
 * vector for every block, and the tokens (with their gates) of a block not full yet.
 */
static mls_status compressed(const mls_layers_reader *r, mls_layer_shape *s, bool heavy)
{
    size_t ratio, index = 128;
    mls_status st;

    if ((st = block_tokens(r, heavy, &ratio)) ||
        (st = mls_fact_whole(r->k, "index_head_dim", 1, MLS_DIM_MAX, &index)))
        return st;
    s->V = 0;
    s->compressed = (mls_layer_extra){.n = s->K,
                                      .ratio = (uint32_t)ratio,
                                      .pending = (heavy ? 2 : 4) * s->K,
                                      .kept = heavy ? 0 : 2 * (uint32_t)ratio * s->K};
    if (!heavy)
        s->index = (mls_layer_extra){.n = (uint32_t)index,
                                     .ratio = (uint32_t)ratio,
                                     .pending = 4 * (uint32_t)index,
                                     .kept = 2 * (uint32_t)(ratio * index)};
    return MLS_OK;
}

/* Keys of the indexer that chooses the tokens: one for all heads. */
static mls_status indexed(const mls_layers_reader *r, mls_layer_shape *s)
{
    const json_t *sparse = mls_fact(r->k, "sparse_attention_config");
    size_t dim = 0, heads_of = 1, flag = 0;
    mls_status st;

    if (strcmp(r->model_type, "qwen4_exp_text") == 0) {
        dim = 128;
        if ((st = mls_fact_whole(r->k, "indexer_head_dim", 1, MLS_DIM_MAX, &dim)) ||
            (st =
                 mls_fact_whole(r->k, "indexer_kv_heads", 1, MLS_HEADS_MAX, &heads_of)))
            return st;
    } else if ((st = mls_fact_whole(r->k, "index_head_dim", 1, MLS_DIM_MAX, &dim)) ||
               (st = mls_layers_member(r, sparse, "sparse_index_dim", 1, MLS_DIM_MAX,
                                       &dim)))
        return st;
    if (strcmp(r->model_type, "glm5_next_text") == 0) /* key, gate, mask */
        heads_of = 2, flag = 1;
    s->index = (mls_layer_extra){.n = (uint32_t)(dim * heads_of + flag), .ratio = 1};
    return MLS_OK;
}

static mls_status shape_of(mls_layers_reader *r, size_t l, mls_heads *h)
{
    const char letter = r->letter[l];
    const bool slides = letter == MLS_SLIDING || letter == MLS_HYBRID_SLIDING;
    mls_layer_shape *s = &r->out->layer[l];
    const mls_status st = mls_layers_own_heads(r, l, h);

    if (st)
        return st;
    *s = (mls_layer_shape){.copies = 1};
    if (r->letter[l] == MLS_EMPTY || r->letter[l] == MLS_LINEAR ||
        r->letter[l] == MLS_CONV) {
        s->kind = r->letter[l] == MLS_EMPTY ? MLS_LAYER_NONE : MLS_LAYER_RECURRENT;
        return MLS_OK;
    }
    if (h->G == 0 || h->H == 0) { /* a list has a 0 here: no attention */
        s->kind = r->rule->state ? MLS_LAYER_RECURRENT : MLS_LAYER_NONE;
        r->letter[l] = r->rule->state ? MLS_LINEAR : MLS_EMPTY;
        return MLS_OK;
    }
    s->kind = h->latent ? MLS_LAYER_MLA : MLS_LAYER_ATTENTION;
    s->H = (uint32_t)h->H;
    s->G = (uint32_t)h->G;
    s->K = (uint32_t)(h->latent ? h->nope + h->rope : h->K);
    s->V = (uint32_t)h->V;
    s->latent = (uint32_t)h->latent;
    s->rope_dims = h->latent ? (uint32_t)h->rope : s->K;
    if (!r->moves[l] && strcmp(r->model_type, "mistral_large4_text") == 0)
        s->rope_dims = 0; /* a layer that does not turn keeps the latent alone */
    s->window =
        slides || letter == MLS_COMPRESSED || letter == MLS_HEAVY ? r->window : 0;
    s->chunk = letter == MLS_CHUNKED ? r->chunk : 0;
    s->no_rope = !r->moves[l];
    if (letter == MLS_COMPRESSED || letter == MLS_HEAVY)
        return compressed(r, s, letter == MLS_HEAVY);
    return letter == MLS_INDEXED ? indexed(r, s) : MLS_OK;
}

/* As many query heads to each KV head, and dims that fit our arrays. */
static mls_status check(const mls_layers_reader *r, size_t l)
{
    const mls_layer_shape *s = &r->out->layer[l];

    if (s->kind == MLS_LAYER_ATTENTION && s->H % s->G != 0)
        return mls_fail(r->k->err, MLS_E_INPUT,
                        "%s: num_attention_heads %u is not a multiple of "
                        "num_key_value_heads %u",
                        r->k->path, s->H, s->G);
    if (s->K > MLS_DIM_MAX || s->V > MLS_DIM_MAX)
        return mls_fail(r->k->err, MLS_E_INPUT, "%s: head_dim is %u, expected up to %d",
                        r->k->path, s->K > s->V ? s->K : s->V, MLS_DIM_MAX);
    return MLS_OK;
}

/* Whether any layer has attention. */
static bool has_heads(const mls_layers_reader *r)
{
    for (size_t l = 0; l < r->out->L; l++)
        if (r->letter[l] != MLS_LINEAR && r->letter[l] != MLS_CONV &&
            r->letter[l] != MLS_EMPTY)
            return true;
    return false;
}

mls_status mls_layers_heads(mls_layers_reader *r)
{
    mls_layers *out = r->out;
    mls_heads common = {.H = 1, .G = 1, .K = 2, .V = 2}; /* where no layer has heads */
    mls_status st = has_heads(r) ? read_common(r, &common) : MLS_OK;

    for (size_t l = 0; !st && l < out->L; l++) {
        mls_heads h = common;

        st = shape_of(r, l, &h);
        if (!st)
            st = check(r, l);
        if (!st && out->layer[l].H > out->H)
            out->H = out->layer[l].H;
        if (!st && out->layer[l].G > out->G)
            out->G = out->layer[l].G;
        if (!st && out->layer[l].K > out->D)
            out->D = out->layer[l].K;
    }
    if (!st && out->H == 0) { /* no layer has attention */
        out->H = common.H;
        out->G = common.G;
        out->D = common.K;
    }
    return st;
}
