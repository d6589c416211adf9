#include "datasets/checkpoint/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/checked.h"
#include "common/system/files.h"
#include "common/system/hash.h"

/* SHA-256 of a file of `size` bytes; *done counts on over all files. */
static mls_status hash_file(const char *path, const char *name, uint64_t *done,
                            double total, char hex[65], const mls_progress *progress,
                            mls_err *err)
{
    enum { PIECE = 1 << 20 };
    unsigned char *piece = malloc(PIECE);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    mls_sha256 *h = NULL;
    mls_status st = mls_sha256_new(&h, err);

    if (!st && !piece)
        st = mls_fail(err, MLS_E_NOMEM, "no memory to read %s", path);
    if (!st && fd < 0)
        st = mls_fail(err, MLS_E_INPUT, "%s: %s", path, strerror(errno));
    while (!st) {
        const ssize_t got = read(fd, piece, PIECE);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            st = mls_fail(err, MLS_E_IO, "%s: %s", path, strerror(errno));
        if (got <= 0)
            break;
        mls_sha256_add(h, piece, (size_t)got);
        *done += (uint64_t)got;
        st = mls_progress_step(progress, name, (double)*done, total, err);
    }
    if (!st)
        mls_sha256_hex(h, hex);
    mls_sha256_free(h);
    if (fd >= 0)
        close(fd);
    free(piece);
    return st;
}

static mls_status file_size(const char *path, uint64_t *size, mls_err *err)
{
    struct stat s;

    if (stat(path, &s))
        return mls_fail(err, MLS_E_INPUT, "%s: %s", path, strerror(errno));
    *size = (uint64_t)s.st_size;
    return MLS_OK;
}

/*
 * The list has one line "name size sha256" per file. Names sort config.json before
 * model*.safetensors when bytes are compared, and shards are sorted already; a shard
 * that sorts before config.json takes its place, so that the order is that of the
 * names.
 */
mls_status mls_checkpoint_sha256_shards(const mls_checkpoint *c, char hex[65],
                                        char (*shards)[65],
                                        const mls_progress *progress, mls_err *err)
{
    mls_sha256 *h = NULL;
    mls_buf list = {0};
    uint64_t size = 0, done = 0;
    double total = 0;
    bool config_listed = mls_checkpoint_gguf(c) != NULL; /* it is in the file */
    size_t config_len;
    mls_status st = MLS_OK;

    mls_checkpoint_config_json(c, &config_len);
    for (size_t i = 0; !st && i < mls_checkpoint_shards(c); i++) {
        st = file_size(mls_checkpoint_shard_path(c, i), &size, err);
        total += (double)size;
    }
    for (size_t i = 0; !st && i <= mls_checkpoint_shards(c); i++) {
        if (!config_listed &&
            (i == mls_checkpoint_shards(c) ||
             strcmp("config.json", mls_checkpoint_shard_name(c, i)) < 0)) {
            mls_buf_printf(&list, "config.json %zu %s\n", config_len,
                           mls_checkpoint_config(c)->sha256);
            config_listed = true;
        }
        if (st || i == mls_checkpoint_shards(c))
            break;
        if (!(st = file_size(mls_checkpoint_shard_path(c, i), &size, err)))
            st = hash_file(mls_checkpoint_shard_path(c, i),
                           mls_checkpoint_shard_name(c, i), &done, total, shards[i],
                           progress, err);
        if (mls_checkpoint_gguf(c)) /* people rename these files */
            mls_buf_printf(&list, "%zu", i + 1);
        else
            mls_buf_puts(&list, mls_checkpoint_shard_name(c, i));
        mls_buf_printf(&list, " %llu %s\n", (unsigned long long)size, shards[i]);
    }
    if (!st && list.failed)
        st = mls_fail(err, MLS_E_NOMEM, "no memory to hash %s",
                      mls_checkpoint_folder(c));
    if (!st && !(st = mls_sha256_new(&h, err))) {
        mls_sha256_add(h, list.data, list.len);
        mls_sha256_hex(h, hex);
    }
    mls_sha256_free(h);
    mls_buf_free(&list);
    return st;
}

mls_status mls_checkpoint_sha256(const mls_checkpoint *c, char hex[65],
                                 const mls_progress *progress, mls_err *err)
{
    char(*shards)[65] = mls_calloc3(mls_checkpoint_shards(c), 1, 1, sizeof *shards);
    mls_status st = shards ? MLS_OK
                           : mls_fail(err, MLS_E_NOMEM, "no memory to hash %s",
                                      mls_checkpoint_folder(c));

    if (!st)
        st = mls_checkpoint_sha256_shards(c, hex, shards, progress, err);
    free(shards);
    return st;
}
