/*
 * Whole files in. A regular file is opened so that a pipe of that name does not block;
 * one of /proc that would wait (kmsg) is told from the others by the read that fails.
 * Texts may be pipes: those are waited for, and a signal is heard meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/system/files.h"

mls_status mls_pread_all(int fd, void *data, size_t n, uint64_t offset,
                         const char *name, mls_err *err)
{
    unsigned char *to = data;
    size_t done = 0;

    while (done < n) {
        const ssize_t got = pread(fd, to + done, n - done, (off_t)(offset + done));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return mls_fail(err, MLS_E_IO, "%s: reading at %llu: %s", name,
                            (unsigned long long)(offset + done), strerror(errno));
        if (got == 0)
            return mls_fail(err, MLS_E_INPUT, "%s: ends at %llu, expected %llu bytes",
                            name, (unsigned long long)(offset + done),
                            (unsigned long long)(offset + n));
        done += (size_t)got;
    }
    return MLS_OK;
}

mls_status mls_file_open(const char *path, int *fd, uint64_t *size, mls_err *err)
{
    struct stat s;

    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (*fd < 0)
        return mls_fail(err, MLS_E_INPUT, "%s: %s", path,
                        errno == ENXIO ? "is a device or pipe, expected a file"
                                       : strerror(errno));
    if (fstat(*fd, &s) == 0 && S_ISREG(s.st_mode)) {
        if (size)
            *size = (uint64_t)s.st_size;
        return MLS_OK;
    }
    close(*fd);
    *fd = -1;
    return mls_fail(err, MLS_E_INPUT, "%s: is %s, expected a file", path,
                    S_ISDIR(s.st_mode) ? "a folder" : "a device or pipe");
}

/* All that fd shows; closes it. */
static mls_status read_fd(int fd, const char *path, uint64_t max, char **data,
                          size_t *len, mls_err *err)
{
    mls_status st = MLS_OK;
    struct stat s = {0};
    char *buffer = NULL;
    size_t used = 0, cap;

    fstat(fd, &s); /* what tells no size is read like a pipe */
    if (S_ISDIR(s.st_mode)) {
        st = mls_fail(err, MLS_E_INPUT, "%s: is a folder, expected a file", path);
        goto done;
    }
    if (S_ISREG(s.st_mode) && (uint64_t)s.st_size > max) {
        st = mls_fail(err, MLS_E_INPUT, "%s: has %llu bytes, at most %llu are read",
                      path, (unsigned long long)s.st_size, (unsigned long long)max);
        goto done;
    }
    /* A pipe has no size: grow, and let max bound both kinds. */
    cap = S_ISREG(s.st_mode) ? (size_t)s.st_size + 1 : 65536;
    buffer = malloc(cap + 1);
    while (buffer) {
        const ssize_t got = read(fd, buffer + used, cap - used);

        if (got < 0 && errno == EINTR && S_ISREG(s.st_mode))
            continue;
        if (got < 0) {
            const bool heard = errno == EINTR;  /* a handler that wants to be */
            const bool waits = errno == EAGAIN; /* a file of /proc */

            st = mls_fail(err,
                          heard   ? MLS_E_STOPPED
                          : waits ? MLS_E_INPUT
                                  : MLS_E_IO,
                          "%s: %s", path,
                          heard   ? "stopped while reading"
                          : waits ? "is a device or pipe, expected a file"
                                  : strerror(errno));
            goto done;
        }
        if (got == 0)
            break;
        used += (size_t)got;
        if (used > max) {
            st = mls_fail(err, MLS_E_INPUT, "%s: has more than %llu bytes", path,
                          (unsigned long long)max);
            goto done;
        }
        if (used == cap) {
            char *bigger = realloc(buffer, 2 * cap + 1);

            if (!bigger)
                break;
            buffer = bigger;
            cap *= 2;
        }
    }
    if (!buffer || used == cap) {
        st = mls_fail(err, MLS_E_NOMEM, "no memory to read %s", path);
        goto done;
    }
    buffer[used] = '\0';
    *data = buffer;
    *len = used;
    buffer = NULL;

done:
    free(buffer);
    close(fd);
    return st;
}

mls_status mls_file_read(const char *path, uint64_t max, char **data, size_t *len,
                         mls_err *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);

    *data = NULL;
    *len = 0;
    if (fd < 0)
        return mls_fail(err, errno == EINTR ? MLS_E_STOPPED : MLS_E_INPUT, "%s: %s",
                        path, strerror(errno));
    return read_fd(fd, path, max, data, len, err);
}

mls_status mls_file_read_regular(const char *path, uint64_t max, char **data,
                                 size_t *len, mls_err *err)
{
    int fd;
    const mls_status st = mls_file_open(path, &fd, NULL, err);

    *data = NULL;
    *len = 0;
    return st ? st : read_fd(fd, path, max, data, len, err);
}

size_t mls_file_front(const char *path, char *bytes, size_t n)
{
    ssize_t got = 0;
    int fd;

    if (!mls_file_open(path, &fd, NULL, NULL)) {
        got = read(fd, bytes, n);
        close(fd);
    }
    return got > 0 ? (size_t)got : 0;
}

const char *mls_bytes_kind(const char *bytes, size_t n)
{
    static const struct {
        size_t at, n;
        const char *bytes, *kind;
    } kinds[] = {
        {0, 4, "GGUF", "a GGUF file"},
        {0, 8, "\211HDF\r\n\032\n", "an HDF5 file"},
        {0, 9, "mlascope ", "a result of mlascope"}, /* what stands before its HDF5 */
        {0, 4, "PK\003\004", "a zip archive, as PyTorch writes"},
        {0, 2, "\200\002", "a pickle, as PyTorch writes"},
        {0, 2, "\037\213", "a file compressed by gzip"},
        {0, 15, "version https:/", "a git-lfs pointer"},
        {0, 9, "<!DOCTYPE", "a web page"},
        {0, 9, "<!doctype", "a web page"},
        {0, 5, "<html", "a web page"},
        /* Behind eight bytes, its header's length: the upper half of a small number. */
        {4, 6, "\0\0\0\0{\"", "a safetensors file"},
    };

    if (n == 0)
        return "an empty file";
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (n >= kinds[i].at + kinds[i].n &&
            memcmp(bytes + kinds[i].at, kinds[i].bytes, kinds[i].n) == 0)
            return kinds[i].kind;
    return NULL;
}

const char *mls_file_kind(const char *path)
{
    char front[16];

    if (!mls_file_exists(path))
        return NULL;
    return mls_bytes_kind(front, mls_file_front(path, front, sizeof front));
}
