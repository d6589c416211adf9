/* The demo model with a capture, on made-up tokens or on its own text. */
#include "tests/support/demo.h"

mls_corpus demo_tokens(size_t N, size_t T)
{
    mls_corpus c = {
        .N = N, .n_ids = N * T, .tokens_available = N * T, .sha256 = "text"};

    c.ids = malloc(N * T * sizeof *c.ids);
    c.start = malloc((N + 1) * sizeof *c.start);
    assert_true(c.ids && c.start);
    for (size_t t = 0; t < N * T; t++)
        c.ids[t] = (int32_t)((t * t * 7 + t * 13 + 5) % DEMO_V);
    for (size_t n = 0; n <= N; n++)
        c.start[n] = n * T;
    return c;
}

mls_corpus demo_text(size_t N, size_t T)
{
    const char *path = test_source("datasets/demo/evaluation.txt");
    mls_tokenizer *tokenizer;
    mls_corpus c;

    assert_ok(mls_tokenizer_open(&tokenizer, test_source("datasets/demo"), &err));
    assert_ok(mls_corpus_read(&c, tokenizer, &path, 1, T, N, false, &err));
    mls_tokenizer_close(tokenizer);
    return c;
}

demo demo_open(const mls_corpus *corpus, size_t n_windows)
{
    const mls_capture_options options = {.n_windows = n_windows, .command = "test"};
    const char *path = test_scratch("demo.h5");
    demo d = {0};

    mls_blas_single_thread();
    assert_ok(mls_model_open(&d.model, test_source("datasets/demo"), &err));
    assert_ok(mls_pool_new(&d.pool, 2, &err));
    assert_ok(mls_capture_run(d.model, corpus, path, &options, d.pool, NULL, &err));
    assert_ok(mls_capture_open(&d.capture, path, &err));
    return d;
}

void demo_close(demo *d)
{
    mls_capture_close(d->capture);
    mls_pool_free(d->pool);
    mls_model_close(d->model);
}
