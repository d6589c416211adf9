/* Captures of made-up tokens under every condition. */
#include "tests/support/capture_fixture.h"

mls_status capture_of(const char *folder, const mls_corpus *corpus, const char *path,
                      size_t threads, size_t windows, const mls_progress *progress,
                      mls_err *err)
{
    const mls_capture_options options = {.n_windows = windows, .command = "test"};
    mls_model *m = NULL;
    mls_pool *pool = NULL;
    mls_status st;

    mls_blas_single_thread();
    st = mls_model_open(&m, folder, err);
    if (!st)
        st = mls_pool_new(&pool, threads, err);
    if (!st)
        st = mls_capture_run(m, corpus, path, &options, pool, progress, err);
    mls_pool_free(pool);
    mls_model_close(m);
    return st;
}

mls_status capture(const mls_corpus *corpus, const char *path, size_t threads,
                   const mls_progress *progress, mls_err *err)
{
    return capture_of(test_source("datasets/demo"), corpus, path, threads, 2, progress,
                      err);
}

uint64_t hash_of(const char *path)
{
    uint64_t hash, n;

    assert_ok(mls_xxh3_file(path, 0, &hash, &n, &err));
    assert_true(n > 0);
    return hash;
}
