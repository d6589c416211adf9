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

/** Fill conv_numbers and state_numbers of the layers that have a state. */
mls_status mls_layers_states(mls_layers_reader *r);

#endif
