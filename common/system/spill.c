/*
 * A map of a file without a name: the system writes pages out when memory is short and
 * needs no swap for it. Room on the disk is taken at once (posix_fallocate), because a
 * full disk would kill the process that writes to the map later. Leaving a range gives
 * its whole pages back; what is written stays in the file.
 */
#define _GNU_SOURCE /* madvise, mkostemp */
#include "common/system/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static mls_status map_file(mls_spill *s, mls_err *err)
{
    const char *folder = getenv("TMPDIR");
    char path[4096];
    mls_status st = MLS_OK;

    if (!folder || !*folder)
        folder = "/tmp";
    if (snprintf(path, sizeof path, "%s/mlascope-XXXXXX", folder) >= (int)sizeof path)
        return mls_fail(err, MLS_E_IO, "TMPDIR is too long a name");
    const int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return mls_fail(err, MLS_E_IO, "%s: %s", folder, strerror(errno));
    unlink(path);
    /* Room is taken now: a full disk would kill a process that writes to the map. */
    const int failed = posix_fallocate(fd, 0, (off_t)s->bytes);
    if (failed)
        st = mls_fail(err, MLS_E_IO, "%s has no room for %zu MB of hidden states: %s",
                      folder, s->bytes / 1000000, strerror(failed));
    if (!st) {
        void *data = mmap(NULL, s->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        if (data == MAP_FAILED)
            st = mls_fail(err, MLS_E_NOMEM, "%s: %s", folder, strerror(errno));
        else
            s->data = data;
    }
    close(fd);
    return st;
}

mls_status mls_spill_new(mls_spill *out, size_t bytes, uint64_t most, mls_err *err)
{
    mls_status st = MLS_OK;

    *out = (mls_spill){.bytes = bytes, .on_disk = most > 0 && bytes > most};
    if (out->on_disk) {
        st = map_file(out, err);
    } else {
        out->data = calloc(bytes ? bytes : 1, 1);
        if (!out->data)
            st = mls_fail(err, MLS_E_NOMEM, "no memory for %zu bytes", bytes);
    }
    if (st)
        *out = (mls_spill){0};
    return st;
}

void mls_spill_free(mls_spill *s)
{
    if (s->on_disk)
        munmap(s->data, s->bytes);
    else
        free(s->data);
    *s = (mls_spill){0};
}

void mls_spill_leave(const mls_spill *s, const void *data, size_t n)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t at = (size_t)((const char *)data - (const char *)s->data);
    const size_t first = (at + page - 1) / page * page; /* whole pages alone */
    const size_t last = (at + n) / page * page;

    if (s->on_disk && last > first)
        madvise((char *)s->data + first, last - first, MADV_DONTNEED);
}
