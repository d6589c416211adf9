/* Who can serve a cache: which released code runs a form, seen from its structure. */
#ifndef MLS_SERVING_H
#define MLS_SERVING_H

#include "analysis/latent/size.h"
#include "common/base/status.h"
#include "datasets/checkpoint/config.h"

/** In the order in which answers are shown: what most programs run comes first. */
typedef enum mls_serve {
    MLS_SERVE_MLA, /* one latent and one shared rope key, absorbable: DeepSeek's
                          classes in transformers, vLLM, SGLang, and MLA kernels */
    MLS_SERVE_TRANSFORMERS, /* the same with biases or scaled RoPE: DeepSeek's class in
                               transformers alone */
    MLS_SERVE_SPLIT,   /* N such rows side by side, each of a group of heads: an MLA
                               kernel on each of N GPUs */
    MLS_SERVE_MHA2MLA, /* the project's own code, and so on */
    MLS_SERVE_ELITEKV,
    MLS_SERVE_X_ECOMLA,
    MLS_SERVE_OWN_KERNEL, /* rope keys per head, keys rotated after they are read back,
                             layers that differ: no released code */
    MLS_SERVE_CACHE,      /* the model's own keys and values: no conversion */
    MLS_SERVE_CLASSES
} mls_serve;

/**
 * "mla", "transformers", "split mla", "mha2mla", "elitekv", "x-ecomla", "own kernel",
 * "cache".
 */
const char *mls_serve_name(mls_serve s);
/** The same as one word for an option or a file name: "own-kernel". */
const char *mls_serve_word(mls_serve s);
/** Target of `mlascope export` with its options; NULL: there is nothing to export. */
const char *mls_serve_target(mls_serve s);
/** One line: what runs it. */
const char *mls_serve_means(mls_serve s);
/** "own-kernel" is taken, too. MLS_E_ARG names the nearest. */
mls_status mls_serve_parse(mls_serve *s, const char *text, mls_err *err);

/**
 * The class of what is cached. A project's class holds what its own code can make and
 * run on this model, so it cannot be seen from the bytes alone: the caller says it.
 *
 * @param project  the project whose code runs this setting, or MLS_SERVE_OWN_KERNEL
 */
mls_serve mls_serve_of(const mls_cache_layout *layout, const mls_config *config,
                       mls_serve project);

/** The class that conversions to MLA of this model fall into: its biases, its RoPE. */
mls_serve mls_serve_usual(const mls_config *config);

/**
 * Numbers that a converted model has beside its attention's: DeepSeek's classes tie no
 * head to the embedding, so an export of a model that does holds it twice.
 */
double mls_serve_head(mls_serve s, const mls_config *config);

/** Does a class take one shape for all layers (one kv_lora_rank in config.json)? */
bool mls_serve_uniform(mls_serve s);

/**
 * GQLA (arXiv 2605.15250): up-projections of each KV group, of which there is more than
 * one, so that the same weights run absorbed or read back per group. Every form of
 * class mla that we make of a grouped model is one.
 */
bool mls_serve_is_gqla(mls_serve s, const mls_config *config);

#endif
