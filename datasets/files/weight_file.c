/*
 * Size and time are looked at before every read: weights that somebody rewrites
 * meanwhile would be half old and half new without an error. O_NONBLOCK keeps a pipe of
 * that name from blocking.
 */
#include "datasets/files/weight_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/system/files.h"

mls_status mls_weight_file_open(mls_weight_file *f, const char *path, mls_err *err)
{
    f->path = strdup(path);
    /* A pipe would block here until somebody writes. */
    f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (!f->path)
        return mls_fail(err, MLS_E_NOMEM, "no memory to open %s", path);
    if (f->fd < 0)
        return mls_fail(err, MLS_E_INPUT, "%s: %s", path, strerror(errno));
    if (fstat(f->fd, &f->opened))
        return mls_fail(err, MLS_E_IO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(f->opened.st_mode))
        return mls_fail(err, MLS_E_INPUT, "%s: is not a regular file", path);
    return MLS_OK;
}

void mls_weight_file_close(mls_weight_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    free(f->path);
}

uint64_t mls_weight_file_size(const mls_weight_file *f)
{
    return (uint64_t)f->opened.st_size;
}

/* A file that somebody rewrites would give half old, half new weights. */
static mls_status check_unchanged(const mls_weight_file *f, mls_err *err)
{
    struct stat now;

    if (fstat(f->fd, &now))
        return mls_fail(err, MLS_E_IO, "%s: %s", f->path, strerror(errno));
    if (now.st_size != f->opened.st_size)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: has %lld bytes, but had %lld when it was opened", f->path,
                        (long long)now.st_size, (long long)f->opened.st_size);
    if (now.st_mtim.tv_sec != f->opened.st_mtim.tv_sec ||
        now.st_mtim.tv_nsec != f->opened.st_mtim.tv_nsec)
        return mls_fail(err, MLS_E_INPUT, "%s: was changed after it was opened",
                        f->path);
    return MLS_OK;
}

mls_status mls_weight_file_read(const mls_weight_file *f, uint64_t offset, size_t n,
                                void *out, mls_err *err)
{
    const mls_status st = check_unchanged(f, err);

    return st ? st : mls_pread_all(f->fd, out, n, offset, f->path, err);
}

/* Linux reads no more of one wish than it reads ahead at once: so they are small. */
void mls_weight_file_want(const mls_weight_file *f, uint64_t offset, uint64_t n)
{
    enum { WISH = 128 << 10 };

    for (uint64_t at = 0; at < n; at += WISH)
        posix_fadvise(f->fd, (off_t)(offset + at),
                      (off_t)(n - at < WISH ? n - at : WISH), POSIX_FADV_WILLNEED);
}
