/*
 * A job may run jobs of its own: who calls mls_pool_run() works on its own list, and
 * idle threads help the newest list that has a job, which is what an older one waits
 * for. Who waits for the last jobs of a list helps newer lists alone: they never wait
 * for an older one, so that nothing waits for a thread that waits. The lowest job that
 * failed gives the error, whichever failed first in time.
 *
 * A pool is ready when all its threads wait for work. The process that reads HDF5
 * files (analysis/capture/store_process.c) is a copy of ours, and in a copy made while
 * a thread starts or ends its locks stay locked: AddressSanitizer's allocator has some
 * that fork() knows nothing of, and the copy waited for ever.
 */
#define _GNU_SOURCE /* sched_getaffinity */
#include "common/system/pool.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

enum { THREADS_MAX = 256 };

/* The jobs of one call of mls_pool_run(), on its stack. */
typedef struct list {
    mls_job run;
    void *arg;
    size_t n_jobs, next_job;
    size_t n_running;  /* jobs that threads are at */
    size_t failed_job; /* lowest job that failed, or n_jobs */
    mls_err err;
    struct list *older; /* open for longer */
} list;

struct mls_pool {
    size_t n_threads; /* a caller's thread that is none of them is worker 0 */
    pthread_t threads[THREADS_MAX];
    size_t n_started, n_ready;
    pthread_mutex_t lock;
    pthread_cond_t work; /* there are jobs */
    pthread_cond_t idle; /* a list's last job has ended, there are jobs to help with, a
                            claim has ended, or a thread is ready */
    bool quit, claimed;
    pthread_t claimant;
    list *newest; /* of the open lists */
};

typedef struct {
    mls_pool *pool;
    size_t index;
} worker;

/* Which worker of which pool this thread is, and of which list its job is. */
static _Thread_local worker self;
static _Thread_local const list *at_work;

static bool has_job(const list *l)
{
    return l->next_job < l->n_jobs && l->failed_job == l->n_jobs;
}

/* One job of a list that has some; the lock is held before and after. */
static void do_one(mls_pool *p, list *l, size_t index)
{
    const size_t job = l->next_job++;
    const list *before = at_work;
    mls_err err = {0};

    l->n_running++;
    at_work = l;
    pthread_mutex_unlock(&p->lock);
    const mls_status st = l->run(l->arg, job, index, &err);
    pthread_mutex_lock(&p->lock);
    at_work = before;
    if (st && job < l->failed_job) {
        l->failed_job = job;
        l->err = err;
        l->err.status = st;
    }
    if (--l->n_running == 0 && !has_job(l))
        pthread_cond_broadcast(&p->idle);
}

/* The newest list that has a job, of those opened after `oldest` (NULL: of all). */
static list *newest_job(const mls_pool *p, const list *oldest)
{
    list *l = p->newest;

    while (l && l != oldest && !has_job(l))
        l = l->older;
    return l == oldest ? NULL : l;
}

/*
 * The lock is held before and after. Who holds the claim waits: a newer list may be of
 * another thread, with jobs that claim.
 */
static void help_or_wait(mls_pool *p, const list *oldest, size_t index)
{
    const bool claims = p->claimed && pthread_equal(p->claimant, pthread_self());
    list *newer = claims ? NULL : newest_job(p, oldest);

    if (newer)
        do_one(p, newer, index);
    else
        pthread_cond_wait(&p->idle, &p->lock);
}

static void *worker_main(void *arg)
{
    mls_pool *p;

    self = *(worker *)arg;
    free(arg);
    p = self.pool;
    pthread_mutex_lock(&p->lock);
    p->n_ready++;
    pthread_cond_broadcast(&p->idle);
    while (!p->quit) {
        list *l = newest_job(p, NULL);

        if (l)
            do_one(p, l, self.index);
        else
            pthread_cond_wait(&p->work, &p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static size_t cpus_allowed(void)
{
    cpu_set_t set;
    int n = 1;

    if (sched_getaffinity(0, sizeof set, &set) == 0)
        n = CPU_COUNT(&set);
    return n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : (size_t)n;
}

mls_status mls_address_space(size_t threads, mls_err *err)
{
    const size_t wanted = (threads * 128 + 64) << 20;
    struct rlimit r;
    void *room;

    if (getrlimit(RLIMIT_AS, &r) || r.rlim_cur == RLIM_INFINITY)
        return MLS_OK;
    room = mmap(NULL, wanted, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room != MAP_FAILED) {
        munmap(room, wanted);
        return MLS_OK;
    }
    return mls_fail(
        err, MLS_E_NOMEM,
        "not enough address space: work on %zu thread%s needs %zu MiB more than "
        "the limit of %llu MiB (ulimit -v) leaves",
        threads, threads == 1 ? "" : "s", wanted >> 20,
        (unsigned long long)r.rlim_cur >> 20);
}

mls_status mls_pool_new(mls_pool **out, size_t threads, mls_err *err)
{
    mls_pool *p;

    *out = NULL;
    if (threads > THREADS_MAX)
        return mls_fail(err, MLS_E_ARG,
                        "%zu threads asked for, at most %d are possible", threads,
                        THREADS_MAX);
    p = calloc(1, sizeof *p);
    if (!p)
        return mls_fail(err, MLS_E_NOMEM, "no memory for a thread pool");
    p->n_threads = threads ? threads : cpus_allowed();
    const mls_status st = mls_address_space(p->n_threads, err);
    if (st) {
        free(p);
        return st;
    }
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->idle, NULL);
    for (size_t i = 1; i < p->n_threads; i++) {
        worker *w = malloc(sizeof *w);

        if (w)
            *w = (worker){.pool = p, .index = i};
        if (!w || pthread_create(&p->threads[i], NULL, worker_main, w)) {
            free(w);
            mls_pool_free(p);
            return mls_fail(err, MLS_E_NOMEM, "thread %zu of %zu could not be started",
                            i, threads);
        }
        p->n_started = i;
    }
    pthread_mutex_lock(&p->lock);
    while (p->n_ready < p->n_started)
        pthread_cond_wait(&p->idle, &p->lock);
    pthread_mutex_unlock(&p->lock);
    *out = p;
    return MLS_OK;
}

void mls_pool_free(mls_pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->quit = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (size_t i = 1; i <= p->n_started; i++)
        pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->idle);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

size_t mls_pool_threads(const mls_pool *p)
{
    return p->n_threads;
}

static size_t own_index(const mls_pool *p)
{
    return self.pool == p ? self.index : 0;
}

static void close_list(mls_pool *p, const list *l)
{
    list **at = &p->newest;

    while (*at != l)
        at = &(*at)->older;
    *at = l->older;
}

mls_status mls_pool_run(mls_pool *p, size_t n, mls_job run, void *arg, mls_err *err)
{
    const size_t index = own_index(p);
    list l = {.run = run, .arg = arg, .n_jobs = n, .failed_job = n};

    pthread_mutex_lock(&p->lock);
    l.older = p->newest;
    p->newest = &l;
    pthread_cond_broadcast(&p->work);
    pthread_cond_broadcast(&p->idle);
    while (has_job(&l))
        do_one(p, &l, index);
    while (l.n_running > 0)
        help_or_wait(p, &l, index);
    close_list(p, &l);
    pthread_mutex_unlock(&p->lock);
    if (l.failed_job < n) {
        if (err)
            *err = l.err;
        return l.err.status;
    }
    return MLS_OK;
}

void mls_pool_claim(mls_pool *p)
{
    pthread_mutex_lock(&p->lock);
    assert(!p->claimed || !pthread_equal(p->claimant, pthread_self()));
    while (p->claimed)
        help_or_wait(p, at_work, own_index(p));
    p->claimed = true;
    p->claimant = pthread_self();
    pthread_mutex_unlock(&p->lock);
}

void mls_pool_release(mls_pool *p)
{
    pthread_mutex_lock(&p->lock);
    p->claimed = false;
    pthread_cond_broadcast(&p->idle);
    pthread_mutex_unlock(&p->lock);
}
