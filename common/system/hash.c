/*
 * SHA-256 says what something is (a model, a text), XXH3 whether a file is still what
 * was written: far quicker, and no protection against intent.
 */
#include "common/system/hash.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/system/files.h"

struct mls_sha256 {
    EVP_MD_CTX *ctx;
};

mls_status mls_sha256_new(mls_sha256 **out, mls_err *err)
{
    mls_sha256 *h = calloc(1, sizeof *h);

    *out = NULL;
    if (h)
        h->ctx = EVP_MD_CTX_new();
    if (!h || !h->ctx || !EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL)) {
        mls_sha256_free(h);
        return mls_fail(err, MLS_E_NOMEM, "no memory for a SHA-256 digest");
    }
    *out = h;
    return MLS_OK;
}

void mls_sha256_free(mls_sha256 *h)
{
    if (!h)
        return;
    EVP_MD_CTX_free(h->ctx);
    free(h);
}

void mls_sha256_add(mls_sha256 *h, const void *data, size_t n)
{
    EVP_DigestUpdate(h->ctx, data, n);
}

void mls_sha256_hex(mls_sha256 *h, char hex[MLS_SHA256_HEX])
{
    unsigned char digest[32];

    EVP_DigestFinal_ex(h->ctx, digest, NULL);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

mls_status mls_sha256_file(const char *path, char hex[MLS_SHA256_HEX], mls_err *err)
{
    mls_status st = MLS_OK;
    mls_sha256 *h = NULL;
    unsigned char *piece = malloc(1 << 20);
    ssize_t n;
    int fd;

    st = mls_file_open(path, &fd, NULL, err);
    if (st)
        goto done;
    if (!piece) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory to read %s", path);
        goto done;
    }
    st = mls_sha256_new(&h, err);
    if (st)
        goto done;
    while ((n = read(fd, piece, 1 << 20)) > 0 || (n < 0 && errno == EINTR))
        if (n > 0)
            mls_sha256_add(h, piece, (size_t)n);
    if (n < 0) {
        st = mls_fail(err, MLS_E_IO, "%s: %s", path, strerror(errno));
        goto done;
    }
    mls_sha256_hex(h, hex);

done:
    mls_sha256_free(h);
    if (fd >= 0)
        close(fd);
    free(piece);
    return st;
}

uint64_t mls_xxh3(const void *data, size_t n)
{
    return XXH3_64bits(data, n);
}

/* Only the streaming interface calls need the state, which wants its own alignment. */
struct mls_xxh3_stream {
    XXH3_state_t *state;
};

mls_xxh3_stream *mls_xxh3_stream_new(void)
{
    mls_xxh3_stream *x = calloc(1, sizeof *x);

    if (x)
        x->state = XXH3_createState();
    if (x && x->state)
        XXH3_64bits_reset(x->state);
    if (x && !x->state) {
        free(x);
        x = NULL;
    }
    return x;
}

void mls_xxh3_stream_free(mls_xxh3_stream *x)
{
    if (!x)
        return;
    XXH3_freeState(x->state);
    free(x);
}

void mls_xxh3_stream_add(mls_xxh3_stream *x, const void *data, size_t n)
{
    XXH3_64bits_update(x->state, data, n);
}

uint64_t mls_xxh3_stream_digest(const mls_xxh3_stream *x)
{
    return XXH3_64bits_digest(x->state);
}

mls_status mls_xxh3_fd(int fd, const char *name, uint64_t offset, uint64_t *hash,
                       uint64_t *n_bytes, mls_err *err)
{
    enum { PIECE = 1 << 20 };
    mls_status st = MLS_OK;
    mls_xxh3_stream *x = mls_xxh3_stream_new();
    unsigned char *piece = malloc(PIECE);
    ssize_t n = 1;

    *n_bytes = 0;
    if (!x || !piece)
        st = mls_fail(err, MLS_E_NOMEM, "no memory to read %s", name);
    while (!st && n > 0) {
        do
            n = pread(fd, piece, PIECE, (off_t)(offset + *n_bytes));
        while (n < 0 && errno == EINTR);
        if (n < 0) {
            st = mls_fail(err, MLS_E_IO, "%s: %s", name, strerror(errno));
        } else {
            mls_xxh3_stream_add(x, piece, (size_t)n);
            *n_bytes += (uint64_t)n;
        }
    }
    if (!st)
        *hash = mls_xxh3_stream_digest(x);
    free(piece);
    mls_xxh3_stream_free(x);
    return st;
}

mls_status mls_xxh3_file(const char *path, uint64_t offset, uint64_t *hash,
                         uint64_t *n_bytes, mls_err *err)
{
    int fd;
    mls_status st = mls_file_open(path, &fd, NULL, err);

    *n_bytes = 0;
    if (st)
        return st;
    st = mls_xxh3_fd(fd, path, offset, hash, n_bytes, err);
    close(fd);
    return st;
}
