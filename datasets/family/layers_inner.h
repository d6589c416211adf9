/* What the parts of the layers' reader share; include layers.h from elsewhere. */
#ifndef MLS_LAYERS_INNER_H
#define MLS_LAYERS_INNER_H

#include "datasets/family/layers.h"

typedef struct mls_layers_reader {
    const mls_facts *k;
    const char *model_type; /* of transformers: what it is like */
    const mls_layer_rule *rule;
    mls_layers *out;
    bool whole;
    size_t window, chunk;        /* 0: none */
    char letter[MLS_LAYERS_MAX]; /* mls_layer_letter of each */
    bool moves[MLS_LAYERS_MAX];  /* turns its keys */
} mls_layers_reader;

/** What a layer's attention may be given apart from the others. */
typedef struct mls_heads {
    size_t H, G, K, V;
    size_t latent, nope, rope; /* MLA */
} mls_heads;

/** Remember the first doubt. */
void mls_layers_doubt(mls_layers *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** The key exists for this class, or nobody knows the class. */
bool mls_layers_has(const mls_layers_reader *r, const char *key);

/** Fill r->window, r->chunk, r->letter and r->moves. */
mls_status mls_layers_order(mls_layers_reader *r);

/** Fill r->window and r->chunk. */
mls_status mls_layers_window(mls_layers_reader *r);
/** The letters agree with the window and with what the class reads, or are refused. */
mls_status mls_layers_windowed(mls_layers_reader *r);

/** Fill heads and dims of every layer, by its letter. */
mls_status mls_layers_heads(mls_layers_reader *r);

/** A key's number for all layers, or that of layer l where it is a list. */
mls_status mls_layers_number(const mls_layers_reader *r, const char *key, size_t l,
                             size_t min, size_t max, size_t *out);
/** A member of an object that a key holds; *out stays when it is missing or null. */
mls_status mls_layers_member(const mls_layers_reader *r, const json_t *object,
                             const char *name, size_t min, size_t max, size_t *out);
/** Overwrite in h what layer l says of itself, r->letter[l] if it has no attention. */
mls_status mls_layers_own_heads(mls_layers_reader *r, size_t l, mls_heads *h);

/** Fill conv_numbers and state_numbers of the layers that have a state. */
mls_status mls_layers_states(mls_layers_reader *r);

#endif
