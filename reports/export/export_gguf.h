/* Keys of a GGUF file that is written: bytes as they stand in its header. */
#ifndef MLS_EXPORT_GGUF_H
#define MLS_EXPORT_GGUF_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/status.h"
#include "datasets/files/gguf.h"
#include "reports/export/export_inner.h"

typedef struct mls_gguf_keys {
    mls_buf bytes; /* release with mls_buf_free() */
    uint64_t n;
} mls_gguf_keys;

void mls_gguf_put_u32(mls_buf *b, uint32_t x);
void mls_gguf_put_u64(mls_buf *b, uint64_t x);
void mls_gguf_put_string(mls_buf *b, const char *text, size_t len);

void mls_gguf_key_u32(mls_gguf_keys *k, const char *key, size_t x);
void mls_gguf_key_f32(mls_gguf_keys *k, const char *key, double x);
void mls_gguf_key_text(mls_gguf_keys *k, const char *key, const char *text);

/**
 * The model's tokenizer; without one that llama.cpp knows the file has no vocabulary,
 * and the README says why. MLS_E_NOMEM.
 */
mls_status mls_gguf_key_tokenizer(mls_gguf_keys *k, mls_export_work *w, mls_err *err);

#endif
