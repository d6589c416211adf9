/* Threads that share a list of independent jobs. */
#ifndef MLS_POOL_H
#define MLS_POOL_H

#include <stddef.h>

#include "common/base/status.h"

/**
 * A fixed set of threads. A job may itself run jobs: threads that have none help with
 * those first. One thread that is not of the pool may use it at a time.
 */
typedef struct mls_pool mls_pool;

/**
 * @param[out] out  release with mls_pool_free(); NULL on error
 * @param threads   1..256; 0 means the CPUs this process may use
 */
mls_status mls_pool_new(mls_pool **out, size_t threads, mls_err *err);
void mls_pool_free(mls_pool *pool); /* NULL is accepted */
size_t mls_pool_threads(const mls_pool *pool);

/**
 * Is there address space (ulimit -v) for threads that multiply matrices? OpenBLAS maps
 * 128 MiB for each when it first works and tries again for ever when it gets none.
 *
 * @return MLS_OK or MLS_E_NOMEM; mls_pool_new() asks by itself
 */
mls_status mls_address_space(size_t threads, mls_err *err);

/**
 * One job. `worker` is 0..threads-1 and only selects scratch memory: what a job writes
 * must depend on `job` alone, so that any number of threads gives the same bytes.
 */
typedef mls_status (*mls_job)(void *arg, size_t job, size_t worker, mls_err *err);

/**
 * Run jobs 0..n-1, each once, in any order; returns when all have ended. After a
 * failure no new job starts. The error of the lowest failed job is returned in err.
 */
mls_status mls_pool_run(mls_pool *pool, size_t n, mls_job run, void *arg, mls_err *err);

/**
 * Between these two one thread of the pool works at a time, and may run jobs, which
 * must not come here themselves; who has to wait for it helps with them meanwhile.
 */
void mls_pool_claim(mls_pool *pool);
void mls_pool_release(mls_pool *pool);

#endif
