#include "tests/support/capture_sample.h"

#include <unistd.h>

#include "analysis/model/rope.h"
#include "common/system/files.h"

static void a_capture_file_gives_back_what_was_put_in(void **state)
{
    const char *path = test_scratch("run.h5");
    sample s;
    mls_capture *c;
    float window[4 * 4 * 6];

    (void)state;
    make_sample(&s, 2);
    write_sample(&s, path);
    assert_ok(mls_capture_open(&c, path, &err));
    assert_int_equal(mls_capture_sequences(c), N);
    assert_int_equal(mls_capture_length(c), 5);
    assert_int_equal(mls_capture_windows(c), 2);
    assert_int_equal(mls_capture_window_length(c), 4);
    assert_int_equal(mls_capture_window_sequence(c, 1), 1);
    assert_string_equal(mls_capture_model_sha256(c), "m");
    assert_string_equal(mls_capture_text_sha256(c), "t");
    assert_memory_equal(mls_capture_start(c), s.start, sizeof s.start);
    assert_memory_equal(mls_capture_ids(c), s.ids, sizeof s.ids);
    /* 4, 4 and 1 predicted tokens */
    assert_close(mls_capture_nll(c), (4 * 2 + 4 * 3 + 1 * 5) / 9.0, 1e-15);
    assert_close(mls_capture_nll_each(c)[2], 5, 0);
    assert_true(memcmp(mls_capture_config(c), &s.head.config, sizeof(mls_config)) == 0);

    for (size_t l = 3; l-- > 0;) {
        mls_record r = record_of(&s, l);
        mls_layer_stats got;
        double *q, *k;

        assert_ok(mls_capture_stats(c, l, &got, &err));
        const size_t n_norms =
            got.H * got.C + got.G * got.C; /* the last in the block */
        assert_memory_equal(got.block, r.stats.block,
                            (got.n_block - n_norms) * sizeof(double));
        assert_close(got.n_tokens, 12, 0);
        assert_close(
            got.q_norm[7],
            (5 * r.q_norms[7] + 5 * r.q_norms[12 + 7] + 2 * r.q_norms[24 + 7]) / 12,
            1e-15);
        assert_ok(mls_capture_norms(c, l, &q, &k, &err));
        assert_memory_equal(q, r.q_norms, N * 12 * sizeof *q);
        assert_memory_equal(k, r.k_norms, N * 6 * sizeof *k);
        assert_ok(mls_capture_window(c, l, 1, MLS_WINDOW_Q, window, &err));
        assert_memory_equal(window, r.window[MLS_WINDOW_Q] + 4 * 24, sizeof window);
        assert_ok(mls_capture_window(c, l, 0, MLS_WINDOW_V, window, &err));
        assert_memory_equal(window, r.window[MLS_WINDOW_V], 4 * 12 * sizeof *window);
        free(q);
        free(k);
        mls_layer_stats_free(&got);
        mls_record_free(&r);
    }
    assert_refused(mls_capture_window(c, 0, 2, MLS_WINDOW_X, window, &err), MLS_E_ARG,
                   "no index 2");
    mls_capture_close(c);
    unlink(path);
}

static void a_capture_without_windows_is_whole(void **state)
{
    const char *path = test_scratch("none.h5");
    sample s;
    mls_capture *c;
    size_t n_sets;
    uint64_t n_bytes;

    (void)state;
    make_sample(&s, 0);
    write_sample(&s, path);
    assert_ok(mls_capture_open(&c, path, &err));
    assert_int_equal(mls_capture_windows(c), 0);
    assert_ok(mls_capture_verify(c, &n_sets, &n_bytes, &err));
    mls_capture_close(c);
    unlink(path);
}

static void a_restart_folder_gives_back_whole_layers_only(void **state)
{
    const char *path = test_scratch("restart.h5");
    const char *third = test_scratch("restart.h5.part/layer-002");
    char *data;
    size_t len;
    float h[12 * 12], again[12 * 12];
    sample s;
    mls_part *p, *other;
    bool stale;
    size_t n_cut = 0;

    (void)state;
    make_sample(&s, 1);
    for (size_t i = 0; i < 12 * 12; i++)
        h[i] = (float)i;
    assert_ok(mls_part_open(&p, path, 5, &stale, &err));
    assert_false(stale);
    assert_refused(mls_part_open(&other, path, 5, &stale, &err), MLS_E_INPUT,
                   "another run is writing this capture");
    assert_int_equal(mls_part_finished(p, &s.head), 0);
    for (size_t l = 0; l < 3; l++) {
        mls_record r = record_of(&s, l);

        assert_ok(mls_part_save_record(p, l, &s.head, &r, &n_cut, &err));
        mls_record_free(&r);
        if (l == 1)
            assert_ok(mls_part_save_states(p, l, &s.head, h, &err));
    }
    assert_int_equal(mls_part_finished(p, &s.head), 2);
    mls_part_close(p, false);

    assert_ok(mls_part_open(&p, path, 5, &stale, &err));
    assert_false(stale);
    assert_ok(mls_part_load_states(p, 1, &s.head, again, &err));
    assert_memory_equal(again, h, sizeof h);
    for (size_t l = 0; l < 3; l++) {
        mls_record want = record_of(&s, l), got;

        assert_ok(mls_record_new(&got, &s.head, &err));
        assert_ok(mls_part_load_record(p, l, &s.head, &got, &err));
        /* the mean norms, last in the block, are made from those of sequences */
        assert_memory_equal(got.stats.block, want.stats.block,
                            (want.stats.n_block - 18) * sizeof(double));
        assert_memory_equal(got.q_norms, want.q_norms, N * 12 * sizeof(double));
        assert_memory_equal(got.window[MLS_WINDOW_K], want.window[MLS_WINDOW_K],
                            4 * 12 * sizeof(float));
        mls_record_free(&got);
        mls_record_free(&want);
    }
    assert_ok(mls_part_save_states(p, 2, &s.head, h, &err));
    assert_int_equal(mls_part_finished(p, &s.head), 3);
    assert_refused(mls_part_load_states(p, 1, &s.head, again, &err), MLS_E_IO,
                   "states-001: is missing");

    /* one byte of the third layer: its states do not count any more, nor do others */
    assert_ok(mls_file_read(third, 1 << 20, &data, &len, &err));
    data[len / 2] ^= 1;
    assert_ok(mls_file_write(third, data, len, &err));
    free(data);
    assert_int_equal(mls_part_finished(p, &s.head), 0);
    mls_part_close(p, false);

    assert_ok(mls_part_open(&p, path, 6, &stale, &err));
    assert_true(stale);
    assert_int_equal(mls_part_finished(p, &s.head), 0);
    mls_part_close(p, true);
    assert_false(mls_folder_exists(test_scratch("restart.h5.part")));
}

static void what_no_half_holds_becomes_the_largest(void **state)
{
    const char *path = test_scratch("large.h5");
    sample s;
    mls_part *p;
    mls_record r, got;
    bool stale;
    size_t n_cut = 0;

    (void)state;
    make_sample(&s, 1);
    r = record_of(&s, 0);
    r.window[MLS_WINDOW_K][3] = -1e6f;
    r.window[MLS_WINDOW_K][4] = 0.1f;
    assert_ok(mls_part_open(&p, path, 5, &stale, &err));
    assert_ok(mls_part_save_record(p, 0, &s.head, &r, &n_cut, &err));
    assert_int_equal(n_cut, 1);
    assert_ok(mls_record_new(&got, &s.head, &err));
    assert_ok(mls_part_load_record(p, 0, &s.head, &got, &err));
    assert_close((double)got.window[MLS_WINDOW_K][3], -65504.0, 0.0);
    assert_close((double)got.window[MLS_WINDOW_K][4], 0.1, 0.1 / 2048);
    mls_record_free(&got);
    mls_record_free(&r);
    mls_part_close(p, true);
}

static void a_file_of_another_format_is_refused(void **state)
{
    const char *path = test_scratch("newer.h5");
    mls_store *s;
    mls_capture *c;

    (void)state;
    assert_ok(mls_store_create(&s, path, NULL, "capture 1", &err));
    assert_ok(mls_store_finish(s, &err));
    assert_refused(
        mls_capture_open(&c, path, &err), MLS_E_INPUT,
        "begins with \"mlascope capture 1\", expected \"mlascope capture 2\": another "
        "version wrote it; make it again with mlascope capture");
    assert_ok(mls_store_create(&s, path, NULL, MLS_CAPTURE_KIND, &err));
    assert_ok(mls_store_finish(s, &err));
    assert_refused(mls_capture_open(&c, path, &err), MLS_E_INPUT,
                   "dataset /model/config_json is missing");
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_capture_file_gives_back_what_was_put_in),
        cmocka_unit_test(a_capture_without_windows_is_whole),
        cmocka_unit_test(what_no_half_holds_becomes_the_largest),
        cmocka_unit_test(a_restart_folder_gives_back_whole_layers_only),
        cmocka_unit_test(a_file_of_another_format_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
