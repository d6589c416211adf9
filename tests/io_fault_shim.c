/*
 * Preloaded: one call that writes, syncs, renames or opens for writing fails, and with
 * MLS_FAULT_KEEPS=1 all later ones, as on a full disk. MLS_FAULT_AT is its number, from
 * 1; the calls of a whole run are counted into the file MLS_FAULT_COUNT. The error is
 * ENOSPC, or EIO with MLS_FAULT_EIO=1; with MLS_FAULT_READS=1 reads fail and not these.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long n_calls;
static pid_t first;

static void count_at_exit(void)
{
    const char *path = getenv("MLS_FAULT_COUNT");
    FILE *f = path && getpid() == first ? fopen(path, "w") : NULL;

    if (f) {
        fprintf(f, "%ld\n", atomic_load(&n_calls));
        fclose(f);
    }
}

__attribute__((constructor)) static void start(void)
{
    first = getpid();
    atexit(count_at_exit);
}

static bool is_file(int fd)
{
    struct stat s;

    return fd != STDERR_FILENO && fstat(fd, &s) == 0 &&
           S_ISREG(s.st_mode); /* messages go on */
}

static bool call_fails(bool reads)
{
    if (reads != (getenv("MLS_FAULT_READS") != NULL))
        return false;
    const char *at = getenv("MLS_FAULT_AT"), *keeps = getenv("MLS_FAULT_KEEPS");
    const long n = atomic_fetch_add(&n_calls, 1) + 1, target = at ? atol(at) : 0;

    if (target == 0 || (keeps ? n < target : n != target))
        return false;
    errno = getenv("MLS_FAULT_EIO") ? EIO : ENOSPC;
    return true;
}

static bool fails(void)
{
    return call_fails(false);
}

/* ISO C has no cast from what dlsym() gives to a function; GNU C does. */
#define REAL(name) (__extension__(__typeof__(&name)) dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *data, size_t n)
{
    return is_file(fd) && fails() ? -1 : REAL(write)(fd, data, n);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
    return fails() ? -1 : REAL(pwrite)(fd, data, n, at);
}

ssize_t pwrite64(int fd, const void *data, size_t n, off_t at)
{
    return fails() ? -1 : REAL(pwrite64)(fd, data, n, at);
}

ssize_t read(int fd, void *data, size_t n)
{
    return is_file(fd) && call_fails(true) ? -1 : REAL(read)(fd, data, n);
}

ssize_t pread(int fd, void *data, size_t n, off_t at)
{
    return call_fails(true) ? -1 : REAL(pread)(fd, data, n, at);
}

ssize_t pread64(int fd, void *data, size_t n, off_t at)
{
    return call_fails(true) ? -1 : REAL(pread64)(fd, data, n, at);
}

int fsync(int fd)
{
    return fails() ? -1 : REAL(fsync)(fd);
}

int ftruncate(int fd, off_t n)
{
    return fails() ? -1 : REAL(ftruncate)(fd, n);
}

int ftruncate64(int fd, off_t n)
{
    return fails() ? -1 : REAL(ftruncate64)(fd, n);
}

int rename(const char *from, const char *to)
{
    return fails() ? -1 : REAL(rename)(from, to);
}

/* stdio's own writes do not come through write(): the whole stream fails instead. */
size_t fwrite(const void *data, size_t size, size_t n, FILE *f)
{
    return is_file(fileno(f)) && fails() ? 0 : REAL(fwrite)(data, size, n, f);
}

int fflush(FILE *f)
{
    return f && is_file(fileno(f)) && fails() ? EOF : REAL(fflush)(f);
}

int fclose(FILE *f)
{
    const bool bad = is_file(fileno(f)) && fails();
    const int result = REAL(fclose)(f);

    return bad ? EOF : result;
}
