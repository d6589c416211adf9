/* A small capture file of chance numbers, without a model. */
#include "tests/support/capture_sample.h"

void fill(double *x, size_t n, mls_rng *rng)
{
    for (size_t i = 0; i < n; i++) /* mean squares are not negative */
        x[i] = (double)mls_round_f16(fabsf((float)mls_rng_normal(rng)));
}

static void mirror(double *x, size_t n, size_t side)
{
    for (size_t m = 0; m < n; m++, x += side * side)
        for (size_t i = 0; i < side; i++)
            for (size_t j = 0; j < i; j++)
                x[i * side + j] = x[j * side + i];
}

mls_record record_of(const sample *s, size_t l)
{
    mls_record r;
    mls_rng rng;

    mls_rng_seed(&rng, 3, l);
    assert_ok(mls_record_new(&r, &s->head, &err));
    fill(r.stats.block, r.stats.n_block, &rng);
    mirror(r.stats.x_second, 1, r.stats.E);
    mirror(r.stats.q_second, r.stats.H, r.stats.D);
    mirror(r.stats.q_rot_second, r.stats.H, r.stats.D);
    mirror(r.stats.k_second, r.stats.G, r.stats.D);
    mirror(r.stats.k_rot_second, r.stats.G, r.stats.D);
    mirror(r.stats.v_second, r.stats.G, r.stats.D);
    fill(r.q_norms, N * r.stats.H * r.stats.C, &rng);
    fill(r.k_norms, N * r.stats.G * r.stats.C, &rng);
    for (int i = 0; i < MLS_WINDOW_PARTS; i++)
        for (size_t j = 0;
             j < s->head.W * s->head.window_T *
                     mls_window_width(&s->head.config, (mls_window_part)i);
             j++)
            r.window[i][j] = mls_round_f16((float)mls_rng_normal(&rng));
    return r;
}

void make_sample(sample *s, size_t n_windows)
{
    *s = (sample){.start = {0, 5, 10, 12}, .windows = {0, 1}};
    for (int32_t i = 0; i < 12; i++)
        s->ids[i] = 49 - i;
    s->head = (mls_capture_head){.N = N,
                                 .start = s->start,
                                 .ids = s->ids,
                                 .T = 5,
                                 .window_T = 4,
                                 .W = n_windows,
                                 .window_sequence = s->windows,
                                 .config_json = sample_json,
                                 .config_json_len = sizeof sample_json - 1,
                                 .model_sha256 = "m",
                                 .text_sha256 = "t"};
    assert_ok(mls_config_parse(&s->head.config, sample_json, sizeof sample_json - 1,
                               "config", &err));
    s->head.config.qkv_bias = true; /* as tensors might show */
}

void write_sample(const sample *s, const char *path)
{
    const double nll[N] = {2, 3, 5};
    const mls_capture_options options = {.command = "capture it", .seed = 9};
    mls_store *file;
    size_t n_cut = 0;

    assert_ok(mls_capture_create(&file, path, NULL, &s->head, &options, &err));
    for (size_t l = 0; l < s->head.config.L; l++) {
        mls_record r = record_of(s, l);

        assert_ok(mls_capture_append(file, &s->head, &r, &n_cut, &err));
        mls_record_free(&r);
    }
    assert_int_equal(n_cut, 0);
    assert_ok(mls_capture_finish(file, nll, N, &err));
}
