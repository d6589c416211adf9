#define _GNU_SOURCE /* sched_getaffinity */
#include "common/system/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

enum { THREADS_MAX = 256 };

struct mls_pool {
    size_t n_threads; /* the caller's thread is worker 0 */
    pthread_t threads[THREADS_MAX];
    size_t n_started;
    pthread_mutex_t lock;
    pthread_cond_t work, idle;
    bool quit;
    size_t generation; /* counts calls of mls_pool_run */
    size_t n_busy;     /* workers that have not finished this generation */

    /* The list of this generation. */
    mls_job run;
    void *arg;
    size_t n_jobs, next_job;
    size_t failed_job; /* lowest job that failed, or n_jobs */
    mls_err err;
};

typedef struct {
    mls_pool *pool;
    size_t index;
} worker;

static void work_through(mls_pool *p, size_t index)
{
    pthread_mutex_lock(&p->lock);
    while (p->next_job < p->n_jobs && p->failed_job == p->n_jobs) {
        const size_t job = p->next_job++;
        mls_err err = {0};

        pthread_mutex_unlock(&p->lock);
        const mls_status st = p->run(p->arg, job, index, &err);
        pthread_mutex_lock(&p->lock);
        if (st && job < p->failed_job) {
            p->failed_job = job;
            p->err = err;
            p->err.status = st;
        }
    }
    pthread_mutex_unlock(&p->lock);
}

static void *worker_main(void *arg)
{
    worker w = *(worker *)arg;
    mls_pool *p = w.pool;
    size_t seen = 0;

    free(arg);
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (!p->quit && p->generation == seen)
            pthread_cond_wait(&p->work, &p->lock);
        if (p->quit)
            break;
        seen = p->generation;
        pthread_mutex_unlock(&p->lock);
        work_through(p, w.index);
        pthread_mutex_lock(&p->lock);
        if (--p->n_busy == 0)
            pthread_cond_signal(&p->idle);
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

mls_status mls_pool_run(mls_pool *p, size_t n, mls_job run, void *arg, mls_err *err)
{
    pthread_mutex_lock(&p->lock);
    p->run = run;
    p->arg = arg;
    p->n_jobs = n;
    p->next_job = 0;
    p->failed_job = n;
    p->n_busy = p->n_threads - 1;
    p->generation++;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);

    work_through(p, 0);

    pthread_mutex_lock(&p->lock);
    while (p->n_busy > 0)
        pthread_cond_wait(&p->idle, &p->lock);
    pthread_mutex_unlock(&p->lock);
    if (p->failed_job < n) {
        if (err)
            *err = p->err;
        return p->err.status;
    }
    return MLS_OK;
}
