#include "tests/support/demo_bench.h"

void bench_corpus(mls_corpus *c, mls_rng *rng, size_t N, size_t V)
{
    *c = (mls_corpus){.N = N, .n_ids = N * T};
    c->ids = calloc(N * T, sizeof *c->ids);
    c->start = calloc(N + 1, sizeof *c->start);
    for (size_t n = 0; n <= N; n++)
        c->start[n] = n * T;
    for (size_t i = 0; i < N * T; i++)
        c->ids[i] = (int32_t)mls_rng_below(rng, V);
}

/* Opens the model of a folder and captures b->calibration. */
void bench_open(bench *b, const char *folder, const char *capture)
{
    const mls_capture_options options = {.sampling = "the first", .n_windows = 4};

    assert_ok(mls_pool_new(&b->in.pool, 2, &err));
    assert_ok(mls_model_open(&b->model, folder, &err));
    assert_ok(mls_capture_run(b->model, &b->calibration, capture, &options, b->in.pool,
                              NULL, &err));
    assert_ok(mls_capture_open(&b->in.capture, capture, &err));
    b->in.model = b->model;
    b->in.isolated_kl = mls_isolated_kl_of_model;
    b->in.config = mls_model_config(b->model);
}

void bench_close(bench *b)
{
    mls_capture_close(b->in.capture);
    mls_model_close(b->model);
    mls_pool_free(b->in.pool);
    mls_corpus_free(&b->calibration);
    mls_corpus_free(&b->measured);
}

/* The demo model is captured once for all tests, which change nothing of it. */
int bench_open_demo(void **state)
{
    static bench demo, *const b = &demo;
    static const char *const texts[] = {"datasets/demo/calibration.txt",
                                        "datasets/demo/evaluation.txt"};
    mls_tokenizer *tokenizer;

    mls_blas_single_thread(); /* the program's way: its threads only wait here */
    assert_ok(mls_tokenizer_open(&tokenizer, test_source("datasets/demo"), &err));
    for (size_t i = 0; i < 2; i++) {
        const char *path = test_source(texts[i]);

        assert_ok(mls_corpus_read(i ? &b->measured : &b->calibration, tokenizer, &path,
                                  1, T, i ? MEASURED : CALIBRATION, 0, &err));
    }
    mls_tokenizer_close(tokenizer);
    bench_open(b, test_source("datasets/demo"), test_scratch("identity.h5"));
    *state = b;
    return 0;
}

int bench_close_demo(void **state)
{
    bench_close(*state);
    return 0;
}
