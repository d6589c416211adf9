/* What parts of the writer of config.json share; include gguf_config.h elsewhere. */
#ifndef MLS_GGUF_CONFIG_INNER_H
#define MLS_GGUF_CONFIG_INNER_H

#include <jansson.h>

#include "datasets/checkpoint/gguf_config.h"
#include "datasets/checkpoint/gguf_names.h"

typedef struct mls_gguf_writer {
    const mls_gguf_parts *p;
    const mls_gguf *f; /* the first part */
    char *arch;
    const mls_gguf_family *family; /* NULL: unknown */
    const char *model_type;        /* "" before it is known */
    json_t *out;
    uint64_t L, E, H, D; /* as far as they are read */
    uint64_t nextn;      /* blocks behind the L that predict further tokens */
    uint64_t rope_dims;
    bool is_mla;
    char key[128]; /* of the last mls_gguf_key() */
    mls_err *err;
} mls_gguf_writer;

/** "llama.block_count" of "block_count", until the next call. */
const char *mls_gguf_key(mls_gguf_writer *w, const char *name);

mls_status mls_gguf_missing(mls_gguf_writer *w, const char *name);
bool mls_gguf_has_tensor(const mls_gguf_writer *w, const char *name);
/** Whether any of the L layers has the tensor "blk.N." + rest. */
bool mls_gguf_has_in_layer(const mls_gguf_writer *w, const char *rest);

/** Members of the config. */
void mls_gguf_put_whole(mls_gguf_writer *w, const char *key, uint64_t x);
void mls_gguf_put_real(mls_gguf_writer *w, const char *key, double x);
void mls_gguf_put_bool(mls_gguf_writer *w, const char *key, bool x);
void mls_gguf_put_text(mls_gguf_writer *w, const char *key, const char *x);

mls_status mls_gguf_put_rope(mls_gguf_writer *w);
/** What layers keep beside keys and values, and what tells such layers apart. */
mls_status mls_gguf_put_state(mls_gguf_writer *w);
/** Whether layers without KV heads keep a state in this model_type. */
bool mls_gguf_has_states(const mls_gguf_writer *w);
/** Whether mls_gguf_put_state() reads the key, for this model_type. */
bool mls_gguf_state_reads(const mls_gguf_writer *w, const char *name);

#endif
