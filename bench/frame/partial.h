/*
 * Partial RoPE per KV head, the rest in latents: the frame of MHA2MLA and EliteKV.
 *
 * The rows of a head's keys fall in two parts: "rope" rows of the chunks that keep
 * their rotation and "nope" rows of the others, in each part first dims c, then dims c
 * + C, chunks ascending. A query head's rows are split alike.
 */
#ifndef MLS_PARTIAL_H
#define MLS_PARTIAL_H

#include <stdbool.h>
#include <stddef.h>

#include "analysis/frequency/select_rules.h"
#include "analysis/frequency/selection.h"
#include "analysis/latent/latent.h"
#include "analysis/model/model.h"
#include "bench/frame/lowrank.h"
#include "bench/frame/method.h"
#include "common/base/status.h"

/**
 * Dims of head g, 0..D-1.
 * @param[out] rope  (2 count[g])
 * @param[out] nope  (D - 2 count[g])
 */
void mls_partial_dims(const mls_selection *s, size_t g, size_t *rope, size_t *nope);

/** What a setting says about rotation and latents: the parameters of these methods. */
typedef struct mls_partial {
    char rule[MLS_SETTING_WORD]; /* of select_rules.h, or file:PATH (rankfile.h) */
    size_t scope;                /* mls_scope: where `chunks` are counted on average */
    size_t chunks;               /* per KV head */
    size_t joint;                /* numbers of one latent of keys and values; 0: none */
    size_t rank[MLS_SIDES];      /* of a latent of one side of all heads; 0: each head
                                    caches that side as it is */
} mls_partial;

/**
 * Rows of a key table: `rope`, `chunks` and `scope`, into the mls_partial that a struct
 * begins with.
 * @param rule     the rule without a key
 * @param usually  chunks without a key: a function of the config, and its formula
 */
#define MLS_PARTIAL_KEYS(usual_rule, usually, formula)                                 \
    {"rope",                                                                           \
     MLS_KEY_TEXT,                                                                     \
     offsetof(mls_partial, rule),                                                      \
     .hint = "RULE",                                                                   \
     .text = (usual_rule),                                                             \
     .help = "which chunks keep their rotation; file:PATH: by a rank file"},           \
        {"chunks",                                                                     \
         MLS_KEY_SIZE,                                                                 \
         offsetof(mls_partial, chunks),                                                \
         .hint = "N",                                                                  \
         .help = "how many, per KV head",                                              \
         .most = MLS_DIM_MAX,                                                          \
         .otherwise = (usually),                                                       \
         .said = (formula),                                                            \
         .limit = mls_partial_chunks,                                                  \
         .what = "the chunks of a head",                                               \
         .bound = "C"},                                                                \
    {                                                                                  \
        "scope", MLS_KEY_WORD, offsetof(mls_partial, scope),                           \
            .words = mls_scope_words, .help = "where so many are kept on average",     \
            .by_head = true                                                            \
    }
size_t mls_partial_chunks(const mls_config *config, const void *params);
extern const char *const mls_scope_words[];

/** Members of a method that begins its parameters with a mls_partial. */
#define MLS_PARTIAL_METHOD                                                             \
    .exact = true, .identity = true, .fits_need_data = true,                           \
    .shape = mls_partial_shape, .prepare = mls_partial_prepare,                        \
    .release = mls_partial_release, .build = mls_partial_build

/* These. A prepared holds the selections of scope=layer and global. */
mls_status mls_partial_shape(mls_latent_form *f, const mls_config *config,
                             const mls_parsed *parsed, const void *prepared, size_t l,
                             mls_err *err);
mls_status mls_partial_prepare(const mls_method_input *in, const mls_parsed *parsed,
                               void **prepared, mls_err *err);
void mls_partial_release(void *prepared); /* NULL is accepted */
mls_status mls_partial_build(const mls_method_input *in, const mls_parsed *parsed,
                             const void *prepared, const mls_layer *layer,
                             const mls_layer_stats *stats, mls_latent_form *f,
                             mls_err *err);

/**
 * The chunks that a rule of select_rules.h or file:PATH, a rank file of MHA2MLA or
 * EliteKV (rankfile.h), keeps; none in a layer that does not rotate. Release with
 * mls_selection_free().
 *
 * @param method  for messages
 * @param chunks  per KV head
 * @param stats   of the layer; may be NULL for rules that need no data
 */
mls_status mls_partial_select(mls_selection *out, const char *method,
                              const mls_method_input *in, const char *rule,
                              size_t chunks, const mls_layer *layer,
                              const mls_layer_stats *stats, mls_err *err);

/**
 * Is it a rule of select_rules.h, or file:PATH with a rank file that gives every
 * layer's heads the chunks that they keep? MLS_E_ARG, MLS_E_INPUT or what reading said.
 */
mls_status mls_partial_rule(const char *method, const char *rule,
                            const mls_config *config, mls_err *err);

/**
 * The shape of a form whose heads rotate some chunks, n_latents to be placed.
 * @param count  (G) chunks that each KV head rotates
 */
mls_status mls_partial_begin(mls_latent_form *f, const mls_config *config, size_t l,
                             const size_t *count, size_t n_latents, mls_err *err);

/**
 * Room for the numbers; rope keys and queries of the selection.
 * @return MLS_OK, MLS_E_INPUT (QK-norm, which cannot be absorbed) or MLS_E_NOMEM
 */
mls_status mls_partial_start(mls_latent_form *f, const mls_config *config,
                             const mls_layer *layer, const mls_selection *s,
                             mls_err *err);

#endif
