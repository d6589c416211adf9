/* Identity (SHA-256, libcrypto) and quick integrity (XXH3, libxxhash) of bytes. */
#ifndef MLS_HASH_H
#define MLS_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

enum { MLS_SHA256_HEX = 65 }; /* 64 digits and a NUL */

typedef struct mls_sha256 mls_sha256;

/** @param[out] out  release with mls_sha256_free(); NULL on error */
mls_status mls_sha256_new(mls_sha256 **out, mls_err *err);
void mls_sha256_free(mls_sha256 *h); /* NULL is accepted */
void mls_sha256_add(mls_sha256 *h, const void *data, size_t n);
/** Digest of all bytes added, as lower-case hex; the object can then only be freed. */
void mls_sha256_hex(mls_sha256 *h, char hex[MLS_SHA256_HEX]);

/** SHA-256 of a whole file, read in pieces. */
mls_status mls_sha256_file(const char *path, char hex[MLS_SHA256_HEX], mls_err *err);

/** XXH3 with 64 bits. */
uint64_t mls_xxh3(const void *data, size_t n);

/** The same over bytes that come in pieces. */
typedef struct mls_xxh3_stream mls_xxh3_stream;

/** Release with mls_xxh3_stream_free(); NULL when memory is short. */
mls_xxh3_stream *mls_xxh3_stream_new(void);
void mls_xxh3_stream_free(mls_xxh3_stream *x); /* NULL is accepted */
void mls_xxh3_stream_add(mls_xxh3_stream *x, const void *data, size_t n);
/** XXH3 of all bytes added so far; more may follow. */
uint64_t mls_xxh3_stream_digest(const mls_xxh3_stream *x);

/** XXH3 of an open file's bytes from offset to its end; name is for the message. */
mls_status mls_xxh3_fd(int fd, const char *name, uint64_t offset, uint64_t *hash,
                       uint64_t *n_bytes, mls_err *err);
/** XXH3 of a file's bytes from offset to its end, and how many these are. */
mls_status mls_xxh3_file(const char *path, uint64_t offset, uint64_t *hash,
                         uint64_t *n_bytes, mls_err *err);

#endif
