/*
 * The process that reads one of our HDF5 files for another. libhdf5 1.10.8 crashes on
 * files that were made to crash it, so it never parses a file where results are: it
 * runs in a child in a cage (store_cage.c) with limits (memory: 4 times the file and
 * 64 MiB more than it began with; processor time, set by the parent: 2 s and what the
 * bytes take; no other file can be opened, so that no external link or storage is
 * followed; nothing can be written). What it sends are numbers and texts whose sizes
 * the asking side knows or bounds. It is forked while no thread of a pool is at work
 * (common/system/pool.c), for it goes on with their locks as they are.
 */
#define _GNU_SOURCE /* close_range, prlimit */
#include <errno.h>
#include <pthread.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "analysis/capture/store_inner.h"

enum { OPEN_SECONDS = 2, BYTES_PER_SECOND = 10000000 };
enum { DEFLATED = 1032 }; /* bytes that one byte of deflate can stand for */

static bool send_all(int fd, const void *data, size_t n)
{
    const char *from = data;

    while (n > 0) {
        const ssize_t sent = send(fd, from, n, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        from += sent;
        n -= (size_t)sent;
    }
    return true;
}

static bool receive_all(int fd, void *data, size_t n)
{
    char *to = data;

    while (n > 0) {
        const ssize_t got = recv(fd, to, n, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        to += got;
        n -= (size_t)got;
    }
    return true;
}

bool mls_store_say(const mls_store *s, const void *data, size_t n)
{
    const uint64_t said = n;

    return n == 0 ||
           (send_all(s->channel, &said, sizeof said) && send_all(s->channel, data, n));
}

/* The end of an answer: a frame of no bytes, and how it went. */
static bool say_status(const mls_store *s, const mls_err *err)
{
    const uint64_t none = 0;

    return send_all(s->channel, &none, sizeof none) &&
           send_all(s->channel, err, sizeof *err);
}

/* For good: what took the process over cannot raise it again. */
static void limit(int what, rlim_t most)
{
    struct rlimit r;

    if (getrlimit(what, &r))
        return;
    r.rlim_max = most < r.rlim_max ? most : r.rlim_max;
    r.rlim_cur = r.rlim_max;
    setrlimit(what, &r);
}

/* Room for what the file needs, besides what the process has from its parent. */
static void limit_memory(uint64_t size)
{
    const uint64_t room = (uint64_t)64 << 20;
    unsigned long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    if (f && fscanf(f, "%llu", &pages) == 1)
        limit(RLIMIT_AS, pages * (uint64_t)sysconf(_SC_PAGESIZE) + room + 4 * size);
    if (f)
        fclose(f);
}

/* By the parent: from now on, as much processor time as n bytes may take. Only the soft
   limit, for the next question raises it; in its cage the process cannot. */
static void limit_time(pid_t reader, uint64_t n)
{
    struct timespec used;
    struct rlimit r;
    clockid_t clock;

    if (clock_getcpuclockid(reader, &clock) || clock_gettime(clock, &used) ||
        prlimit(reader, RLIMIT_CPU, NULL, &r))
        return;
    const rlim_t most = (rlim_t)used.tv_sec + 1 + OPEN_SECONDS + n / BYTES_PER_SECOND;

    r.rlim_cur = most < r.rlim_max ? most : r.rlim_max;
    prlimit(reader, RLIMIT_CPU, &r, NULL);
}

/* Keep nothing of the parent's but the channel and the file. */
static void leave_parent(mls_store *s, int fd)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    const int null = open("/dev/null", O_RDWR);

    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL); /* a handler of the parent's would go on as the parent */
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        signal(ignored[i], SIG_IGN); /* it ends when its channel does */
    /* Both away from the numbers they get: one could be the other's. */
    const int channel = fcntl(s->channel, F_DUPFD, MLS_STORE_FILE + 1);
    const int file = fcntl(fd, F_DUPFD, MLS_STORE_FILE + 1);

    for (int i = STDIN_FILENO; i <= STDERR_FILENO; i++)
        dup2(null, i);
    dup2(channel, MLS_STORE_CHANNEL);
    dup2(file, MLS_STORE_FILE);
    close_range(MLS_STORE_FILE + 1, ~0U, 0);
    s->channel = MLS_STORE_CHANNEL;
}

static mls_status open_file(mls_store *s, uint64_t size, mls_err *err)
{
    mls_status st;

    s->file = mls_store_open_descriptor(MLS_STORE_FILE);
    if (s->file < 0)
        return mls_store_fail(err, MLS_E_INPUT, "%s: cannot be opened as HDF5",
                              s->path);
    st = mls_store_check_structure(s, size, &s->n_bytes, err);
    if (!st)
        mls_store_say(s, &s->n_bytes, sizeof s->n_bytes);
    return st;
}

static void serve(mls_store *s, int fd, uint64_t size)
{
    mls_store_request r;
    bool heard = true;

    leave_parent(s, fd);
    mallopt(M_PERTURB, 0x5a); /* what HDF5 reads past an end is never by chance right */
    mallopt(M_TRIM_THRESHOLD, INT_MAX); /* to trim, the library asks a file of /proc */
    H5open();
    mls_store_quiet();
    H5PLset_loading_state(0); /* no code from files beside the data */
    limit_memory(size);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_NOFILE, 0);
    limit(RLIMIT_FSIZE, 0);
    limit(RLIMIT_NPROC, 0);
    mls_store_cage(); /* where it cannot be had the limits remain */
    while (heard && receive_all(s->channel, &r, sizeof r)) {
        mls_err err = {0};

        if (r.op == MLS_STORE_OP_OPEN)
            open_file(s, size, &err);
        else
            mls_store_serve(s, &r, &err);
        heard = say_status(s, &err);
    }
    _exit(0); /* HDF5 has nothing to write: its own end would only be one more risk */
}

mls_status mls_store_spawn(mls_store *s, int fd, uint64_t size, mls_err *err)
{
    const mls_store_request open = {.op = MLS_STORE_OP_OPEN};
    uint64_t n_bytes = 0;
    mls_store_answer a = {.data = (char *)&n_bytes, .room = sizeof n_bytes};
    mls_status st;
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) {
        close(fd);
        return mls_fail(err, MLS_E_IO, "%s: no channel to a process that reads it: %s",
                        s->path, strerror(errno));
    }
    s->reader = fork();
    if (s->reader == 0) {
        s->channel = ends[1];
        serve(s, fd, size);
    }
    close(ends[1]);
    close(fd);
    s->channel = ends[0];
    if (s->reader < 0) {
        s->reader = 0;
        return mls_fail(err, MLS_E_IO, "%s: no process to read it: %s", s->path,
                        strerror(errno));
    }
    s->n_bytes = size;
    st = mls_store_ask(s, &open, &a, err);
    if (!st && n_bytes / DEFLATED <= size)
        s->n_bytes = n_bytes;
    return st;
}

/* Wait for the end; 0 when it is not known. */
static int end_reader(mls_store *s)
{
    int status = 0;
    pid_t got = 0;

    if (s->channel >= 0)
        close(s->channel);
    s->channel = -1;
    if (s->reader > 0)
        do
            got = waitpid(s->reader, &status, 0);
        while (got < 0 && errno == EINTR);
    s->reader = 0;
    return got > 0 ? status : 0;
}

void mls_store_reap(mls_store *s)
{
    if (s->reader > 0)
        kill(s->reader, SIGKILL);
    end_reader(s);
}

/* No answer: say what became of the process. */
static mls_status broken_off(mls_store *s, mls_err *err)
{
    const int status = end_reader(s);

    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: is damaged or made to do harm: reading it takes for ever",
                        s->path);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        return mls_fail(err, MLS_E_INPUT,
                        "%s: is made to do harm: what read it tried more than to read",
                        s->path);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return mls_fail(err, MLS_E_NOMEM,
                        "%s: the process that read it was killed: no memory?", s->path);
    return mls_fail(err, MLS_E_INPUT,
                    "%s: is damaged or made to do harm: the HDF5 library gave up on it "
                    "(signal %d)",
                    s->path, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

static bool make_room(mls_store_answer *a, uint64_t n)
{
    if (n <= a->room - a->n)
        return true;
    if (!a->grows || n > MLS_STORE_TEXT - a->n)
        return false;
    char *bigger = realloc(a->data, a->n + n + 1);

    if (!bigger)
        return false;
    a->data = bigger;
    a->room = a->n + n;
    return true;
}

static mls_status ask(mls_store *s, const mls_store_request *r, mls_store_answer *a,
                      mls_err *err)
{
    mls_err said;
    uint64_t n;

    if (s->channel >= 0)
        limit_time(s->reader,
                   r->op == MLS_STORE_OP_READ ? 8 * (uint64_t)r->n : s->n_bytes);
    if (s->channel < 0 || !send_all(s->channel, r, sizeof *r))
        return broken_off(s, err);
    for (;;) {
        if (!receive_all(s->channel, &n, sizeof n))
            return broken_off(s, err);
        if (n == 0)
            break;
        if (!make_room(a, n)) {
            mls_store_reap(s);
            return mls_fail(err, a->grows ? MLS_E_NOMEM : MLS_E_INPUT,
                            a->grows ? "%s: no memory for a text of %llu bytes"
                                     : "%s: gives %llu bytes more than it should",
                            s->path, (unsigned long long)n);
        }
        if (!receive_all(s->channel, a->data + a->n, n))
            return broken_off(s, err);
        a->n += n;
    }
    if (!receive_all(s->channel, &said, sizeof said))
        return broken_off(s, err);
    said.text[sizeof said.text - 1] = '\0';
    return said.status ? mls_fail(err, said.status, "%s", said.text) : MLS_OK;
}

mls_status mls_store_ask(mls_store *s, const mls_store_request *r, mls_store_answer *a,
                         mls_err *err)
{
    /* A question and its answer are not to be mixed with those of other threads. */
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
    mls_status st;

    pthread_mutex_lock(&one_at_a_time);
    st = ask(s, r, a, err);
    pthread_mutex_unlock(&one_at_a_time);
    return st;
}
