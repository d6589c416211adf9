/*
 * Preloaded: the power fails at one call that writes, syncs or renames, MLS_LOSS_AT,
 * from 1. What is on the disk then is what was synced: a file that was written since
 * its last fsync is cut off somewhere or empty or has zeros at its end, a rename whose
 * folder was not synced may be undone; which of these follows from MLS_LOSS_SEED. Then
 * the process is gone. The calls of a whole run are counted into MLS_LOSS_COUNT.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { FILES = 512, RENAMES = 512, PATH = 1024 };

/* Files that were written since their last fsync, by descriptors of our own. */
static struct {
    dev_t dev;
    ino_t ino;
    int fd;
    off_t synced; /* bytes that were there at the last fsync */
} dirty[FILES];
/* Renames that no fsync of a folder followed, the last one last. */
static struct {
    char from[PATH], to[PATH], before[PATH]; /* before: a link to what was at `to` */
} renamed[RENAMES];
static size_t n_dirty, n_renamed, n_links;
static long n_calls;
static pid_t first;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ISO C has no cast from what dlsym() gives to a function; GNU C does. */
#define REAL(name) (__extension__(__typeof__(&name)) dlsym(RTLD_NEXT, #name))

static void count_at_exit(void)
{
    const char *path = getenv("MLS_LOSS_COUNT");
    FILE *f = path && getpid() == first ? fopen(path, "w") : NULL;

    if (f) {
        fprintf(f, "%ld\n", n_calls);
        fclose(f);
    }
    for (size_t i = 0; i < n_renamed; i++)
        if (*renamed[i].before)
            unlink(renamed[i].before);
}

__attribute__((constructor)) static void start(void)
{
    first = getpid();
    atexit(count_at_exit);
}

static unsigned long next_random(unsigned long *x)
{
    *x = *x * 6364136223846793005UL + 1442695040888963407UL;
    return *x >> 33;
}

/* What a disk keeps of a file of which only some bytes were synced. */
static void lose_file(size_t i, unsigned long *random)
{
    struct stat s;

    if (fstat(dirty[i].fd, &s))
        return;
    const off_t more = s.st_size > dirty[i].synced ? s.st_size - dirty[i].synced : 0;
    const off_t keep =
        dirty[i].synced +
        (off_t)((double)more * (double)(next_random(random) % 1000) / 1000);

    switch (next_random(random) % 4) {
    case 0: /* all of it came through */
        break;
    case 1: /* no more than was synced */
        if (REAL(ftruncate)(dirty[i].fd, dirty[i].synced))
            _exit(99);
        break;
    case 2: /* a part */
        if (REAL(ftruncate)(dirty[i].fd, keep))
            _exit(99);
        break;
    default: /* the length came through, the bytes did not */
        if (REAL(ftruncate)(dirty[i].fd, keep) ||
            REAL(ftruncate)(dirty[i].fd, s.st_size))
            _exit(99);
    }
}

static void lose_power(void)
{
    const char *seed = getenv("MLS_LOSS_SEED");
    unsigned long random = (unsigned long)(seed ? atol(seed) : 1) * 2654435761UL + 1;

    for (size_t i = 0; i < n_dirty; i++)
        lose_file(i, &random);
    /* Journals keep the order: from one rename on, all are gone. */
    size_t kept = n_renamed ? next_random(&random) % (n_renamed + 1) : 0;

    for (size_t i = n_renamed; i-- > kept;) {
        if (REAL(rename)(renamed[i].to, renamed[i].from))
            continue;
        if (*renamed[i].before)
            REAL(rename)(renamed[i].before, renamed[i].to);
    }
    for (size_t i = 0; i < kept && i < n_renamed; i++)
        if (*renamed[i].before)
            unlink(renamed[i].before);
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* A call; never returns from the one at which the power fails. Holds the lock. */
static void see_call(void)
{
    const char *at = getenv("MLS_LOSS_AT");

    pthread_mutex_lock(&lock);
    if (getpid() == first && ++n_calls == (at ? atol(at) : 0))
        lose_power();
}

static size_t find(const struct stat *s)
{
    size_t i = 0;

    while (i < n_dirty && (dirty[i].dev != s->st_dev || dirty[i].ino != s->st_ino))
        i++;
    return i;
}

static void written(int fd)
{
    struct stat s;

    if (getpid() != first || fd <= STDERR_FILENO || fstat(fd, &s) ||
        !S_ISREG(s.st_mode))
        return;
    const size_t i = find(&s);

    if (i < n_dirty || n_dirty == FILES)
        return;
    dirty[n_dirty].dev = s.st_dev;
    dirty[n_dirty].ino = s.st_ino;
    /* Before the write: what is there is taken as synced, the rest as lost. */
    dirty[n_dirty].synced = s.st_size;
    dirty[n_dirty].fd = fcntl(fd, F_DUPFD_CLOEXEC, 100);
    n_dirty += dirty[n_dirty].fd >= 0;
}

ssize_t write(int fd, const void *data, size_t n)
{
    see_call();
    written(fd);
    const ssize_t result = REAL(write)(fd, data, n);

    pthread_mutex_unlock(&lock);
    return result;
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
    see_call();
    written(fd);
    const ssize_t result = REAL(pwrite)(fd, data, n, at);

    pthread_mutex_unlock(&lock);
    return result;
}

ssize_t pwrite64(int fd, const void *data, size_t n, off_t at)
{
    see_call();
    written(fd);
    const ssize_t result = REAL(pwrite64)(fd, data, n, at);

    pthread_mutex_unlock(&lock);
    return result;
}

/* stdio's own writes do not come through write(). */
size_t fwrite(const void *data, size_t size, size_t n, FILE *f)
{
    see_call();
    written(fileno(f));
    const size_t result = REAL(fwrite)(data, size, n, f);

    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate(int fd, off_t n)
{
    see_call();
    written(fd);
    const int result = REAL(ftruncate)(fd, n);

    pthread_mutex_unlock(&lock);
    return result;
}

/* Of a file: its bytes are safe. Of a folder: its renames are. */
int fsync(int fd)
{
    struct stat s;

    see_call();
    const int result = REAL(fsync)(fd);

    if (result == 0 && fstat(fd, &s) == 0 && S_ISDIR(s.st_mode)) {
        for (size_t i = 0; i < n_renamed; i++)
            if (*renamed[i].before)
                unlink(renamed[i].before);
        n_renamed = 0;
    } else if (result == 0) {
        const size_t i = find(&s);

        if (i < n_dirty) {
            REAL(close)(dirty[i].fd);
            dirty[i] = dirty[--n_dirty];
        }
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int rename(const char *from, const char *to)
{
    char before[PATH] = "";

    see_call();
    if (getpid() == first && n_renamed < RENAMES) {
        snprintf(before, sizeof before, "%s.before-%zu", to, n_links++);
        if (link(to, before))
            *before = '\0';
    }
    const int result = REAL(rename)(from, to);

    if (result == 0 && getpid() == first && n_renamed < RENAMES) {
        snprintf(renamed[n_renamed].from, PATH, "%s", from);
        snprintf(renamed[n_renamed].to, PATH, "%s", to);
        snprintf(renamed[n_renamed++].before, PATH, "%s", before);
    } else if (*before) {
        unlink(before);
    }
    pthread_mutex_unlock(&lock);
    return result;
}
