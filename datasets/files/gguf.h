/* GGUF files, llama.cpp's: metadata and tensors, read with every rule checked. */
#ifndef MLS_GGUF_H
#define MLS_GGUF_H

#include "datasets/files/gguf_header.h"

/** One open file. Reading different tensors from several threads is allowed. */
typedef struct mls_gguf mls_gguf;

/** A regular file that begins with the letters GGUF, whatever its name. */
bool mls_gguf_is(const char *path);

/**
 * Open a file and check its header (mls_gguf_header_parse() says what).
 *
 * @param[out] out  release with mls_gguf_close(); NULL on error
 * @return MLS_OK, MLS_E_INPUT (the message names file, offset, key or tensor, found,
 *         expected), MLS_E_IO or MLS_E_NOMEM
 */
mls_status mls_gguf_open(mls_gguf **out, const char *path, mls_err *err);
void mls_gguf_close(mls_gguf *f); /* NULL is accepted */

/** Metadata and tensors; borrowed. */
const mls_gguf_header *mls_gguf_head(const mls_gguf *f);
const char *mls_gguf_path(const mls_gguf *f);
uint64_t mls_gguf_size(const mls_gguf *f); /* bytes of the file */
/** n bytes of the file from offset on, as it was opened. */
mls_status mls_gguf_bytes(const mls_gguf *f, uint64_t offset, size_t n, void *out,
                          mls_err *err);

/** Whether mls_gguf_read_f32() reads a tensor's type. */
bool mls_gguf_reads(const mls_tensor_info *t);

/**
 * Read elements first .. first+n-1 of a tensor as float, blocks decoded.
 *
 * @param t         a tensor of f
 * @param[out] out  (n)
 * @return MLS_OK, MLS_E_INPUT (a type that is not decoded, a range outside the tensor,
 *         a file that was changed), MLS_E_IO or MLS_E_NOMEM
 */
mls_status mls_gguf_read_f32(const mls_gguf *f, const mls_tensor_info *t,
                             uint64_t first, size_t n, float *out, mls_err *err);

/** Read raw bytes of a tensor, a byte range within it. */
mls_status mls_gguf_read_raw(const mls_gguf *f, const mls_tensor_info *t,
                             uint64_t first_byte, size_t n, void *out, mls_err *err);

/*
 * Metadata. A key that is missing leaves *out alone and returns MLS_OK, unless a
 * function says otherwise; one of another type is MLS_E_INPUT and named.
 */

bool mls_gguf_has(const mls_gguf *f, const char *key);

/** A whole number of 0 or more, of any integer type. */
mls_status mls_gguf_whole(const mls_gguf *f, const char *key, uint64_t *out,
                          mls_err *err);
/** The same for item i of an array; MLS_E_INPUT when it has no such item. */
mls_status mls_gguf_whole_at(const mls_gguf *f, const char *key, uint64_t i,
                             uint64_t *out, mls_err *err);
/** A finite f32 or f64: an f32 as the shortest decimal that rounds to it (1e-05). */
mls_status mls_gguf_real(const mls_gguf *f, const char *key, double *out, mls_err *err);
mls_status mls_gguf_bool(const mls_gguf *f, const char *key, bool *out, mls_err *err);
/** A string of UTF-8 without NUL. @param[out] out  released with free() */
mls_status mls_gguf_text(const mls_gguf *f, const char *key, char **out, mls_err *err);

/** The array of a key, all elements of one type; *out = NULL when it is missing. */
mls_status mls_gguf_array(const mls_gguf *f, const char *key, mls_gguf_type type,
                          const mls_gguf_value **out, mls_err *err);

/** Walks the strings of an array from front to back; starts as {0}. */
typedef struct mls_gguf_walk {
    size_t at;
} mls_gguf_walk;
/** The next string, borrowed, without NUL; at most v->n times. */
const char *mls_gguf_next_string(const mls_gguf_value *v, mls_gguf_walk *walk,
                                 size_t *len);

#endif
