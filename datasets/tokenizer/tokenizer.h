/* Tokenizers of Hugging Face (tokenizer.json, BPE) and of GGUF files: text to ids. */
#ifndef MLS_TOKENIZER_H
#define MLS_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

/** Read-only after opening, but encoding uses inner scratch: one thread at a time. */
typedef struct mls_tokenizer mls_tokenizer;

/**
 * @param path      tokenizer.json, tokenizer.model (SentencePiece's BPE), a folder that
 *                  holds one of them, or a GGUF file: then its
 *                  own vocabulary, or a tokenizer.json beside it where that is not done
 * @param[out] out  release with mls_tokenizer_close(); NULL on error
 * @return MLS_OK, MLS_E_INPUT (missing, broken, or a part that we do not do, by name),
 *         MLS_E_NOMEM
 */
mls_status mls_tokenizer_open(mls_tokenizer **out, const char *path, mls_err *err);

/**
 * The same from the bytes of a tokenizer.json; name begins the sentence of an error.
 */
mls_status mls_tokenizer_parse(mls_tokenizer **out, const char *data, size_t len,
                               const char *name, mls_err *err);
void mls_tokenizer_close(mls_tokenizer *tok); /* NULL is accepted */

size_t mls_tokenizer_vocabulary(const mls_tokenizer *tok); /* largest id + 1 */
const char *mls_tokenizer_sha256(const mls_tokenizer *tok);

/**
 * @param text      len bytes of UTF-8 (MLS_E_INPUT with the offset when it is not)
 * @param special   run the post-processor, which adds BOS and the like
 * @param[out] ids  released by the caller with free(); NULL on error
 */
mls_status mls_tokenizer_encode(mls_tokenizer *tok, const char *text, size_t len,
                                bool special, int32_t **ids, size_t *n, mls_err *err);

/** What the post-processor puts before a text, as BOS (n ids, often 0). Borrowed. */
const int32_t *mls_tokenizer_first(const mls_tokenizer *tok, size_t *n);

/** Share of n ids that are single bytes of characters without a token; 0..1. */
double mls_tokenizer_byte_share(const mls_tokenizer *tok, const int32_t *ids, size_t n);

/** The vocabulary's own spelling of an id; NULL when no token has it. Borrowed. */
const char *mls_tokenizer_token(const mls_tokenizer *tok, int32_t id);

#endif
