/* What the parts of the config reader share; include config.h from elsewhere. */
#ifndef MLS_CONFIG_READER_H
#define MLS_CONFIG_READER_H

#include <jansson.h>

#include "datasets/checkpoint/config.h"
#include "datasets/checkpoint/net_families.h"
#include "datasets/family/facts.h"

/**
 * One family of models: what its config.json leaves unsaid, as the model's class in
 * Hugging Face transformers fills it in. A new family is one row.
 */
typedef struct mls_family {
    const char *model_type;
    const char *unsupported; /* NULL: we compute it; else what we do not do, by key */
    bool qkv_bias;           /* q, k, v always have a bias */
    bool attention_bias;     /* the key attention_bias is honoured (q, k, v, o) */
    bool mlp_bias;           /* the key mlp_bias is honoured */
    bool qk_norm;            /* RMSNorm over D on q and k */
    bool no_rope;            /* no_rope_layers, no_rope_layer_interval are honoured */
    bool tied;               /* tie_word_embeddings when the key is missing */
} mls_family;

/** NULL when the family is not in the table. */
const mls_family *mls_family_find(const char *model_type);

/** Where values come from and errors go; every read names file and key. */
typedef struct mls_config_reader {
    const char *path;
    json_t *outer, *inner;     /* the file, its text_config (or the file again) */
    mls_facts keys;            /* of the text model, with the defaults of its class */
    const mls_family *family;  /* NULL: unknown */
    const mls_net_family *net; /* NULL: not computed */
    mls_config *config;
    mls_err *err;
} mls_config_reader;

/** The text model's value of a key, or its class's; NULL when missing or null. */
json_t *mls_config_get(const mls_config_reader *r, const char *key);

/**
 * Remember the first sentence that says why the forward pass does not do this model.
 */
void mls_config_unsupported(mls_config *config, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** value is the key's; a finite number in min..max, or MLS_E_INPUT naming the key. */
mls_status mls_config_real(const mls_config_reader *r, const char *key,
                           const json_t *value, double min, double max, double *out);

/** Fill config->net and the flags of biases and norms, by the family's row. */
mls_status mls_config_net(mls_config_reader *r);

/** Which layers turn, and by which of the two ropes. */
void mls_config_turn_layers(mls_config_reader *r);

/**
 * Fill config->rope and config->rope_local from rope_theta, rope_scaling and
 * rope_parameters.
 */
mls_status mls_config_rope(mls_config_reader *r);

/**
 * Look at every key of the file: those that change the computation, and unknown ones.
 */
void mls_config_judge_keys(mls_config_reader *r);

#endif
