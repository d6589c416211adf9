/* tokenizer.model: SentencePiece's file, as the tokenizer.json that it amounts to. */
#ifndef MLS_SPM_MODEL_H
#define MLS_SPM_MODEL_H

#include <stddef.h>

#include "common/base/status.h"

/**
 * @param[out] json  released with free(); NULL on error
 * @return MLS_OK, MLS_E_INPUT (not such a file; a word or char model or a setting that
 *         is not done: named) or MLS_E_NOMEM
 */
mls_status mls_spm_model(const char *data, size_t size, const char *name, char **json,
                         size_t *len, mls_err *err);

#endif
