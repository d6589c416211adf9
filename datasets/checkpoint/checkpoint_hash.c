/*
 * The identity of a model: what was read is hashed through the descriptors that the
 * tensors come from, so that a file that takes their place meanwhile changes nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/checked.h"
#include "common/system/hash.h"
#include "datasets/checkpoint/checkpoint_inner.h"

static uint64_t shard_size(const mls_checkpoint_shard_file *s)
{
    return s->gguf ? mls_gguf_size(s->gguf) : mls_safetensors_size(s->file);
}

/* SHA-256 of an open shard; *done counts on over all of them. */
static mls_status hash_shard(const mls_checkpoint_shard_file *s, uint64_t *done,
                             double total, char hex[65], const mls_progress *progress,
                             mls_err *err)
{
    enum { PIECE = 1 << 20 };
    const uint64_t size = shard_size(s);
    unsigned char *piece = malloc(PIECE);
    mls_sha256 *h = NULL;
    mls_status st = mls_sha256_new(&h, err);

    if (!st && !piece)
        st = mls_fail(err, MLS_E_NOMEM, "no memory to read %s", s->path);
    for (uint64_t at = 0; at < size && !st;) {
        const size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;

        st = s->gguf ? mls_gguf_bytes(s->gguf, at, n, piece, err)
                     : mls_safetensors_bytes(s->file, at, n, piece, err);
        if (st)
            break;
        mls_sha256_add(h, piece, n);
        at += n;
        *done += n;
        st = mls_progress_step(progress, s->name, (double)*done, total, err);
    }
    if (!st)
        mls_sha256_hex(h, hex);
    mls_sha256_free(h);
    free(piece);
    return st;
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
    uint64_t done = 0;
    double total = 0;
    bool config_listed = mls_checkpoint_gguf(c) != NULL; /* it is in the file */
    size_t config_len;
    mls_status st = MLS_OK;

    mls_checkpoint_config_json(c, &config_len);
    for (size_t i = 0; i < c->n_shards; i++)
        total += (double)shard_size(&c->shards[i]);
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
        st = hash_shard(&c->shards[i], &done, total, shards[i], progress, err);
        if (mls_checkpoint_gguf(c)) /* people rename these files */
            mls_buf_printf(&list, "%zu", i + 1);
        else
            mls_buf_puts(&list, mls_checkpoint_shard_name(c, i));
        mls_buf_printf(&list, " %llu %s\n",
                       (unsigned long long)shard_size(&c->shards[i]), shards[i]);
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
