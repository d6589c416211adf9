/* GGUF files put together piece by piece, sound and broken. */
#ifndef MLS_TESTS_GGUF_FIXTURE_H
#define MLS_TESTS_GGUF_FIXTURE_H

#include "common/base/buf.h"
#include "datasets/files/gguf_header.h"
#include "tests/support/safetensors_fixture.h"

/* A file under way: keys, tensor infos and data grow apart. Release: gguf_free(). */
typedef struct gguf_file {
    mls_buf keys, infos, data;
    uint64_t n_keys, n_tensors;
    uint32_t version;   /* 0: 3 */
    uint64_t alignment; /* 0: 32; only pads, the key is another matter */
} gguf_file;

void put_u32(mls_buf *b, uint64_t x);
void put_u64(mls_buf *b, uint64_t x);
void put_string(mls_buf *b, const char *text);
void gguf_key(gguf_file *g, const char *key, mls_gguf_type type);
void gguf_u32(gguf_file *g, const char *key, uint32_t x);
void gguf_f32(gguf_file *g, const char *key, float x);
void gguf_bool(gguf_file *g, const char *key, bool x);
void gguf_text(gguf_file *g, const char *key, const char *x);

/* The elements follow by put_...(&g->keys, ...). */
void gguf_array(gguf_file *g, const char *key, mls_gguf_type type, uint64_t n);

/* dims in ggml's order; the data are n bytes. */
void gguf_tensor(gguf_file *g, const char *name, uint32_t type, size_t dims,
                 const uint64_t *ne, const void *data, size_t n);

/* The whole file. Release: mls_buf_free(). */
mls_buf gguf_bytes(const gguf_file *g);
void gguf_save(const gguf_file *g, const char *path);
void gguf_free(gguf_file *g);

#endif
