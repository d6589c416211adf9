/* The config.json that a GGUF model would have: one reader of configs serves both. */
#ifndef MLS_GGUF_CONFIG_H
#define MLS_GGUF_CONFIG_H

#include "datasets/files/gguf_parts.h"

/**
 * Hugging Face's keys from metadata and tensors. What the model's family leaves out of
 * its metadata llama.cpp fills in, and so does this: a key of the architecture that is
 * not understood goes in as it is, so that the model is sized but not computed.
 *
 * @param[out] json  released with free(); NULL on error
 * @return MLS_OK, MLS_E_INPUT (a key is missing, of another type or says what cannot be
 *         said in config.json: the key is named), MLS_E_IO or MLS_E_NOMEM
 */
mls_status mls_gguf_config(const mls_gguf_parts *p, char **json, size_t *len,
                           mls_err *err);

#endif
