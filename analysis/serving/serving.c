/*
 * Which released code runs a form. Four questions of structure decide it:
 *
 *   1. Does every layer hold the model's own keys and values, quantized or with fewer
 *      tokens? Then nothing is converted: cache.
 *   2. Does every layer hold one latent and one rope key for all heads, the same in all
 *      layers? Scores are then q_nope^T W_up c + q_rope^T k_rope, W_up can be absorbed
 *      into the query, and a decoder is multi-query attention over one row per token:
 *      mla. config.json has one kv_lora_rank and one qk_rope_head_dim, so layers that
 *      differ are not served, nor rope keys whose frequencies are no geometric series
 *      (`keep=`); nor are windows, dropped tokens and shared layers, which
 *      DeepSeek's classes do not know. Of quantizers their kernels read 8-bit floats.
 *      A projection with a bias, or RoPE scaled by any rule, is computed by
 *      transformers' DeepSeek class alone: vLLM and SGLang build these projections
 *      without one, skip a bias in the file, and take every scaling for YaRN. A kq with
 *      means has biases, and so has every form of a model with biases in attention.
 *   3. Does every layer hold N such rows, each for a group of heads? N GPUs each run
 *      MLA kernels on their own row (GLA, arXiv 2505.21487; MLRA, 2603.02188): split
 *      mla. No engine has a loader for it.
 *   4. Does a project's own code make and run it? A project's class.
 *
 * All else needs a kernel of its own: rope keys per KV head are absorbable but fill no
 * released MLA kernel, and keys that are rotated after they are read back are not
 * absorbable at all (W_up would have to commute with the rotation).
 */
#include "analysis/serving/serving.h"

#include <string.h>

#include "analysis/latent/latent.h"

#include "common/base/words.h"

static const char *const names[] = {"mla",     "transformers", "split mla",  "mha2mla",
                                    "elitekv", "x-ecomla",     "own kernel", "cache"};
static const char *const words[] = {"mla",        "transformers", "split-mla",
                                    "mha2mla",    "elitekv",      "x-ecomla",
                                    "own-kernel", "cache",        NULL};
static const char *const targets[] = {"deepseek", "deepseek", "latent", "mha2mla",
                                      "elitekv",  "x-ecomla", "latent", NULL};
static const char *const meanings[] = {
    "MLA code: transformers, vLLM, SGLang",
    "transformers alone: MLA with biases or scaled RoPE",
    "MLA kernels, a latent for each GPU; no engine loads it",
    "MHA2MLA's own code",
    "EliteKV's own code",
    "X-EcoMLA's own code",
    "no released code: it needs a kernel of its own",
    "no conversion: an option of your server's cache",
};

const char *mls_serve_name(mls_serve s)
{
    return s < MLS_SERVE_CLASSES ? names[s] : "-";
}

const char *mls_serve_word(mls_serve s)
{
    return words[s];
}

const char *mls_serve_target(mls_serve s)
{
    return targets[s];
}

const char *mls_serve_means(mls_serve s)
{
    return meanings[s];
}

mls_status mls_serve_parse(mls_serve *s, const char *text, mls_err *err)
{
    char suggestion[MLS_SUGGESTION];

    for (size_t i = 0; i < MLS_SERVE_CLASSES; i++)
        if (strcmp(text, words[i]) == 0 || strcmp(text, names[i]) == 0) {
            *s = (mls_serve)i;
            return MLS_OK;
        }
    return mls_fail(err, MLS_E_ARG, "--serve %s: no such class%s", text,
                    mls_suggest(text, words, suggestion));
}

/* The model's own keys and values of every KV head, or what it has in their place. */
static bool is_own_cache(const mls_cache_layer *layer, const mls_layer_shape *own)
{
    bool keys = false, values = false;

    if (own->kind == MLS_LAYER_RECURRENT || own->kind == MLS_LAYER_NONE)
        return true;
    if (layer->shares_other)
        return own->reads_other;
    for (size_t i = 0; i < layer->n_parts; i++) {
        const mls_cache_part *p = &layer->part[i];
        const bool all = p->count == own->G && !p->shared;

        keys |= all && p->kind == MLS_PART_KEY && p->n == own->K;
        values |= all && p->kind == MLS_PART_VALUE && p->n == own->V;
    }
    return layer->n_parts == 2 && keys && values;
}

/* 16 bits, or the 8-bit floats that MLA kernels read. */
static bool kernels_read(const mls_quant *q)
{
    char name[MLS_QUANT_NAME];

    return !q->format || strncmp(mls_quant_name(q, name, sizeof name), "fp8", 3) == 0;
}

/*
 * How many rows of one latent and one rope key a token has, each for as many heads, of
 * every token; 0: it is not made of such rows.
 */
static size_t mla_rows(const mls_cache_layer *layer, const mls_config *c)
{
    const size_t n = layer->part[0].count;
    bool latent = false, rope = false;

    for (size_t i = 0; i < layer->n_parts; i++) {
        const mls_cache_part *p = &layer->part[i];

        if (p->count != n || !(p->shared || n == c->G) || !kernels_read(&p->quant))
            return 0;
        latent |= p->kind == MLS_PART_LATENT;
        rope |= p->kind == MLS_PART_ROPE_KEY;
    }
    return layer->n_parts == 2 && latent && rope && !layer->window &&
                   !layer->uneven_rope && !layer->foreign_norm &&
                   !layer->shares_other && layer->token_budget >= 1
               ? n
               : 0;
}

static bool same_part(const mls_cache_part *a, const mls_cache_part *b)
{
    return a->kind == b->kind && a->n == b->n && a->count == b->count &&
           a->quant.format == b->quant.format && a->quant.bits == b->quant.bits;
}

static bool layers_alike(const mls_cache_layout *layout)
{
    const mls_cache_layer *first = &layout->layer[0];

    for (size_t l = 1; l < layout->L; l++) {
        const mls_cache_layer *layer = &layout->layer[l];

        if (layer->n_parts != first->n_parts || layer->window != first->window)
            return false;
        for (size_t i = 0; i < layer->n_parts; i++)
            if (!same_part(&layer->part[i], &first->part[i]))
                return false;
    }
    return true;
}

/* Quantizers of our own are in no project's code. */
static bool quantized(const mls_cache_layout *layout)
{
    for (size_t l = 0; l < layout->L; l++)
        for (size_t i = 0; i < layout->layer[l].n_parts; i++)
            if (layout->layer[l].part[i].quant.format)
                return true;
    return false;
}

mls_serve mls_serve_of(const mls_cache_layout *layout, const mls_config *config,
                       mls_serve project)
{
    const size_t rows = mla_rows(&layout->layer[0], config);
    bool own = true, mla = rows > 0, transformers;

    transformers = config->rope.type != MLS_ROPE_DEFAULT && !config->mla_kv_lora_rank;
    for (size_t l = 0; l < layout->L; l++) {
        own = own && is_own_cache(&layout->layer[l], &config->layer[l]);
        mla = mla && mla_rows(&layout->layer[l], config) == rows;
        transformers |= layout->layer[l].biased;
    }
    if (own)
        return MLS_SERVE_CACHE;
    for (size_t l = 0; l < layout->L; l++)
        if (mls_latent_ours(config, l))
            return MLS_SERVE_OWN_KERNEL;
    if (project != MLS_SERVE_OWN_KERNEL && !quantized(layout) &&
        (!mls_serve_uniform(project) || layers_alike(layout)))
        return project;
    if (!mla || !layers_alike(layout))
        return MLS_SERVE_OWN_KERNEL;
    return rows > 1 ? MLS_SERVE_SPLIT
                    : (transformers ? MLS_SERVE_TRANSFORMERS : MLS_SERVE_MLA);
}

mls_serve mls_serve_usual(const mls_config *config)
{
    return config->rope.type != MLS_ROPE_DEFAULT || config->qkv_bias || config->o_bias
               ? MLS_SERVE_TRANSFORMERS
               : MLS_SERVE_MLA;
}

double mls_serve_head(mls_serve s, const mls_config *config)
{
    const bool deepseek = s == MLS_SERVE_MLA || s == MLS_SERVE_TRANSFORMERS;

    return deepseek && config->tied_embeddings && !config->mla_kv_lora_rank
               ? (double)config->V * (double)config->E
               : 0;
}

bool mls_serve_uniform(mls_serve s)
{
    return s == MLS_SERVE_MLA || s == MLS_SERVE_TRANSFORMERS || s == MLS_SERVE_SPLIT ||
           s == MLS_SERVE_MHA2MLA || s == MLS_SERVE_ELITEKV;
}

bool mls_serve_is_gqla(mls_serve s, const mls_config *config)
{
    return (s == MLS_SERVE_MLA || s == MLS_SERVE_TRANSFORMERS) && config->G > 1 &&
           config->G < config->H && !config->mla_kv_lora_rank;
}
