/* A GGUF model: one file, or all of the files that llama-gguf-split made of it. */
#ifndef MLS_GGUF_PARTS_H
#define MLS_GGUF_PARTS_H

#include "datasets/files/gguf.h"

typedef struct mls_gguf_parts {
    mls_gguf **part; /* (n); the first has the metadata */
    size_t n;
} mls_gguf_parts;

/**
 * Open the file and, where it says that it is the first of several, the others beside
 * it: NAME-00001-of-0000N.gguf. Numbers and tensor counts must agree.
 *
 * @param[out] out  starts as {0}; release with mls_gguf_parts_close(), also on error
 * @return MLS_OK, MLS_E_INPUT (a part is missing, is another one's, or path is not the
 *         first: the names are given), MLS_E_IO or MLS_E_NOMEM
 */
mls_status mls_gguf_parts_open(mls_gguf_parts *out, const char *path, mls_err *err);
void mls_gguf_parts_close(mls_gguf_parts *p);

/** NULL when no part has it. @param[out] part  may be NULL */
const mls_tensor_info *mls_gguf_parts_find(const mls_gguf_parts *p, const char *name,
                                           const mls_gguf **part);

#endif
