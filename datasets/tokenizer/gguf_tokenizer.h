/* The tokenizer.json that a GGUF file's vocabulary would have. */
#ifndef MLS_GGUF_TOKENIZER_H
#define MLS_GGUF_TOKENIZER_H

#include "datasets/files/gguf.h"

/**
 * From tokenizer.ggml.model "gpt2" (byte-level BPE: merges, and by tokenizer.ggml.pre
 * how text is cut) and "llama" (SentencePiece's BPE: merges from the scores, as Hugging
 * Face converts tokenizer.model).
 *
 * @param[out] json  released with free(); NULL on error
 * @return MLS_OK, MLS_E_INPUT (a key is missing or of another type, a model or a pre
 *         that is not done, a token that is empty, given twice or not UTF-8: named) or
 *         MLS_E_NOMEM
 */
mls_status mls_gguf_tokenizer(const mls_gguf *f, char **json, size_t *len,
                              mls_err *err);

#endif
